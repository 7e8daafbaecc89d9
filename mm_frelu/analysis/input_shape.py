"""Determine the size of a network's input in testing from its config."""

import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.config import Config

from mm_frelu.engine import preprocessing
from mm_frelu.engine.act_options import inner_model
from mm_frelu.engine.config_types import kind_of
from mm_frelu.engine.errors import UserError


class InputShape(NamedTuple):
    """Height and width, and their source."""

    height: int
    width: int
    source: str


def input_shape(cfg: Config, given: Optional[Tuple[int, int]] = None) -> InputShape:
    """Return height and width of the network's input.

    For sliding-window tests it is the crop, ``model.test_cfg.crop_size``, which is (H, W). Otherwise it is the output of the last
    Resize, CenterCrop or TopdownAffine of the test pipeline. The ``scale`` of a Resize is (W, H), and with ``keep_ratio`` an image
    may be smaller. Without these steps it is the ``size`` that the preprocessor pads to. Detectors pad to a multiple of
    ``pad_size_divisor``.

    Args:
        cfg: The config. Its data need not exist.
        given: Height and width that override the config.

    Raises:
        UserError: If the config does not determine the size.
    """
    if given is not None:
        if min(given) < 1:
            raise UserError(f'--shape {given[0]} {given[1]}: give two positive numbers.')
        return InputShape(*given, 'from --shape')
    test_cfg = inner_model(cfg.model).get('test_cfg') or {}
    if test_cfg.get('mode') == 'slide':
        return InputShape(*_pair(test_cfg['crop_size']), 'one crop of the sliding test')
    data_preprocessor = preprocessing.find_config(cfg) or {}
    size, source = _pipeline_size(test_pipeline(cfg))
    if size is None:
        size, source = data_preprocessor.get('size'), 'size of the data preprocessor'
    if size is None:
        raise UserError(
            f'{cfg.filename}: the size of test images is unknown, because the config has neither a Resize or CenterCrop in '
            'its test pipeline nor a data_preprocessor.size. Give it with --shape H W.'
        )
    height, width = _pair(size)
    divisor = data_preprocessor.get('pad_size_divisor') or 1
    padded = [math.ceil(length / divisor) * divisor for length in (height, width)]
    if padded != [height, width]:
        source += f'; {height}x{width} padded to multiples of {divisor}'
    return InputShape(padded[0], padded[1], source)


def _pipeline_size(pipeline: List[Dict[str, Any]]) -> Tuple[Optional[Tuple[int, int]], str]:
    for step in reversed(pipeline):
        kind = kind_of(step)
        if kind == 'CenterCrop':
            return _pair(step['crop_size']), 'crop of the test pipeline'
        if kind == 'TopdownAffine':
            width, height = _pair(step['input_size'])
            return (height, width), 'crop around a person'
        if kind == 'Resize' and isinstance(step.get('scale'), (int, tuple, list)):
            width, height = _pair(step['scale'])
            bound = (
                ', which images of another aspect ratio only touch'
                if step.get('keep_ratio')
                else ''
            )
            return (height, width), f'scale of the test pipeline{bound}'
    return None, ''


def test_pipeline(cfg: Config) -> List[Dict[str, Any]]:
    """Return the steps of a config's test pipeline."""
    for loader in ('test_dataloader', 'val_dataloader'):
        for dataset in _datasets((cfg.get(loader) or {}).get('dataset')):
            if dataset.get('pipeline'):
                return list(dataset['pipeline'])
    return list(cfg.get('test_pipeline') or ())


def _datasets(dataset: Any) -> Iterator[Dict[str, Any]]:
    """Yield a dataset config and those inside it, outermost first, because a wrapper may have its own pipeline."""
    if isinstance(dataset, dict):
        yield dataset
        for inner in (dataset.get('dataset'), *(dataset.get('datasets') or ())):
            yield from _datasets(inner)


def _pair(value: Any) -> Tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
