"""Models trained for two iterations through tools/train.py, once for all tests of the tools."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_project


@pytest.fixture(autouse=True)
def _fresh_process():
    tiny_project.forget_runs()


def _train(folder: Path, name: str, settings: dict) -> SimpleNamespace:
    config = tiny_project.write_config(folder / f'{name}.py', settings)
    work_dir = folder / f'work_{name}'
    tiny_project.forget_runs()  # session fixtures come before those of a test
    tiny_project.load_tool('train.py').main([str(config), '--work-dir', str(work_dir)])
    tiny_project.forget_runs()
    log = next(work_dir.glob('*/*.log')).read_text()
    return SimpleNamespace(
        config=config, work_dir=work_dir, log=log, checkpoint=work_dir / 'iter_2.pth'
    )


@pytest.fixture(scope='session')
def segmentor(street_scenes, tmp_path_factory) -> SimpleNamespace:
    """A PSPNet with FReLU: its config, work_dir, log text and checkpoint."""
    settings = tiny_project.segmentation(street_scenes)
    return _train(tmp_path_factory.mktemp('segmentor'), 'psp_frelu', settings)


@pytest.fixture(scope='session')
def relu_segmentor(street_scenes, tmp_path_factory) -> SimpleNamespace:
    """The same with ReLU."""
    settings = tiny_project.segmentation(street_scenes, activation='ReLU')
    return _train(tmp_path_factory.mktemp('relu_segmentor'), 'psp_relu', settings)


@pytest.fixture(scope='session')
def detector(street_scenes, tmp_path_factory) -> SimpleNamespace:
    """A RetinaNet with FReLU."""
    settings = tiny_project.detection(street_scenes)
    return _train(tmp_path_factory.mktemp('detector'), 'retina_frelu', settings)
