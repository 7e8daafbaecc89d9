"""Configs with a wrong line or entry: the tools build them, or stop with an error of one paragraph."""

import io
import re
from contextlib import redirect_stderr
from pathlib import Path
from random import Random

import damage
import pytest
import tiny_project
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop

from mm_frelu.engine import arguments, exit_on_user_error
from mm_frelu.engine.launch import train

ROOT = Path(__file__).parents[2]
KINDS = {'segmentation': tiny_project.segmentation, 'detection': tiny_project.detection}


@exit_on_user_error
def build(path, work_dir):
    """Run everything that tools/train.py does before the first step."""
    cfg = arguments.read_config(str(path))
    cfg.launcher, cfg.work_dir, cfg.log_level = 'none', str(work_dir), 'ERROR'
    train(cfg)


def outcome(path, work_dir):
    """Return the printed error; empty if the model was built."""
    stderr = io.StringIO()
    try:
        with redirect_stderr(stderr):
            build(path, work_dir)
    except SystemExit as stopped:
        assert stopped.code == 1
        message = stderr.getvalue()
        assert message.startswith('error: ')
        assert 20 < len(message) < 3000
        return message
    return ''


@pytest.fixture
def no_training(monkeypatch):
    """Build everything for training, but do not train."""
    monkeypatch.setattr(IterBasedTrainLoop, 'run', lambda self: None)


@pytest.mark.parametrize('count', [3, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize('kind', KINDS)
def test_entries(street_scenes, tmp_path, no_training, kind, count):
    path = tmp_path / 'config.py'
    refused = 0
    for case in range(count):
        settings = KINDS[kind](street_scenes)
        Config(damage.of_tree(settings, Random(f'{kind} {case}'))).dump(path)
        try:
            refused += bool(outcome(path, tmp_path / 'work'))
        except Exception as error:
            raise AssertionError(f'case {case}: {error!r}\n{path.read_text()}') from error
    assert refused


@pytest.mark.parametrize('count', [15, pytest.param(300, marks=pytest.mark.slow)])
def test_text(tmp_path, count):
    """Of a packaged config, with the files that it inherits from."""
    source = ROOT / 'configs/retinanet/retinanet_r50-frelu_fpn_1x_coco.py'
    text = re.sub(r"'\.\./_base_", f"'{ROOT / 'configs/_base_'}", source.read_text())
    text = re.sub(r"_base_ = '(?:\./)?(?=\w)", f"_base_ = '{source.parent}/", text)
    path = tmp_path / 'config.py'
    path.write_text(text)
    assert arguments.read_config(str(path)).model.type == 'RetinaNet'

    @exit_on_user_error
    def read():
        arguments.read_config(str(path))

    for case in range(count):
        random = Random(case)
        path.write_bytes(damage.of_bytes(text.encode(), random))
        stderr = io.StringIO()
        try:
            with redirect_stderr(stderr):
                read()
        except SystemExit:
            assert stderr.getvalue().startswith('error: config ')
        except Exception as error:
            raise AssertionError(f'case {case}: {error!r}\n{path.read_bytes()}') from error
