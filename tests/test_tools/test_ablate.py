"""tools/analysis_tools/ablate.py: tables that are what the runs gave, and runs that survive being stopped."""

import csv
import json
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

import pytest
import tiny_project
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mm_frelu.analysis.experiments.choices import parse_choices, with_activation
from mm_frelu.analysis.experiments.options import load_experiment
from mm_frelu.engine import UserError

# One process: the fixtures are trainings, and the runs share a server that has the libraries loaded.
pytestmark = pytest.mark.xdist_group('experiments')

ACTS = ['ReLU', 'FReLU:init=identity']
FOLDERS = ('ReLU', 'FReLU_init=identity')


@pytest.fixture(scope='module')
def tool():
    return tiny_project.load_tool('analysis_tools/ablate.py')


@pytest.fixture(scope='module')
def config(street_scenes, tmp_path_factory):
    settings = tiny_project.segmentation(street_scenes, activation='ReLU')
    return tiny_project.write_config(tmp_path_factory.mktemp('ablate') / 'tiny.py', settings)


@pytest.fixture(scope='module')
def finished(tool, config):
    out = config.parent / 'out'
    tool.main(command(config, out, '--workers', '2'))
    return out


def command(config, out, *options):
    return [
        str(config),
        '--act',
        *ACTS,
        '--seeds',
        '3',
        '5',
        '--rounds',
        '1',
        '--out',
        str(out),
        *options,
    ]


def score(out, folder, seed):
    result = json.loads((out / f'runs/{folder}-seed{seed}/result.json').read_text())
    assert [entry['iter'] for entry in result['history']] == [2]
    return result['history'][-1]['mIoU']


def test_table_and_csv_are_what_the_runs_gave(finished):
    scores = {
        act: [score(finished, folder, seed) for seed in (3, 5)]
        for act, folder in zip(ACTS, FOLDERS)
    }
    rows = list(csv.DictReader(finished.joinpath('ablation.csv').open()))
    assert [row['activation'] for row in rows] == ACTS
    for row in rows:
        values = scores[row['activation']]
        assert [float(row['seed_3']), float(row['seed_5'])] == values
        assert float(row['mean']) == pytest.approx(sum(values) / 2)
    lines = (finished / 'ablation.md').read_text().splitlines()
    assert lines[0].startswith(
        '| activation | mIoU | minus ReLU | parameters | MACs | training step |'
    )
    for line, act in zip(lines[2:], ACTS):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        values = scores[act]
        assert cells[:2] == [act, f'{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}']
    gains = [new - old for old, new in zip(*scores.values())]
    assert cells[2] == f'{statistics.mean(gains):+.1f} ± {statistics.stdev(gains):.1f}'


def test_seeds_and_activations_reach_the_runs(finished):
    for folder, act in zip(FOLDERS, ({'type': 'ReLU'}, {'type': 'FReLU', 'init': 'identity'})):
        for seed in (3, 5):
            settings = json.loads(
                (finished / f'runs/{folder}-seed{seed}/settings.json').read_text()
            )
            assert settings['randomness.seed'] == seed
            prefix = 'model.backbone.act_cfg.'
            assert {k[len(prefix) :]: v for k, v in settings.items() if k.startswith(prefix)} == act
            log = (finished / f'runs/{folder}-seed{seed}/log.txt').read_text()
            assert f'seed: {seed}' in log


def test_picture_is_drawn(finished):
    assert (finished / 'ablation.png').read_bytes().startswith(b'\x89PNG')
    assert not list(finished.rglob('*.partial'))


