"""tools/analysis_tools/finetune_study.py: what each start is worth, before the first step and after the last."""

import csv
import json

import pytest
import tiny_project


@pytest.fixture(scope='module')
def study(street_scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('study')
    settings = tiny_project.segmentation(street_scenes, activation='ReLU')
    config = tiny_project.write_config(folder / 'tiny.py', settings)
    tool = tiny_project.load_tool('analysis_tools/finetune_study.py')
    options = ['--seeds', '0', '--out', str(folder / 'out')]
    tool.main([str(config), *options, '--finetune-options', 'optim_wrapper.optimizer.lr=0.001'])
    return folder / 'out'


def rows(study):
    return {row['activation']: row for row in csv.DictReader((study / 'finetuning.csv').open())}


def test_relu_and_the_identity_start_begin_where_training_ended(study):
    trained = json.loads((study / 'trained/ReLU-seed0/result.json').read_text())['history']
    assert [entry['iter'] for entry in trained] == [2]
    for name in ('ReLU', 'FReLU:init=identity'):
        assert float(rows(study)[name]['start']) == trained[-1]['mIoU']


def test_each_row_has_its_start_and_its_end(study):
    assert list(rows(study)) == ['ReLU', 'FReLU:init=identity', 'FReLU:init=paper']
    lines = (study / 'finetuning.md').read_text().splitlines()[2:5]
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
