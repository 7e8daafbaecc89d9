"""Place the labels of boxes so that no two labels overlap."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

Size = Tuple[float, float]


class Place(NamedTuple):
    """Position of a label: its upper left corner, and whether it is so far from its box that a line must connect them."""

    x: float
    y: float
    far: bool


def place_labels(
    boxes: np.ndarray, sizes: Sequence[Optional[Size]], area: Size
) -> List[Optional[Place]]:
    """Finds a position for the label of every box, in the order of the boxes.

    Candidates are above the box, below it, in its corners and at its sides. The free one that covers the least of any box is chosen, and
    earlier candidates are preferred. If none is free, the label goes to the nearest free position.

    Args:
        boxes: Array (N, 4): left, top, right, bottom in pixels of the panel.
        sizes: Width and height of each label; None for a box without a label.
        area: Width and height of the panel. All labels stay inside it.

    Returns:
        The positions; None for a box without a label, or if no space is left.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    taken: np.ndarray = np.zeros((0, 4))
    places: List[Optional[Place]] = []
    for index, (box, size) in enumerate(zip(boxes, sizes)):
        place = None
        if size is not None and size[0] <= area[0] and size[1] <= area[1]:
            place = _beside(box, size, area, taken, np.delete(boxes, index, axis=0))
            place = place or _anywhere(box, size, area, taken)
        if place is not None and size is not None:
            corner = (place.x, place.y)
            taken = np.vstack([taken, [*corner, corner[0] + size[0], corner[1] + size[1]]])
        places.append(place)
    return places


def _beside(
    box: np.ndarray, size: Size, area: Size, taken: np.ndarray, others: np.ndarray
) -> Optional[Place]:
    left, top, right, bottom = box
    width, height = size
    corners = np.array(
        [
            (left, top - height),
            (right - width, top - height),
            (left, bottom),
            (right - width, bottom),
            (left, top),
            (left, bottom - height),
            (right, top),
            (left - width, top),
        ]
    )
    # A label is moved inside the panel, but must still touch its box.
    moved = np.clip(corners, 0, np.subtract(area, size))
    near = np.abs(moved - corners).max(axis=1) <= max(width, height)
    touches = _overlap(moved, size, box[None] + [-1, -1, 1, 1]).any(axis=1)
    free = near & touches & ~(_overlap(moved, size, taken) > 0).any(axis=1)
    if not free.any():
        return None
    covered = _overlap(moved, size, others).sum(axis=1)
    covered = (covered + 0.3 * _overlap(moved, size, box[None])[:, 0]) / (width * height)
    cost = np.where(free, covered + 0.05 * np.arange(len(corners)), np.inf)
    best = int(cost.argmin())
    x, y = moved[best].tolist()
    return Place(x, y, False)


def _anywhere(box: np.ndarray, size: Size, area: Size, taken: np.ndarray) -> Optional[Place]:
    step = size[1] / 2
    x = np.arange(0, area[0] - size[0] + 1e-6, step)
    y = np.arange(0, area[1] - size[1] + 1e-6, step)
    corners: np.ndarray = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    corners = corners[~(_overlap(corners, size, taken) > 0).any(axis=1)]
    if not len(corners):
        return None
    middle = corners + np.divide(size, 2)
    distance = np.hypot(*(middle - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]).T)
    left, top = corners[distance.argmin()].tolist()
    return Place(left, top, True)


def _overlap(corners: np.ndarray, size: Size, boxes: np.ndarray) -> np.ndarray:
    """Return the overlaps (N, M), in pixels, of labels of one size at N corners with M boxes."""
    low = np.maximum(corners[:, None], boxes[None, :, :2])
    high = np.minimum(corners[:, None] + size, boxes[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)
