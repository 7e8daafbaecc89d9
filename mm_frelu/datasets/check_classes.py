"""Check that the heads of a model have as many classes as the dataset.

mmdet has a hook for this, which runs after everything is built. mmseg has none: CUDA then stops with a device-side assert.
"""

from typing import Any, Dict, Iterator, Optional, Tuple

from mm_frelu.engine.config_types import kind_of
from mm_frelu.engine.errors import UserError, listed

# Heads whose num_classes does not count the dataset's classes, by key and by type.
_OTHER_KEYS = ('rpn_head', 'semantic_head')
_OTHER_TYPES = (
    'GroundingDINOHead',  # counts the tokens of a text
    'STDCHead',  # predicts boundaries
    'SideAdapterCLIPHead',  # has no background
)
# Datasets in which the heads share the classes (things and stuff), or whose labels are not its classes (tracking).
_OTHER_DATASETS = ('CocoPanopticDataset', 'BaseVideoDataset')


def check_num_classes(model: Any, key: str, settings: Dict[str, Any], cls: Optional[type]) -> None:
    """Compare ``num_classes`` of every head in a model config with the classes of a dataset.

    Args:
        model (dict): Model config; wrapped ones (test-time augmentation, ReplaceActivation) are searched too.
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config with ``classes`` filled in. Datasets without class names are skipped.
        cls (type, optional): Its Python class.

    Raises:
        UserError: With both keys and both numbers.
    """
    classes = settings.get('classes')
    bases = cls.__mro__ if cls else ()
    if classes is None or any(base.__name__ in _OTHER_DATASETS for base in bases):
        return
    if isinstance(classes, str):
        # MMEngine reads a file of names. A bare word is a tuple with a forgotten comma.
        if '.' in classes or '/' in classes:
            return
        raise UserError(
            f'{key}.metainfo.classes is the string {classes!r}, which would count as {len(classes)} classes. '
            f'Write a tuple: classes=({classes!r},).'
        )
    for place, number in _heads(model, 'model'):
        if number != len(classes):
            raise UserError(
                f'{place}.num_classes is {number}, but {key} ({settings.get("type")}) has {len(classes)} classes '
                f'({listed(classes, 3)}). Set num_classes={len(classes)} there, or give the dataset '
                f'the {number} classes with metainfo=dict(classes=(...)).'
            )


def _heads(model: Any, place: str) -> Iterator[Tuple[str, int]]:
    """Yield config key and ``num_classes`` of every entry whose key ends with ``head``."""
    if isinstance(model, (list, tuple)):
        for index, child in enumerate(model):
            yield from _heads(child, f'{place}.{index}')
    if not isinstance(model, dict):
        return
    name = [part for part in place.split('.') if not part.isdigit()][-1]
    if (
        name.endswith('head')
        and name not in _OTHER_KEYS
        and kind_of(model) not in _OTHER_TYPES
        and isinstance(model.get('num_classes'), int)
    ):
        yield place, model['num_classes']
    for child_name, child in model.items():
        if child_name not in _OTHER_KEYS:
            yield from _heads(child, f'{place}.{child_name}')
