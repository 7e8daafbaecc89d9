"""Names, ids and colours of the classes, all taken from cityscapesscripts."""

try:
    from cityscapesscripts.helpers.labels import labels, name2label
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'Street scenes need cityscapesscripts, which is not installed: `pip install cityscapesscripts`.'
    ) from error

COCO_CATEGORIES = (
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
    'traffic light',
    'traffic sign',
)
"""Detection categories in the order of their ids: CityScapes' instances and two small fixtures."""

INSTANCE_LABELS = frozenset(label.name for label in labels if label.hasInstances) | set(
    COCO_CATEGORIES
)
"""Labels for which one polygon is one object."""

TRAIN_LABELS = tuple(
    label.name
    for label in sorted(labels, key=lambda label: label.trainId)
    if 0 <= label.trainId < 255
)
"""The 19 classes that CityScapes evaluates, in the order of their train ids."""

__all__ = ['COCO_CATEGORIES', 'INSTANCE_LABELS', 'TRAIN_LABELS', 'name2label']