def test_same_command_does_only_what_is_missing(tool, config, finished, tmp_path, capfd):
    """One run has lost its result, and one was stopped while writing its checkpoint; two are finished and are kept."""
    out = shutil.copytree(finished, tmp_path / 'out')
    lost, cut = out / 'runs/ReLU-seed3', out / 'runs/FReLU_init=identity-seed5'
    for folder in (lost, cut):
        (folder / 'result.json').unlink()
        (folder / 'train/last_checkpoint').write_text(str(folder / 'train/iter_2.pth'))
    checkpoint = cut / 'train/iter_2.pth'
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    kept = out / 'runs/ReLU-seed5/result.json'
    before = kept.stat().st_mtime_ns
    tool.main(command(config, out))
    printed = capfd.readouterr().out
    assert '2 of 4 runs are finished already.' in printed
    assert '[3/4]' in printed
    assert '[4/4]' in printed
    assert kept.stat().st_mtime_ns == before
    results = [json.loads((folder / 'result.json').read_text()) for folder in (lost, cut)]
    assert [result['continued_from'] for result in results] == ['iter_2.pth', None]
    assert 'Stopped and continued: ReLU, seed 3.' in (out / 'ablation.md').read_text()
    # Same weights and same scenes, and the restarted run gives the same result.
    assert score(out, 'ReLU', 3) == score(finished, 'ReLU', 3)
    assert score(out, 'FReLU_init=identity', 5) == score(finished, 'FReLU_init=identity', 5)


