"""Which label a config leaves out. mmseg asks for it in several places, and each has a default of its own."""

from typing import Any, Iterator, NamedTuple, Tuple

from mmengine.config import Config

from .notices import warn

_DEFAULT = 255


class Ignored(NamedTuple):
    """The label that stands for "not labelled".

    Attributes:
        value (int): The label.
        key (str): Config key that says so, or would.
    """

    value: int
    key: str


def ignored_label(cfg: Config, loader: str) -> Ignored:
    """The label that counts for nothing in what a dataloader feeds: the loss in training, the metric in evaluation.

    Args:
        cfg (Config): The whole config.
        loader (str): Key of the dataloader.
    """
    if loader.startswith('train'):
        heads = list(_heads(cfg.get('model'), 'model'))
        first = heads[0] if heads else ('model.decode_head', {})
        ignored = Ignored(first[1].get('ignore_index', _DEFAULT), f'{first[0]}.ignore_index')
        _compare_with_padding(cfg, ignored)
        for place, head in heads:
            if head.get('ignore_index', _DEFAULT) != ignored.value:
                warn(
                    f'{place}.ignore_index is {head.get("ignore_index", _DEFAULT)}, but {ignored.key} is {ignored.value}: one of '
                    'the two losses takes "not labelled" for a class. Set the same in both.'
                )
        return ignored
    key = loader.replace('dataloader', 'evaluator')
    evaluators = cfg.get(key) or []
    for metric in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        if isinstance(metric, dict) and 'ignore_index' in metric:
            return Ignored(metric['ignore_index'], f'{key}.ignore_index')
    return Ignored(_DEFAULT, f'{key}.ignore_index')


def _compare_with_padding(cfg: Config, ignored: Ignored) -> None:
    """Images of a batch are padded to one size, and the label of what is added has to be left out."""
    for place, settings in _named(cfg.get('model'), 'model', 'data_preprocessor'):
        padding = settings.get('seg_pad_val', _DEFAULT)
        if padding != ignored.value:
            warn(
                f'{place}.seg_pad_val is {padding}, but {ignored.key} is {ignored.value}: where an image is smaller than the '
                f'crop, the rest has the label {padding}, which is not left out. Set seg_pad_val={ignored.value}.'
            )


def _heads(model: Any, place: str) -> Iterator[Tuple[str, dict]]:
    yield from _named(model, place, 'decode_head')
    yield from _named(model, place, 'auxiliary_head')


def _named(model: Any, place: str, name: str) -> Iterator[Tuple[str, dict]]:
    """The dicts under a key anywhere in a model config; wrappers nest the model, cascades have several heads."""
    for key, value in model.items() if isinstance(model, dict) else ():
        if key != name:
            yield from _named(value, f'{place}.{key}', name)
        elif isinstance(value, dict):
            yield f'{place}.{key}', value
        elif isinstance(value, (list, tuple)):
            yield from ((f'{place}.{key}.{i}', head) for i, head in enumerate(value))
