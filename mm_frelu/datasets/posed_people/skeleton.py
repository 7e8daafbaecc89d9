"""Compute the positions of the joints of a body, in three dimensions, from the angles of a pose.

All lengths are in metres. The world coordinates are those of the street scenes: x to the right, y up, z away from the camera.
The axes of a body are left, up and forward. If a person faces the camera, the left hand is on the right side of the image.
"""

from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np

KEYPOINTS = (
    'nose',
    'left_eye',
    'right_eye',
    'left_ear',
    'right_ear',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hip',
    'right_hip',
    'left_knee',
    'right_knee',
    'left_ankle',
    'right_ankle',
)
"""COCO's 17 keypoints, in its order."""

SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""COCO's lines between keypoints, as pairs of keypoint numbers starting from 1."""

# Offsets to the left, up and forward from the centre of the head.
_FACE = {
    'nose': (0.0, -0.01, 0.115),
    'left_eye': (0.04, 0.025, 0.1),
    'right_eye': (-0.04, 0.025, 0.1),
    'left_ear': (0.105, 0.0, 0.01),
    'right_ear': (-0.105, 0.0, 0.01),
}
_SHOULDER, _HIP = 0.185, 0.105  # half the distance between left and right
_BACK, _NECK, _HEAD = (
    0.5,
    0.07,
    0.19,
)  # hips to shoulders, shoulders to neck, neck to the centre of the head
_UPPER_ARM, _FOREARM, _HAND = 0.29, 0.25, 0.09
_THIGH, _SHIN, _FOOT = 0.43, 0.42, 0.17
_SOLE = 0.07  # height of the ankle above the ground


@dataclass(frozen=True)
class Limb:
    """Angles of an arm or a leg, in radians.

    Attributes:
        forward: Angle of the upper part to the front. 0 points down, pi points up.
        outward: Angle of the upper part to the side.
        bend: Angle of the elbow, which bends to the front, or of the knee, which bends to the back.
    """

    forward: float
    outward: float
    bend: float


@dataclass(frozen=True)
class Pose:
    """Angles of a whole body, in radians.

    Attributes:
        heading: Rotation about the vertical axis. At 0 the body faces the camera, at pi it faces away.
        lean: Tilt of the trunk to the front.
        sway: Tilt of the trunk to the left.
        arms: Left and right arm.
        legs: Left and right leg.
    """

    heading: float
    lean: float
    sway: float
    arms: Tuple[Limb, Limb]
    legs: Tuple[Limb, Limb]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> 'Pose':
        """Draw a random pose: standing, walking, reaching, waving, crouching or jumping."""
        kind = rng.choice(
            ['stand', 'walk', 'reach', 'wave', 'crouch', 'jump'],
            p=[0.22, 0.26, 0.14, 0.16, 0.12, 0.1],
        )
        lean, sway = rng.normal(0.04, 0.05), rng.normal(0, 0.05)
        arms = [_hanging_arm(rng), _hanging_arm(rng)]
        legs = [_standing_leg(rng), _standing_leg(rng)]
        if kind == 'walk':
            stride, first = rng.uniform(0.25, 0.65), int(rng.integers(2))
            for side, sign in ((first, 1), (1 - first, -1)):
                knee = rng.uniform(0.0, 0.3) if sign > 0 else rng.uniform(0.2, 0.9)
                legs[side] = Limb(sign * stride, rng.uniform(0.0, 0.08), knee)
                swing = -sign * stride * rng.uniform(0.7, 1.3)
                arms[side] = Limb(swing, rng.uniform(0.05, 0.2), rng.uniform(0.2, 1.2))
        elif kind == 'reach':
            for side in (0, 1):
                if rng.random() < 0.7:
                    arms[side] = Limb(
                        rng.uniform(0.8, 2.6), rng.uniform(0.0, 0.4), rng.uniform(0.0, 0.8)
                    )
        elif kind == 'wave':
            raised = [int(rng.integers(2))] if rng.random() < 0.6 else [0, 1]
            for side in raised:
                arms[side] = Limb(
                    rng.uniform(-0.2, 0.3), rng.uniform(1.1, 2.7), rng.uniform(0.0, 1.3)
                )
        elif kind == 'crouch':
            lean = rng.uniform(0.2, 0.6)
            thigh = rng.uniform(0.8, 1.5)
            for side in (0, 1):
                legs[side] = Limb(thigh + rng.normal(0, 0.1), rng.uniform(0.05, 0.35), 1.5 * thigh)
                arms[side] = Limb(
                    rng.uniform(0.2, 1.4), rng.uniform(0.05, 0.3), rng.uniform(0.2, 1.2)
                )
        elif kind == 'jump':
            for side in (0, 1):
                legs[side] = Limb(
                    rng.uniform(-0.3, 0.5), rng.uniform(0.1, 0.6), rng.uniform(0.0, 0.8)
                )
                arms[side] = Limb(
                    rng.uniform(-0.3, 0.3), rng.uniform(0.6, 2.6), rng.uniform(0.0, 0.6)
                )
        return cls(rng.uniform(-np.pi, np.pi), lean, sway, (arms[0], arms[1]), (legs[0], legs[1]))


