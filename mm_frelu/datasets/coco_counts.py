"""Count the images and boxes of a COCO file that mmdet uses and leaves out, because mmdet does not report them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set

_MANY = 0.2  # of all boxes; usually at most a few per cent of polygons cross the edge


@dataclass
class CocoCounts:
    """Numbers of images and boxes.

    Attributes:
        images (int): Images in the file.
        boxes (int): Annotations in the file.
        images_left_out (Counter): Unused images, by reason.
        boxes_left_out (Counter): Unused annotations, by reason.
        background (int): Images that are used without any box.
        over_the_edge (int): Boxes that are used and extend beyond their image.
        usable (Counter): Valid annotations of each category id, whether or not the class is chosen; no crowds.
        first (Dict[str, Any]): Id of the first annotation of each reason.
    """

    images: int
    boxes: int
    images_left_out: Counter = field(default_factory=Counter)
    boxes_left_out: Counter = field(default_factory=Counter)
    background: int = 0
    over_the_edge: int = 0
    usable: Counter = field(default_factory=Counter)
    first: Dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the counts as one sentence."""
        images = self.images - sum(self.images_left_out.values())
        boxes = self.boxes - sum(self.boxes_left_out.values())
        background = f', {self.background} of them without a box' if self.background else ''
        return (
            f'{images} of {self.images} images used{background}{_reasons(self.images_left_out)}; '
            f'{boxes} of {self.boxes} boxes used{_reasons(self.boxes_left_out)}'
        )

    def warning(self) -> Optional[str]:
        """Describe a probable error in the file; None if there is none."""
        for reason, cause in (
            (
                NO_IMAGE,
                'image_id must be the id of an image, with the same type (a number is not equal to a string)',
            ),
            (
                NO_CATEGORY,
                'category_id must be the id of a category, with the same type. If one of the two lists counts from 0 and the other '
                'from 1, every box has the wrong class',
            ),
            (OUTSIDE, _BOX),
        ):
            number = self.boxes_left_out[reason]
            if number:
                return (
                    f'{number} of {self.boxes} annotations are {reason} and not used; the first has the id '
                    f'{self.first[reason]!r}: {cause}'
                )
        if self.over_the_edge > _MANY * self.boxes:
            return (
                f'{self.over_the_edge} of {self.boxes} boxes extend beyond their image; the first has the id '
                f'{self.first[EDGE]!r}: {_BOX}'
            )
        return None

    def why_unusable(self) -> str:
        """Say why no annotation is usable, as the end of a sentence about the file."""
        if not self.boxes:
            return 'has images but no annotations'
        # The only valid annotations are crowds, of whatever class.
        reasons = Counter({**self.boxes_left_out, OTHER: 0})
        reasons[CROWD] = self.boxes - reasons.total()
        return f'has {self.boxes} annotations, but none can be used{_reasons(+reasons)}'


NO_IMAGE = 'of no image in the file'
NO_CATEGORY = 'of no category in the file'
CROWD = 'marked "iscrowd"'
IGNORED = 'marked "ignore"'
OUTSIDE = 'outside of their image'
TINY = 'of no area or less than one pixel wide or high'
OTHER = 'of other classes'
EDGE = 'over the edge'
_BOX = (
    'bbox must be [x, y, width, height] in pixels, for the image size in "images". Probable causes are corner coordinates, or '
    'boxes for another image size'
)


def count_coco(data: Dict[str, List[Any]], settings: Dict[str, Any]) -> CocoCounts:
    """Count images and boxes by the rules of mmdet's ``CocoDataset``.

    Args:
        data (Dict[str, list]): The file.
        settings (Dict[str, Any]): The dataset's config with defaults and ``classes``.
    """
    annotations = data.get('annotations', [])
    counts = CocoCounts(len(data['images']), len(annotations))
    sizes = {image['id']: (image['width'], image['height']) for image in data['images']}
    known = {category['id'] for category in data['categories']}
    chosen = _chosen(data, settings.get('classes'))
    # Images with a box of a chosen class. mmdet filters by these before it checks the boxes themselves.
    named: Set[Any] = set()
    taken: Set[Any] = set()
    usable, left_out = counts.usable, counts.boxes_left_out
    for entry in annotations:
        image, category = entry['image_id'], entry['category_id']
        is_chosen = category in chosen
        if is_chosen:
            named.add(image)
        reason = _reason(entry, sizes.get(image))
        if reason in (None, EDGE) and category not in known:
            reason = NO_CATEGORY
        elif reason in (None, EDGE):
            if not entry.get('iscrowd'):
                usable[category] += 1
            if is_chosen:
                taken.add(image)
                counts.over_the_edge += reason == EDGE
            else:
                reason = OTHER
        if reason is not None:
            counts.first.setdefault(reason, entry['id'])
            if reason != EDGE:
                left_out[reason] += 1
    _count_images(counts, settings, sizes, named, taken)
    return counts


def _reason(entry: Dict[str, Any], size: Any) -> Optional[str]:
    """Return why an annotation is left out regardless of the classes, in the order of ``CocoDataset.parse_data_info``."""
    if size is None:
        return NO_IMAGE
    if entry.get('ignore'):
        return IGNORED
    x, y, width, height = entry['bbox']
    right, bottom = x + width, y + height
    if min(right, size[0]) <= max(x, 0) or min(bottom, size[1]) <= max(y, 0):
        return OUTSIDE if width > 0 and height > 0 else TINY
    if entry['area'] <= 0 or width < 1 or height < 1:
        return TINY
    if right > size[0] + 1 or bottom > size[1] + 1 or x < -1 or y < -1:
        return EDGE
    return None


def _count_images(
    counts: CocoCounts, settings: Dict[str, Any], sizes: Dict[Any, Any], named: Set, taken: Set
) -> None:
    """Count images by the rules of ``CocoDataset.filter_data``, which keeps all images of a test set."""
    filters = {} if settings.get('test_mode') else settings.get('filter_cfg') or {}
    if counts.images > len(sizes):
        counts.images_left_out['written twice'] = counts.images - len(sizes)
    empty, smallest = filters.get('filter_empty_gt', False), filters.get('min_size', 0)
    for image, size in sizes.items():
        if empty and image not in named:
            counts.images_left_out['without a box of the classes (filter_empty_gt)'] += 1
        elif min(size) < smallest:
            counts.images_left_out[f'smaller than {smallest} pixels (min_size)'] += 1
        elif image not in taken:
            counts.background += 1


def _chosen(data: Dict[str, List[Any]], classes: Any) -> Set[Any]:
    """Return the category ids of the chosen classes; all ids if the config has no classes or a file of names."""
    every = not classes or isinstance(classes, str)
    return {c['id'] for c in data['categories'] if every or c['name'] in set(classes)}


def _reasons(left_out: Counter) -> str:
    if not left_out:
        return ''
    listed = ', '.join(f'{number} {reason}' for reason, number in left_out.most_common())
    return f' (left out: {listed})'
