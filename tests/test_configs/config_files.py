"""The config files of the project, and what their names promise. Helpers of the tests in this folder.

Names follow mmdet 3.x and mmseg 1.x. What a name says is read here with expressions of its own, so that the tests
compare two independent statements: the file's name and the file's content.
"""

import os
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import List, Optional, Tuple

from mmengine.config import Config

ROOT = Path(__file__).parents[2]
METHODS = ('retinanet', 'pspnet')
CONFIG_PATHS: List[Path] = sorted(
    path for method in METHODS for path in (ROOT / 'configs' / method).glob('*.py')
)

FOLDER_VARIABLES = (
    'COCO_ROOT',
    'CITYSCAPES_DATASET',
    'STREET_SCENES_ROOT',
    'OWN_DATA_ROOT',
    'WEIGHTS_ROOT',
)

ACTS = 'frelu-identity|frelu-p|frelu|relu6|relu|silu|prelu|dyrelu-b'
# Widths are written as mmpretrain writes them: 150 is 1.5x.
LIGHT = 'shufflenet-v2-150|mobilenet-v1-075|mobilenet-v2'
RETINANET = re.compile(
    rf'retinanet_(?P<network>r(?P<depth>\d+)|{LIGHT})(?P<caffe>-caffe)?-(?P<act>{ACTS})_fpn'
    r'_(?:(?P<gpus>\d)xb(?P<batch>\d)-)?(?P<schedule>[12]x|demo)_(?P<dataset>coco|street-scenes|own-data)'
)
PSPNET = re.compile(
    rf'pspnet_(?P<network>r(?P<depth>\d+)b|{LIGHT})(?P<caffe>-caffe)?-(?P<act>{ACTS})-d(?P<output_stride>[48])'
    r'_(?P<gpus>\d)xb(?P<batch>\d)-(?P<schedule>[48]0k|demo)_(?P<dataset>cityscapes|street-scenes)'
    r'-(?P<height>\d+)x(?P<width>\d+)'
)


@dataclass(frozen=True)
class Promise:
    """The content of a config that its name promises."""

    method: str
    network: str
    depth: Optional[int]
    style: str
    act: str
    output_stride: int
    gpus: int
    batch: int
    schedule: str
    dataset: str
    crop: Optional[Tuple[int, int]]


def read_name(path: Path) -> Promise:
    """Parse a config's name; raise AssertionError if it does not follow the rules."""
    method = path.parent.name
    match = {'retinanet': RETINANET, 'pspnet': PSPNET}[method].fullmatch(path.stem)
    assert match, f'{path.name} does not follow the naming rules of configs/{method}'
    words = match.groupdict()
    return Promise(
        method=method,
        network='resnet' if words['depth'] else words['network'],
        depth=int(words['depth']) if words['depth'] else None,
        style='caffe' if words.get('caffe') else 'pytorch',
        act=words['act'],
        output_stride=int(words.get('output_stride', 32)),
        # mmdet's names leave out 8 GPUs with 2 images.
        gpus=int(words['gpus'] or 8),
        batch=int(words['batch'] or 2),
        schedule=words['schedule'],
        dataset=words['dataset'],
        crop=(int(words['height']), int(words['width'])) if 'height' in words else None,
    )


def baseline_of(path: Path) -> Path:
    """The ReLU baseline that belongs to a config."""
    return path.with_name(path.name.replace(f'-{read_name(path).act}', '-relu'))


def load(path: Path) -> Config:
    """Load a config that the caller may change, without its custom imports."""
    return deepcopy(_load_once(path, tuple(map(os.environ.get, FOLDER_VARIABLES))))


@cache
def _load_once(path: Path, variables: tuple) -> Config:
    return Config.fromfile(path, import_custom_modules=False)


def short_id(path: Path) -> str:
    """Name of a config in a test id."""
    return path.stem
