"""dist_*.sh and slurm_*.sh: two processes on CPUs train and test; Slurm gets the options it should."""

import os
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_project
import torch
from ports import free_port

TOOLS = tiny_project.REPOSITORY / 'tools'
FAKE_SRUN = """#!/bin/sh
# Writes down what it was asked for. If RUN is set, it then runs the command as Slurm would run a single task.
for argument in "$@"; do echo "$argument"; done > "$RECORD"
[ -n "$RUN" ] || exit 0
while [ "${1#-}" != "$1" ]; do shift; done
SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0 SLURM_NODELIST= exec "$@"
"""


def test_two_processes_train_and_test(segmentor, tmp_path):
    work_dir = tmp_path / 'a folder with spaces'
    script = TOOLS / 'dist_train.sh'
    done = tiny_project.run(
        script, segmentor.config, 2, '--work-dir', work_dir, cwd=tmp_path, PORT=free_port()
    )
    assert done.returncode == 0, done.stdout[-9000:]
    log = next(work_dir.glob('*/*.log')).read_text()
    assert 'GPU number: 2' in log
    assert 'the 2 processes use the gloo backend' in log
    assert len(re.findall('SyncBN layers run as BN', log)) == 1
    assert 'Iter(val) [2/2]' in log  # four images, two for each process
    checkpoint = work_dir / 'iter_2.pth'

    script, out = TOOLS / 'dist_test.sh', tmp_path / 'out'
    arguments = (segmentor.config, checkpoint, 2, '--work-dir', tmp_path / 'two', '--out', out)
    done = tiny_project.run(script, *arguments, cwd=tmp_path, PORT=free_port())
    assert done.returncode == 0, done.stdout[-9000:]
    assert len(list(out.glob('*.png'))) == 4
    tiny_project.load_tool('test.py').main(
        [str(segmentor.config), str(checkpoint), '--work-dir', str(tmp_path / 'one')]
    )
    logs = [next((tmp_path / name).glob('*/*.log')).read_text() for name in ('one', 'two')]
    one, two = (re.search(r'aAcc: .*mIoU: .*mAcc: [\d.]+', log)[0] for log in logs)
    assert one == two


@pytest.mark.slow
@pytest.mark.parametrize('by_option', [True, False])
def test_validation_while_training_is_that_of_the_checkpoint(by_option, street_scenes, tmp_path):
    """Every box of every image is equal, not only the metrics. The windows of two processes see different images."""
    settings = tiny_project.detection(street_scenes, activation='ReLU' if by_option else 'FReLU')
    # Like in detection: the norms of the network are fixed, and those of the windows update their statistics.
    settings['model']['backbone'].update(
        norm_cfg=dict(type='BN'), norm_eval=True, act_norm_eval=False
    )
    seen = tmp_path / 'seen.pkl'
    settings['val_evaluator'] = [
        settings['val_evaluator'],
        dict(type='DumpDetResults', out_file_path=str(seen)),
    ]
    config = tiny_project.write_config(tmp_path / 'detector.py', settings)
    options = ['--act', 'FReLU', '--act-cfg', 'init=paper'] if by_option else []
    script, work_dir = TOOLS / 'dist_train.sh', tmp_path / 'work'
    arguments = (config, 2, '--work-dir', work_dir, *options)
    done = tiny_project.run(script, *arguments, cwd=tmp_path, PORT=free_port())
    assert done.returncode == 0, done.stdout[-9000:]

    tiny_project.load_tool('test.py').main(
        [str(config), str(work_dir / 'iter_2.pth'), '--out', str(tmp_path / 'alone.pkl')]
        + ['--work-dir', str(tmp_path / 'test'), *options]
    )
    found, expected = (
        sorted(pickle.loads(path.read_bytes()), key=lambda image: image['img_path'])
        for path in (seen, tmp_path / 'alone.pkl')
    )
    assert len(found) == 4
    for ours, theirs in zip(found, expected):
        ours, theirs = ours['pred_instances'], theirs['pred_instances']
        assert len(ours['scores']) == 10
        torch.testing.assert_close(ours['scores'], theirs['scores'], rtol=0, atol=1e-7)
        torch.testing.assert_close(ours['bboxes'], theirs['bboxes'], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_two_machines(segmentor, tmp_path):
    """Both machines are this one, with one process each."""
    port = free_port()

    def join(rank):
        return tiny_project.run(
            TOOLS / 'dist_train.sh',
            *(segmentor.config, 1, '--work-dir', tmp_path / 'work'),
            cwd=tmp_path,
            NNODES='2',
            NODE_RANK=str(rank),
            MASTER_ADDR='127.0.0.1',
            PORT=port,
        )

    with ThreadPoolExecutor() as pool:
        for done in pool.map(join, range(2)):
            assert done.returncode == 0, done.stdout[-9000:]
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'GPU number: 2' in log
    assert (tmp_path / 'work/iter_2.pth').is_file()


@pytest.mark.parametrize('runs', [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize('script', ['slurm_train.sh', 'slurm_test.sh'])
def test_slurm_scripts_pass_everything_on(script, runs, segmentor, tmp_path):
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(FAKE_SRUN)
    srun.chmod(0o755)
    files = [segmentor.config] + ([segmentor.checkpoint] if 'test' in script else [])
    options = ['--work-dir', tmp_path / 'my run', '--cfg-options', 'train_cfg.max_iters=1']
    done = tiny_project.run(
        TOOLS / script,
        'vision',
        'my job',
        *files,
        *options,
        cwd=tmp_path,
        PATH=f'{srun.parent}{os.pathsep}{os.environ["PATH"]}',
        RECORD=str(tmp_path / 'record'),
        RUN='1' if runs else '',
        GPUS='16',
        GPUS_PER_NODE='8',
        CPUS_PER_TASK='3',
        SRUN_ARGS='--quotatype=spot --exclusive',
        MASTER_PORT=free_port(),
    )
    assert done.returncode == 0, done.stdout[-9000:]
    tool = TOOLS / script.replace('slurm_', '').replace('.sh', '.py')
    assert (tmp_path / 'record').read_text().splitlines() == [
        '--partition=vision',
        '--job-name=my job',
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=3',
        '--kill-on-bad-exit=1',
        '--quotatype=spot',
        '--exclusive',
        sys.executable,
        '-u',
        *map(str, [tool, *files, '--launcher', 'slurm', *options]),
    ]
    if runs:
        log = next((tmp_path / 'my run').glob('*/*.log')).read_text()
        assert 'Distributed launcher: slurm' in log
        assert 'mIoU: ' in log


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_scripts_without_arguments_say_how_to_call_them(script, tmp_path):
    done = tiny_project.run(TOOLS / script, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith('usage: ')


def test_a_launcher_that_did_not_launch_is_named(segmentor, capsys, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit):
        tiny_project.load_tool('train.py').main([str(segmentor.config), '--launcher', 'pytorch'])
    assert 'Use tools/dist_train.sh' in capsys.readouterr().err
    assert not torch.distributed.is_initialized()
