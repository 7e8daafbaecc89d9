"""tools/analysis_tools/finetune_study.py: scores before the first step and after the last."""

import csv
import json
from pathlib import Path

import pytest
import tiny_project

# One process: the fixtures are trainings, and the runs share a server that has the libraries loaded.
pytestmark = pytest.mark.xdist_group('experiments')

ACTS = ['ReLU', 'FReLU:init=identity']


@pytest.fixture(scope='module')
def command(street_scenes, tmp_path_factory):
    """The tool's ``main`` and its arguments. Its output is in ``out`` next to the config."""
    folder = tmp_path_factory.mktemp('study')
    settings = tiny_project.segmentation(street_scenes, activation='ReLU')
    config = tiny_project.write_config(folder / 'tiny.py', settings)
    options = ['--act', *ACTS, '--seeds', '0', '--workers', '2', '--out', str(folder / 'out')]
    options += ['--finetune-options', 'optim_wrapper.optimizer.lr=0.001']
    return tiny_project.load_tool('analysis_tools/finetune_study.py').main, [str(config), *options]


@pytest.fixture(scope='module')
def study(command):
    main, arguments = command
    main(arguments)
    return Path(arguments[0]).parent / 'out'


def rows(study):
    return {row['activation']: row for row in csv.DictReader((study / 'finetuning.csv').open())}


def test_relu_and_the_identity_start_begin_where_training_ended(study):
    trained = json.loads((study / 'trained/ReLU-seed0/result.json').read_text())['history']
    assert [entry['iter'] for entry in trained] == [2]
    for name in ACTS:
        assert float(rows(study)[name]['start']) == trained[-1]['mIoU']


def test_each_row_has_its_start_and_its_end(study):
    assert list(rows(study)) == ACTS
    lines = (study / 'finetuning.md').read_text().splitlines()[2:4]
    for line, (name, row) in zip(lines, rows(study).items()):
        folder = study / 'finetuned' / f'{name.replace(":", "_")}-seed0'
        history = json.loads((folder / 'result.json').read_text())['history']
        assert [entry['iter'] for entry in history] == [0, 2]
        assert [float(row['start']), float(row['end'])] == [entry['mIoU'] for entry in history]
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        assert cells[:3] == [name, f'{float(row["start"]):.1f}', f'{float(row["end"]):.1f}']


def test_fine_tuning_has_its_own_schedule(study):
    def learning_rate(folder):
        settings = json.loads((study / folder / 'settings.json').read_text())
        return settings['optim_wrapper.optimizer.lr']

    assert learning_rate('trained/ReLU-seed0') == 0.01
    assert learning_rate('finetuned/ReLU-seed0') == 0.001


def test_picture_is_drawn(study):
    assert (study / 'finetuning.png').read_bytes().startswith(b'\x89PNG')


def test_a_continued_run_keeps_its_start(command, study):
    """Stopped after its last checkpoint and before its last validation: step 0 comes from the checkpoint."""
    main, arguments = command
    result = study / 'finetuned/FReLU_init=identity-seed0/result.json'
    before = json.loads(result.read_text())
    result.unlink()
    main(arguments)
    after = json.loads(result.read_text())
    assert after['history'] == before['history']
    assert after['continued_from'] == 'iter_2.pth'
