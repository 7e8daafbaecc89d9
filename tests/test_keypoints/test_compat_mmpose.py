"""``import_mmpose`` names missing packages, and registers pycocotools under the name ``xtcocotools``."""

import sys

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest
from mmengine.config import Config

from mm_frelu.compat import import_mmpose
from mm_frelu.engine import UserError
from mm_frelu.engine.arguments import require_library

PARTS = ('models', 'datasets', 'evaluation', 'engine', 'visualization')


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A folder of packages that are imported before all others. It has an empty MMPose."""
    names = ('mmpose', 'xtcocotools', 'nowhere_to_be_found')
    for name in [name for name in sys.modules if name.partition('.')[0] in names]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / 'mmpose/__init__.py')
    for part in PARTS:
        write(tmp_path / f'mmpose/{part}.py')
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition('.')[0] in names:
            del sys.modules[name]


def write(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pycocotools_replaces_a_missing_xtcocotools(library, monkeypatch):
    monkeypatch.setitem(sys.modules, 'xtcocotools', None)  # as if it were not installed
    import_mmpose()
    from xtcocotools.coco import COCO
    from xtcocotools.cocoeval import COCOeval
    from xtcocotools.mask import area

    assert COCO is pycocotools.coco.COCO
    assert issubclass(COCOeval, pycocotools.cocoeval.COCOeval)
    assert area.__module__ == 'pycocotools.mask'


@pytest.mark.parametrize('use_area', [True, False])
def test_keypoint_similarity_uses_the_sigmas_and_the_area(library, monkeypatch, use_area):
    """Compare with COCO's formula for OKS: three keypoints, two of them labelled."""
    monkeypatch.setitem(sys.modules, 'xtcocotools', None)
    import_mmpose()
    from xtcocotools.cocoeval import COCOeval

    truth, found = pycocotools.coco.COCO(), pycocotools.coco.COCO()
    entry = dict(id=1, image_id=1, category_id=1, iscrowd=0, bbox=[0, 0, 20, 30], area=250.0)
    truth.dataset = dict(
        images=[dict(id=1)],
        categories=[dict(id=1)],
        annotations=[dict(entry, keypoints=[5, 5, 2, 9, 9, 1, 0, 0, 0], num_keypoints=2)],
    )
    found.dataset = dict(
        truth.dataset, annotations=[dict(entry, keypoints=[6, 5, 1, 9, 13, 1, 3, 3, 1], score=0.9)]
    )
    truth.createIndex()
    found.createIndex()
    sigmas = [0.05, 0.1, 0.07]
    evaluation = COCOeval(truth, found, 'keypoints', sigmas, use_area)
    evaluation.params.imgIds = [1]
    evaluation.evaluate()
    area = 250.0 if use_area else 20 * 30 * 0.53
    squares = np.array([1.0, 16.0])
    expected = np.exp(-squares / (2 * area * (2 * np.array(sigmas[:2])) ** 2)).mean()
    assert evaluation.ious[1, 1][0, 0] == pytest.approx(expected)
    assert truth.anns[1]['area'] == 250.0


def test_pycocotools_replaces_an_xtcocotools_built_for_another_numpy(library):
    write(library / 'xtcocotools/__init__.py')
    write(library / 'xtcocotools/coco.py', 'from . import mask')
    write(
        library / 'xtcocotools/mask.py',
        "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')",
    )
    import_mmpose()
    assert sys.modules['xtcocotools.coco'] is pycocotools.coco


def test_a_working_xtcocotools_is_used(library):
    for name in ('__init__', 'coco', 'cocoeval', 'mask'):
        write(library / f'xtcocotools/{name}.py', 'mine = True')
    import_mmpose()
    assert sys.modules['xtcocotools.coco'].mine


def told(library, part, text):
    write(library / f'mmpose/{part}.py', text)
    with pytest.raises(ImportError) as error:
        import_mmpose()
    return str(error.value)


def test_message_names_the_missing_package_and_how_to_install_it(library):
    message = told(library, 'visualization', 'import nowhere_to_be_found.transforms')
    assert message.startswith(
        'Keypoint detection needs nowhere_to_be_found, which is not installed. Install it: pip install'
    )
    assert 'pip install --no-deps mmpose==1.3.2' in message
    assert "'mm_frelu[pose]'" in message


def test_message_names_the_module_that_cannot_be_imported(library):
    message = told(
        library, 'models', "raise RuntimeError('operator torchvision::nms\\ndoes not exist')"
    )
    assert message.startswith(
        'Keypoint detection needs mmpose.models, which cannot be imported (operator torchvision::nms does not exist).'
    )


def test_the_tools_print_the_message_without_a_traceback(library, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'mmpose', None)
    write(tmp_path / 'pose.py', "default_scope = 'mmpose'")
    cfg = Config.fromfile(tmp_path / 'pose.py')
    with pytest.raises(UserError, match=r'pose\.py: Keypoint detection needs mmpose, which is not'):
        require_library(cfg)
