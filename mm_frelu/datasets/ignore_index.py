"""Find the label that a config ignores. mmseg has several keys for it, each with its own default."""

from typing import Any, Iterator, NamedTuple, Tuple

from mmengine.config import Config

from mm_frelu.engine.config_types import metrics_of

from .notices import warn

_DEFAULT = 255


class Ignored(NamedTuple):
    """The label that means "not labelled".

    Attributes:
        value (int): The label.
        key (str): Config key that sets it, even if the config uses the default.
    """

    value: int
    key: str


def ignored_label(cfg: Config, loader: str) -> Ignored:
    """Return the label that is ignored by the loss (for a training dataloader) or by the metric (for the others).

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
                    'the two losses treats "not labelled" as a class. Set the same value in both.'
                )
        return ignored
    key = loader.replace('dataloader', 'evaluator')
    for place, metric in metrics_of(cfg, key):
        if 'ignore_index' in metric:
            return Ignored(metric['ignore_index'], f'{place}.ignore_index')
    return Ignored(_DEFAULT, f'{key}.ignore_index')


def _compare_with_padding(cfg: Config, ignored: Ignored) -> None:
    """Warn if the label of padded pixels is not the ignored one. Training pads the images of a batch to one size."""
    for place, settings in _named(cfg.get('model'), 'model', 'data_preprocessor'):
        padding = settings.get('seg_pad_val', _DEFAULT)
        if padding != ignored.value:
            warn(
                f'{place}.seg_pad_val is {padding}, but {ignored.key} is {ignored.value}: if an image is smaller than the '
                f'crop, its padding has the label {padding}, which is not ignored. Set seg_pad_val={ignored.value}.'
            )


def _heads(model: Any, place: str) -> Iterator[Tuple[str, dict]]:
    yield from _named(model, place, 'decode_head')
    yield from _named(model, place, 'auxiliary_head')


def _named(model: Any, place: str, name: str) -> Iterator[Tuple[str, dict]]:
    """Yield the dicts under a key anywhere in a model config. Wrappers nest the model, and cascades have several heads."""
    for key, value in model.items() if isinstance(model, dict) else ():
        if key != name:
            yield from _named(value, f'{place}.{key}', name)
        elif isinstance(value, dict):
            yield f'{place}.{key}', value
        elif isinstance(value, (list, tuple)):
            yield from ((f'{place}.{key}.{i}', head) for i, head in enumerate(value))
