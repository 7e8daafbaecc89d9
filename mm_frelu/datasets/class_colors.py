"""The colour of each class of a detection dataset."""

from typing import Any, List, Optional, Sequence


def class_colors(dataset: Any) -> Optional[List[Sequence[int]]]:
    """Return the palette of an mmdet dataset, one RGB colour (0..255) for each of its classes.

    A dataset with custom classes still has the palette of its Python class, for COCO 80 colours in COCO's order. Here, a subset of
    COCO's classes gets their colours by name.

    Args:
        dataset: A dataset. Its data need not be loaded (``lazy_init``).

    Returns:
        The colours; None if the palette does not fit the classes.
    """
    meta = dataset.metainfo
    classes, palette = meta.get('classes') or (), meta.get('palette')
    if not isinstance(palette, (list, tuple)):
        return None
    if len(palette) == len(classes):
        return list(palette)
    known = getattr(dataset, 'METAINFO', {}).get('classes') or ()
    if len(known) == len(palette) and set(classes) <= set(known):
        return [palette[known.index(name)] for name in classes]
    return None