def test_finished_runs_of_other_settings_are_refused(tool, config, finished, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(command(config, finished, '--cfg-options', 'optim_wrapper.optimizer.lr=0.5'))
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert 'runs/ReLU-seed3 is a run with other settings' in message
    assert 'optim_wrapper.optimizer.lr was 0.01, now it is 0.5.' in message


def test_baselines_of_the_dy_relu_paper_are_rows(config):
    """Each builds in the config's network, runs, and has the parameters that its formula has."""
    base = Config.fromfile(config)
    counts = {}
    for choice in parse_choices(['ReLU', 'Maxout', 'Maxout:num_maps=3', 'SEReLU:reduction=8']):
        network = MODELS.build(with_activation(base, choice.cfg).model.backbone)
        assert network(torch.rand(2, 3, 32, 32))
        widths = [layer.num_channels for layer in network.modules() if hasattr(layer, 'maps')]
        counts[choice.text] = sum(parameter.numel() for parameter in network.parameters())
        if widths:
            added = sum(width * (width + 1) for width in widths) * (
                choice.cfg.get('num_maps', 2) - 1
            )
            assert counts[choice.text] - counts['ReLU'] == added
    assert counts['SEReLU:reduction=8'] > counts['ReLU']
    with pytest.raises(UserError, match='--act Maxout:num_maps=1: Maxout: num_maps=1 is'):
        parse_choices(['Maxout:num_maps=1'])


def test_a_metric_that_nothing_computes_is_named(tool, config, finished, capsys):
    with pytest.raises(SystemExit):
        tool.main(command(config, finished, '--metric', 'mDice'))
    message = capsys.readouterr().err
    assert '--metric mDice: the validation of ReLU, seed 3 returned aAcc, mIoU, mAcc.' in message


def test_a_run_that_fails_is_named_with_its_log(tool, config, tmp_path, capfd):
    options = ['--seeds', '0', '--rounds', '0', '--out', str(tmp_path / 'out')]
    wrong = ['--cfg-options', 'model.decode_head.in_channels=7']
    with pytest.raises(SystemExit):
        tool.main([str(config), '--act', 'ReLU', *options, *wrong])
    message = capfd.readouterr().err
    assert '1 of 1 runs failed. ReLU, seed 0: ' in message
    assert 'runs/ReLU-seed0/log.txt' in message
    assert not (tmp_path / 'out/ablation.md').exists()


@pytest.mark.slow
def test_detection(tool, street_scenes, tmp_path):
    settings = tiny_project.detection(street_scenes, activation='ReLU')
    config = tiny_project.write_config(tmp_path / 'tiny.py', settings)
    options = ['--act', 'ReLU', '--seeds', '0', '--rounds', '1', '--out', str(tmp_path / 'out')]
    tool.main([str(config), *options])
    row = next(csv.DictReader((tmp_path / 'out/ablation.csv').open()))
    assert row['metric'] == 'coco/bbox_mAP'
    assert 0 <= float(row['mean']) <= 100
    assert int(row['kept']) > 0


def documented(page):
    """The arguments of the commands of this tool in a page of the docs."""
    text = (tiny_project.REPOSITORY / 'docs' / page).read_text()
    lines = re.findall(
        r'^python tools/analysis_tools/(?:ablate|finetune_study)\.py (.*)$', text, re.M
    )
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize(
    ('page', 'name'), [('ablation.md', 'ablate'), ('finetuning.md', 'finetune_study')]
)
def test_documented_commands_are_understood(page, name, street_scenes, monkeypatch):
    """Up to the point where training begins: the options, the data, and the config with each activation."""
    monkeypatch.setenv('STREET_SCENES_ROOT', str(street_scenes))
    monkeypatch.chdir(tiny_project.REPOSITORY)
    commands = documented(page)
    assert len(commands) == 2
    for arguments in commands:
        args = tiny_project.load_tool(f'analysis_tools/{name}.py').parse_args(arguments)
        base = load_experiment(args)
        for choice in parse_choices(args.act):
            assert with_activation(base, choice.cfg).model.backbone.act_cfg == choice.cfg


@pytest.mark.slow
def test_ctrl_c_stops_the_runs_and_the_same_command_goes_on(config, tmp_path):
    out = tmp_path / 'out'
    many = [f'{key}=400' for key in ('train_cfg.max_iters', 'train_cfg.val_interval')]
    options = ['--act', 'ReLU', 'FReLU', '--seeds', '0', '--rounds', '0', '--workers', '2']
    options += ['--out', str(out), '--cfg-options', *many, 'default_hooks.checkpoint.interval=20']
    script = tiny_project.REPOSITORY / 'tools/analysis_tools/ablate.py'
    words = [sys.executable, '-W', 'ignore', str(script), str(config), *options]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Started in the background, a shell's children ignore Ctrl-C, and theirs too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while len(list(out.glob('runs/*/train/last_checkpoint'))) < 2:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.rstrip().endswith('Interrupted.')
    assert not list(out.glob('runs/*/result.json'))
    subprocess.run(words, check=True)
    results = [json.loads(file.read_text()) for file in out.glob('runs/*/result.json')]
    assert len(results) == 2
    assert all(result['continued_from'].startswith('iter_') for result in results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('page', 'name'), [('ablation.md', 'ablate'), ('finetuning.md', 'finetune_study')]
)
def test_documented_commands_run(page, name, street_scenes, monkeypatch, tmp_path):
    """The commands run unchanged, except for one step instead of 280."""
    monkeypatch.setenv('STREET_SCENES_ROOT', str(street_scenes))
    monkeypatch.chdir(tiny_project.REPOSITORY)
    for number, arguments in enumerate(documented(page)):
        out = tmp_path / str(number)
        arguments[arguments.index('--out') + 1] = str(out)
        if '--cfg-options' not in arguments:
            arguments.append('--cfg-options')
        place = arguments.index('--cfg-options') + 1
        arguments[place:place] = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1']
        tiny_project.load_tool(f'analysis_tools/{name}.py').main(arguments)
        assert next(out.glob('*.png')).stat().st_size > 10_000


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['--act', 'ReLU', 'FRelU'],
            "error: --act FRelU: Unknown activation 'FRelU'. Did you mean",
        ),
        (['--act', 'ReLU', '--seeds', '1', '2', '1'], 'error: --seeds: 1 appears twice'),
        (['--act', 'ReLU', '--workers', '0'], 'error: --workers 0'),
        (['--act', 'ReLU', '--rounds', '-1'], 'error: --rounds -1'),
        (
            ['--act', 'ReLU', '--cfg-options', 'train_dataloader.dataset.data_root=nowhere'],
            'train_dataloader.dataset.data_root: the folder nowhere does not exist',
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(tool, config, options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main([str(config), '--out', str(tmp_path / 'out'), *options])
    assert stop.value.code == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
