"""The colour of each class of a detection dataset."""

from typing import Any, List, Optional, Sequence


def class_colors(dataset: Any) -> Optional[List[Sequence[int]]]:
    """The palette of a dataset of mmdet, one RGB colour (0..255) for each of its classes.

    A dataset with classes of its own keeps the palette of the class that it is built from, 80 colours for COCO, in COCO's order.
    So a subset of COCO's classes gets their colours by name here, and other classes get none.

    Args:
        dataset: A dataset; it may be without its data (``lazy_init``).
    """
    meta = dataset.metainfo
    classes, palette = meta.get('classes') or (), meta.get('palette')
    if not isinstance(palette, (list, tuple)):
        return None
    if len(palette) == len(classes):
        return list(palette)
    known = type(dataset).METAINFO.get('classes') or ()
    if len(known) == len(palette) and set(classes) <= set(known):
        return [palette[known.index(name)] for name in classes]
    return None
