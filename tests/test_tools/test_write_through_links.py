"""Every tool follows links when it writes its output."""

import json
import pickle

import pytest
import tiny_project
import torch

SHAPES = ['--shape', '64', '128']


@pytest.fixture
def link(tmp_path):
    """Links of any suffix to files on another disk."""
    disk = tmp_path / 'disk'
    disk.mkdir()

    def make(name):
        (disk / name).write_text('old')
        (tmp_path / name).symlink_to(disk / name)
        return tmp_path / name

    return make


def test_numbers_and_configs(segmentor, link):
    numbers, config = link('flops.json'), link('config.json')
    run = tiny_project.load_tool('analysis_tools/get_flops.py').main
    run([str(segmentor.config), '--shape', '64', '128', '--json', str(numbers)])
    run = tiny_project.load_tool('misc/print_config.py').main
    run([str(segmentor.config), '--save-path', str(config)])
    for path, key in ((numbers, 'parts'), (config, 'model')):
        assert path.is_symlink()
        assert key in json.loads(path.read_text())


def test_predictions_of_a_detector(detector, link, tmp_path):
    out = link('boxes.pkl')
    run = tiny_project.load_tool('test.py').main
    run(
        [
            str(detector.config),
            str(detector.checkpoint),
            '--out',
            str(out),
            '--work-dir',
            str(tmp_path / 'run'),
        ]
    )
    assert out.is_symlink()
    assert len(pickle.loads(out.read_bytes())) == 4
    assert [path.name for path in (tmp_path / 'disk').iterdir()] == ['boxes.pkl']


def test_weights(link, tmp_path):
    from mm_frelu.checkpoints.saving import save_checkpoint

    target = link('weights.pth')
    save_checkpoint(dict(meta={}, state_dict=dict(a=torch.ones(2))), target, 'DST')
    assert target.is_symlink()
    assert torch.load(target, weights_only=True)['state_dict']['a'].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('tool', 'options'),
    [
        ('analysis_tools/get_flops.py', ['--shape', '64', '128', '--json']),
        ('analysis_tools/check_replacement.py', ['--act', 'FReLU', '--out']),
    ],
)
def test_a_folder_is_refused_before_anything_is_computed(
    tool, options, segmentor, tmp_path, capsys
):
    arguments = [str(segmentor.config), *options, str(tmp_path)]
    with pytest.raises(SystemExit):
        tiny_project.load_tool(tool).main(arguments)
    captured = capsys.readouterr()
    assert f'{options[-1]} {tmp_path} is a folder' in captured.err
    assert not captured.out
