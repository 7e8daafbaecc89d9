"""Draw a posed body as flat parts: capsules around its limbs, painted from back to front."""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

from ..street_scenes.geometry import Patch
from ..street_scenes.light import Light
from ..street_scenes.people import CLOTH, HAIR, SKIN, TROUSERS, pick
from .skeleton import KEYPOINTS

_CIRCLE = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_SHOES = ((36, 32, 32), (220, 220, 216), (150, 60, 50))

# Joints at both ends of a limb, and the radius at each in metres, for a body height of 1.75 m.
_LIMBS = {
    'upper_arm': (('shoulder', 0.066), ('elbow', 0.05)),
    'forearm': (('elbow', 0.048), ('wrist', 0.036)),
    'hand': (('wrist', 0.038), ('hand', 0.044)),
    'thigh': (('hip', 0.098), ('knee', 0.07)),
    'shin': (('knee', 0.066), ('ankle', 0.046)),
    'foot': (('ankle', 0.05), ('toe', 0.04)),
}
_SHOWS = {
    'shoulder': ('upper_arm',),
    'elbow': ('upper_arm', 'forearm'),
    'wrist': ('forearm', 'hand'),
    'hip': ('thigh',),
    'knee': ('thigh', 'shin'),
    'ankle': ('shin', 'foot'),
}
_FACE_RADII = {'nose': 0.02, 'eye': 0.016, 'ear': 0.03}


@dataclass(frozen=True)
class Part:
    """A part of the body.

    Attributes:
        name: Name, such as ``'left_forearm'``.
        patch: Polygon and colour.
        depth: Distance from the camera in metres, which determines the painting order.
    """

    name: str
    patch: Patch
    depth: float


def parts_that_show(keypoint: str) -> Tuple[str, ...]:
    """Return the names of the parts that a keypoint lies on. The keypoint is visible if one of them is on top."""
    side, _, joint = keypoint.rpartition('_')
    limbs = _SHOWS.get(joint)
    return tuple(f'{side}_{limb}' for limb in limbs) if limbs else (keypoint,)


def dress(
    rng: np.random.Generator, light: Light, body: Dict[str, np.ndarray], height: float
) -> List[Part]:
    """Build the parts of a body around its joints.

    Args:
        rng: Random generator for the colours.
        light: The light of the scene.
        body: Positions of the joints, see :func:`~.skeleton.joints`.
        height: Body height in metres.

    Returns:
        The parts, from back to front.
    """
    scale = height / 1.75
    skin, hair = light.lit(pick(rng, SKIN)), light.lit(pick(rng, HAIR))
    top, trousers = light.lit(pick(rng, CLOTH)), light.lit(pick(rng, TROUSERS))
    shoes = light.lit(pick(rng, _SHOES))
    colors = dict(upper_arm=top, hand=skin, thigh=trousers, foot=shoes)
    colors['forearm'] = skin if rng.random() < 0.5 else top
    colors['shin'] = skin if rng.random() < 0.3 else trousers
    middle = (body['left_shoulder'] + body['right_shoulder']) / 2
    forward = _unit(body['nose'] - body['head'])
    parts: List[Part] = []

    def add(
        name: str,
        ends: Sequence[Tuple[np.ndarray, float]],
        color: np.ndarray,
        behind: float = 0.0,
    ) -> None:
        points = [point for point, _ in ends]
        outline = _hull(points, [radius * scale for _, radius in ends])
        depth = float(np.mean([point[2] for point in points])) + behind * scale
        parts.append(Part(name, Patch(outline[None], color), depth))

    # The trunk is moved back: limbs beside or in front of it are painted over it, but not an arm on the far side.
    trunk = [(body[f'{side}_shoulder'], 0.07) for side in ('left', 'right')]
    trunk += [(body[f'{side}_hip'], 0.1) for side in ('left', 'right')]
    add('trunk', trunk, top, behind=0.07)
    add('neck', [(middle, 0.06), (body['neck'], 0.05), (body['head'], 0.05)], skin * 0.9, 0.02)
    # Only the front has buttons, which distinguish it from the back.
    hips = (body['left_hip'] + body['right_hip']) / 2
    add(
        'buttons',
        [(middle + 0.1 * scale * forward, 0.03), (hips + 0.1 * scale * forward, 0.03)],
        light.lit((240, 240, 236)) if top.mean() < 140 else light.lit((50, 50, 56)),
        behind=0.065,
    )
    for side in ('left', 'right'):
        for limb, ends in _LIMBS.items():
            own = [(body[f'{side}_{joint}'], radius) for joint, radius in ends]
            # Limbs farther away are darker, as if the nearer ones cast a shadow on them.
            far = np.clip((own[0][0][2] - middle[2]) / scale, -0.2, 0.2)
            add(f'{side}_{limb}', own, colors[limb] * (1 - 0.8 * far) * 0.95)
    head = body['head']
    up = np.array([0.0, 1.0, 0.0])
    add('head', [(head + 0.02 * scale * up, 0.1), (head - 0.05 * scale * up, 0.08)], skin)
    crown = head + scale * (0.045 * up - 0.03 * forward)
    add('hair', [(crown, 0.108), (head - scale * (0.02 * up + 0.06 * forward), 0.085)], hair)
    for name in KEYPOINTS[:5]:
        kind = name.rpartition('_')[2]
        color = {'nose': skin * 0.72, 'eye': light.lit((30, 28, 30)), 'ear': skin * 0.86}[kind]
        add(name, [(body[name], _FACE_RADII[kind])], color)
    return sorted(parts, key=lambda part: -part.depth)


def _hull(points: Sequence[np.ndarray], radii: Sequence[float]) -> np.ndarray:
    """Return the convex hull of discs around points (3,), as seen by the camera. Each corner (3,) has the depth of its disc."""
    circle = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE), np.zeros_like(_CIRCLE)], -1)
    corners = np.concatenate([point + radius * circle for point, radius in zip(points, radii)])
    order = cv2.convexHull(corners[:, :2].astype(np.float32), returnPoints=False)
    return corners[order[:, 0]]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
