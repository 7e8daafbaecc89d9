"""The size of the images that a config's network sees when it is tested."""

import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.config import Config

from mm_frelu.engine import preprocessing
from mm_frelu.engine.act_options import inner_model
from mm_frelu.engine.errors import UserError


class InputShape(NamedTuple):
    """Height and width, and where they are from."""

    height: int
    width: int
    source: str


def input_shape(cfg: Config, given: Optional[Tuple[int, int]] = None) -> InputShape:
    """Height and width of the network's input.

    Sliding-window tests feed crops, ``model.test_cfg.crop_size``, which is (H, W). Otherwise it is what the last Resize,
    CenterCrop or TopdownAffine of the test pipeline leaves: the ``scale`` of a Resize is (W, H), and with ``keep_ratio`` an image may be
    smaller. Else the ``size`` that the preprocessor pads to. Detectors pad to a multiple of ``pad_size_divisor``.

    Args:
        cfg: The config. Its data need not exist.
        given: Height and width, to take instead.

    Raises:
        UserError: When the config does not say.
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
            f'{cfg.filename}: how large test images are is in no Resize or CenterCrop of its test pipeline, and in no '
            'data_preprocessor.size. Say it: --shape H W.'
        )
    height, width = _pair(size)
    divisor = data_preprocessor.get('pad_size_divisor') or 1
    padded = [math.ceil(length / divisor) * divisor for length in (height, width)]
    if padded != [height, width]:
        source += f'; {height}x{width} padded to multiples of {divisor}'
    return InputShape(padded[0], padded[1], source)


def _pipeline_size(pipeline: List[Dict[str, Any]]) -> Tuple[Optional[Tuple[int, int]], str]:
    for step in reversed(pipeline):
        kind = str(step.get('type')).rsplit('.', 1)[-1]
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
    """The steps that a config's test images go through."""
    for loader in ('test_dataloader', 'val_dataloader'):
        for dataset in _datasets((cfg.get(loader) or {}).get('dataset')):
            if dataset.get('pipeline'):
                return list(dataset['pipeline'])
    return list(cfg.get('test_pipeline') or ())


def _datasets(dataset: Any) -> Iterator[Dict[str, Any]]:
    """A dataset config and those inside it, outermost first: a wrapper may have a pipeline of its own."""
    if isinstance(dataset, dict):
        yield dataset
        for inner in (dataset.get('dataset'), *(dataset.get('datasets') or ())):
            yield from _datasets(inner)


def _pair(value: Any) -> Tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
