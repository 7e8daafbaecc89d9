"""Helpers of the tests in this folder: the keypoint configs, the meaning of their names, and whether MMPose is installed."""

import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mm_frelu.compat import import_mmpose

ROOT = Path(__file__).parents[2]
CONFIG_PATHS = sorted((ROOT / 'configs' / 'keypoints').glob('*.py'))
NAME = re.compile(
    r'td-hm_(?P<network>mobilenetv2-(?P<width>\d{3})|mobilenetv3-(?P<arch>large|small))-(?P<act>relu|hswish|dyrelu)'
    r'_(?P<gpus>\d)xb(?P<batch>\d+)-(?P<schedule>210e|demo)_(?P<dataset>coco|posed-people)-(?P<height>\d+)x(?P<input_width>\d+)'
)
all_configs = pytest.mark.parametrize('path', CONFIG_PATHS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Promise:
    """The settings that the name of a config states."""

    backbone: dict
    act: str
    people: int
    per_gpu: int
    demo: bool
    input_size: tuple


def read_name(path):
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.name} does not follow the naming rules of configs/keypoints'
    words = match.groupdict()
    if words['width']:
        backbone = dict(type='mm_frelu.MobileNetV2', widen_factor=int(words['width']) / 100)
    else:
        backbone = dict(type='mm_frelu.MobileNetV3', arch=words['arch'])
    assert (words['schedule'] == 'demo') == (words['dataset'] == 'posed-people')
    return Promise(
        backbone=backbone,
        act=words['act'],
        people=int(words['gpus']) * int(words['batch']),
        per_gpu=int(words['batch']),
        demo=words['schedule'] == 'demo',
        input_size=(int(words['input_width']), int(words['height'])),
    )


def baseline_of(path):
    act = 'hswish' if 'mobilenetv3' in path.name else 'relu'
    return path.with_name(path.name.replace('-dyrelu_', f'-{act}_'))


@cache
def _load(path):
    return Config.fromfile(path, import_custom_modules=False)


def load(path):
    """Return a config that the caller may change, without importing the modules in its ``custom_imports``."""
    return deepcopy(_load(path))


@cache
def why_no_mmpose():
    """Return the reason why MMPose cannot be imported, None if it can."""
    try:
        import_mmpose()
    except ImportError as error:
        return str(error)
    return None


needs_mmpose = pytest.mark.skipif(bool(why_no_mmpose()), reason=str(why_no_mmpose()))
