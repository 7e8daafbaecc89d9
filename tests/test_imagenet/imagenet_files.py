"""The ImageNet configs and what their names promise. Helpers of the tests in this folder."""

import importlib
import os
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
CONFIG_PATHS = sorted((ROOT / 'configs' / 'imagenet').glob('*.py'))
NAME = re.compile(
    r'(?P<network>resnet(?P<depth>\d+)(?P<caffe>-caffe)?|(?P<light>shufflenet-v2|mobilenet-v1|mobilenet-v2)-(?P<width>\d{3}))'
    r'-(?P<act>frelu|relu|silu)_(?P<gpus>\d)xb(?P<batch>\d+)_in1k'
)
BACKBONES = {
    'shufflenet-v2': 'mm_frelu.ShuffleNetV2',
    'mobilenet-v1': 'mm_frelu.MobileNetV1',
    'mobilenet-v2': 'mm_frelu.MobileNetV2',
}
all_configs = pytest.mark.parametrize('path', CONFIG_PATHS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Promise:
    """What the name of a config says about its content."""

    network: str
    backbone: dict
    light: bool
    raw_pixels: bool
    act: str
    gpus: int
    batch: int


def read_name(path):
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.name} does not follow the naming rules of configs/imagenet'
    words = match.groupdict()
    if words['light']:
        width = int(words['width']) / 100
        backbone = dict(type=BACKBONES[words['light']], widen_factor=width)
    else:
        style = 'caffe' if words['caffe'] else 'pytorch'
        backbone = dict(type='mm_frelu.ResNet', depth=int(words['depth']), style=style)
    return Promise(
        network=words['network'],
        backbone=backbone,
        light=bool(words['light']),
        raw_pixels=bool(words['caffe']) or words['light'] in ('shufflenet-v2', 'mobilenet-v1'),
        act=words['act'],
        gpus=int(words['gpus']),
        batch=int(words['batch']),
    )


def baseline_of(path):
    return path.with_name(re.sub(r'-(frelu|silu)_', '-relu_', path.name))


def load(path):
    """Load a config that the caller may change, without importing what it names."""
    return deepcopy(_load_once(path, os.environ.get('IMAGENET_ROOT')))


@cache
def _load_once(path, root):
    return Config.fromfile(path, import_custom_modules=False)


def why_no_mmpretrain():
    """Why mmpretrain cannot be imported here; empty where it can."""
    try:
        importlib.import_module('mmpretrain.models')
    except ImportError as error:
        return f'mmpretrain cannot be imported: {error}'
    return ''


needs_mmpretrain = pytest.mark.skipif(bool(why_no_mmpretrain()), reason=why_no_mmpretrain())
