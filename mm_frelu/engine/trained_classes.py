"""Check that a checkpoint is tested on the classes that it was trained on.

A head knows class indices only. If the dataset has the same classes in another order, the weights load, but the names are wrong.
"""

from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.runner import Runner

from .errors import UserError


def compare_classes(source: str, checkpoint: Dict[str, Any], runner: Runner) -> Optional[str]:
    """Compare the classes in a checkpoint's ``dataset_meta`` with those of the dataset that the runner is about to use.

    Args:
        source (str): Name of the checkpoint.
        checkpoint (Dict[str, Any]): What is in it.
        runner (Runner): A runner whose loop is built.

    Returns:
        str, optional: A warning if names differ. Renamed classes are fine; different classes are not.

    Raises:
        UserError: When the same classes are in another order.
    """
    meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    trained, used = _names(meta), _names(_dataset_meta(runner))
    if not trained or not used or trained == used or len(trained) != len(used):
        return (
            None  # another number of classes changes the head's shape, which is checked elsewhere
        )
    number = next(index for index, pair in enumerate(zip(trained, used)) if pair[0] != pair[1])
    found = f'class {number} is {trained[number]!r} in {source} and {used[number]!r} in the dataset of the config'
    if set(trained) == set(used):
        raise UserError(
            f'{found}: the classes are the same, but in another order, so predictions would get wrong names. Write metainfo.classes '
            f'in the order of the checkpoint: {trained[:6]}{" ..." if len(trained) > 6 else ""}.'
        )
    return f'{found}. Unless these are two names for one class, scores and pictures are wrong.'


def _names(meta: Dict[str, Any]) -> Optional[Tuple[str, ...]]:
    names: Optional[Sequence[str]] = meta.get('classes', meta.get('CLASSES'))
    return tuple(names) if isinstance(names, (list, tuple)) else None


def _dataset_meta(runner: Runner) -> Dict[str, Any]:
    for name in ('_test_loop', '_train_loop'):
        loop = getattr(runner, name, None)
        dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
        if dataset is not None:
            return getattr(dataset, 'metainfo', None) or {}
    return {}