def _hanging_arm(rng: np.random.Generator) -> Limb:
    return Limb(rng.normal(0.05, 0.15), rng.uniform(0.06, 0.3), rng.uniform(0.0, 0.7))


def _standing_leg(rng: np.random.Generator) -> Limb:
    return Limb(rng.normal(0.0, 0.08), rng.uniform(0.0, 0.14), rng.uniform(0.0, 0.15))


def joints(pose: Pose, height: float, position: np.ndarray) -> Dict[str, np.ndarray]:
    """Compute the positions of the joints in the world.

    Args:
        pose: The pose.
        height: Body height in metres.
        position: Point (3,) on the ground below the body.

    Returns:
        Points (3,) by name: the keypoints of :data:`KEYPOINTS`, and further points for drawing: ``neck``, ``head``, hands and
        toes (``left_hand``, ``right_toe``, ...).
    """
    trunk = _tilt(pose.lean, pose.sway)
    body: Dict[str, np.ndarray] = {}
    for side, sign in (('left', 1.0), ('right', -1.0)):
        leg, arm = (limbs[0 if sign > 0 else 1] for limbs in (pose.legs, pose.arms))
        hip = np.array([sign * _HIP, 0.0, 0.0])
        knee = hip + _THIGH * _direction(leg.forward, leg.outward, sign)
        shin = _direction(leg.forward - leg.bend, leg.outward, sign)
        ankle = knee + _SHIN * shin
        body.update({f'{side}_hip': hip, f'{side}_knee': knee, f'{side}_ankle': ankle})
        body[f'{side}_toe'] = ankle + _FOOT * _direction(
            leg.forward - leg.bend + 1.4, leg.outward + 0.1, sign
        )
        shoulder = trunk @ [sign * _SHOULDER, _BACK, 0.0]
        elbow = shoulder + _UPPER_ARM * _direction(arm.forward, arm.outward, sign)
        # The elbow of a lifted arm bends upwards, that of a hanging arm bends to the front.
        lifted = min(arm.outward / 1.2, 1.0)
        forearm = _direction(
            arm.forward + arm.bend * (1 - lifted), arm.outward + arm.bend * lifted, sign
        )
        wrist = elbow + _FOREARM * forearm
        body.update({f'{side}_shoulder': shoulder, f'{side}_elbow': elbow, f'{side}_wrist': wrist})
        body[f'{side}_hand'] = wrist + _HAND * forearm
    body['neck'] = trunk @ [0.0, _BACK + _NECK, 0.0]
    # The head tilts less than the trunk.
    upright = _tilt(pose.lean * 0.4, pose.sway * 0.4)
    body['head'] = body['neck'] + upright @ [0.0, _HEAD, 0.02]
    for name, offset in _FACE.items():
        body[name] = body['head'] + upright @ np.array(offset)

    scale = height / 1.75
    lowest = min(body['left_ankle'][1], body['right_ankle'][1])
    lift = np.array([0.0, _SOLE - lowest, 0.0])
    axes = _axes(pose.heading)
    return {name: position + scale * (axes @ (point + lift)) for name, point in body.items()}


def _direction(forward: float, outward: float, sign: float) -> np.ndarray:
    """Return the direction of a limb in the axes of the body (left, up, forward). At angles 0 and 0 it points down."""
    return np.array(
        [
            sign * np.sin(outward),
            -np.cos(outward) * np.cos(forward),
            np.cos(outward) * np.sin(forward),
        ]
    )


def _tilt(lean: float, sway: float) -> np.ndarray:
    """Return the rotation matrix of the trunk: first to the front, then to the left."""
    forward = np.array(
        [[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]]
    )
    left = np.array([[np.cos(sway), np.sin(sway), 0], [-np.sin(sway), np.cos(sway), 0], [0, 0, 1]])
    return left @ forward


def _axes(heading: float) -> np.ndarray:
    """Return the axes of the body (left, up, forward) in world coordinates, as columns."""
    cos, sin = np.cos(heading), np.sin(heading)
    return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [sin, 0.0, -cos]])
