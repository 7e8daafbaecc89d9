"""Fixtures for the whole suite."""

import gc
import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch
from yapf.yapflib import yapf_api

# The models in the tests are too small to benefit from threads, and the machine may be shared.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import mm_frelu  # noqa: E402, F401  (before mmdet and mmseg: it supplies missing ops)

# A run formats its config with yapf at its start and for each checkpoint, half a second each time. Format each text once.
_format = yapf_api.FormatCode
_formatted: dict = {}


def _format_once(text, **options):
    if text not in _formatted:
        _formatted[text] = _format(text, **options)
    return _formatted[text]


yapf_api.FormatCode = _format_once


def pytest_collection_modifyitems(items):
    """Skip tests that cannot run with this torch version, or without Numba."""
    missing = {}
    if not hasattr(torch.library, 'custom_op'):
        missing['whole_graph'] = 'graphs without a break need torch 2.4'
    if importlib.util.find_spec('numba') is None:
        missing['numba'] = 'Numba is not installed'
    for item in items:
        parameters = getattr(item, 'callspec', None)
        values = [v for v in parameters.params.values() if isinstance(v, str)] if parameters else []
        for word, reason in missing.items():
            if item.get_closest_marker(word) or word in values:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish():
    """Take the imported modules out of garbage collection, which each dataset of MMEngine runs when it is built."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def street_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training and four validation scenes, 128x64, in CityScapes layout and as COCO. Read-only: copy them before changing them."""
    from mm_frelu.datasets.street_scenes import generate_street_scenes

    folder = tmp_path_factory.mktemp('street_scenes')
    generate_street_scenes(folder, train=6, val=4, size=(128, 64), seed=0)
    return folder


@pytest.fixture(scope='session')
def coco(street_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scenes in the layout of COCO 2017, with its file names and 80 categories. Read-only."""
    from mmdet.datasets import CocoDataset

    folder = tmp_path_factory.mktemp('coco')
    (folder / 'annotations').mkdir()
    names = CocoDataset.METAINFO['classes']
    # COCO has no class for these two.
    nearest = {'rider': 'person', 'traffic sign': 'stop sign'}
    for split in ('train', 'val'):
        content = json.loads((street_scenes / f'annotations/instances_{split}.json').read_text())
        ids = {
            category['id']: names.index(nearest.get(category['name'], category['name']))
            for category in content['categories']
        }
        content['categories'] = [dict(id=index, name=name) for index, name in enumerate(names)]
        for annotation in content['annotations']:
            annotation['category_id'] = ids[annotation['category_id']]
        target = folder / f'annotations/instances_{split}2017.json'
        target.write_text(json.dumps(content))
        (folder / f'{split}2017').symlink_to(street_scenes / 'leftImg8bit' / split)
    return folder
