"""The benchmarks run, and their counts equal known values."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mm_frelu.analysis.measure import interleaved

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'analysis_tools'))
import benchmark_activation  # noqa: E402
import benchmark_host  # noqa: E402
import benchmark_model  # noqa: E402

CONFIG = 'configs/pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py'


def test_interleaved_takes_turns():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in 'ab'}
    times = interleaved(runs, 3, torch.device('cpu'))
    assert order == list('ab') * 5
    assert all(time.fastest <= time.median <= time.slowest for time in times.values())


@pytest.mark.parametrize('mode', ['train', 'eval'])
def test_activation(mode, tmp_path, capsys):
    file, plot = tmp_path / 'a.json', tmp_path / 'a.png'
    command = f'--shapes 16x12x10 32x6x5 --mode {mode} --repeat 2 --device cpu --json {file} --plot {plot}'
    benchmark_activation.main(
        [*command.split(), '--backends', 'relu', 'eager', 'recompute', 'triton']
    )
    results = json.loads(file.read_text())['results']
    kept = {row['backend']: row['kept_of_x'] for row in results[0]['backends']}
    if mode == 'train':
        assert kept['relu'] == 1
        assert 3 <= kept['eager'] < 3.05
        assert 1 <= kept['recompute'] < 1.05
        assert results[0]['backends'][0]['passes'] == [2, 3]  # ReLU
    else:
        assert set(kept.values()) == {0}
    for row in results[0]['backends']:
        # Only a GPU has two times.
        assert row['device_ms'] is None
        assert row['host_ms'] is None
        assert row['fastest'] <= row['median'] <= row['slowest']
    assert 'triton' in results[0]['absent']
    assert 'Absent here: triton' in capsys.readouterr().out
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(('mode', 'floor'), [('frozen', 8), ('eval', 3)])
def test_dynamic_activation_has_its_own_floor(mode, floor, tmp_path, capsys):
    file = tmp_path / 'a.json'
    command = (
        f'--layer DyReLUC --shapes 64x16x16 --mode {mode} --repeat 1 --device cpu --json {file}'
    )
    benchmark_activation.main([*command.split(), '--backends', 'eager', 'recompute'])
    assert f'floor, {floor} passes' in capsys.readouterr().out
    eager, recompute = json.loads(file.read_text())['results'][0]['backends']
    assert recompute['passes'][0] < eager['passes'][0]
    if mode == 'frozen':
        # x, the comparison of the two pieces (a byte for each value), the maximum; x alone.
        assert 2.25 <= eager['kept_of_x'] < 2.45
        assert 1 <= recompute['kept_of_x'] < 1.2


def test_activation_says_what_a_shape_is(capsys):
    with pytest.raises(SystemExit):
        benchmark_activation.main(['--shapes', '64x128'])
    assert '--shapes 64x128: expected channels, height and width' in capsys.readouterr().err


def test_model(tmp_path, capsys):
    file = tmp_path / 'm.json'
    options = f'--part backbone --shape 64 64 --repeat 1 --device cpu --json {file}'
    slim = ['--cfg-options', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8']
    benchmark_model.main([CONFIG, *options.split(), *slim])
    rows = {row['variant']: row for row in json.loads(file.read_text())['rows']}
    assert list(rows) == ['relu', 'eager', 'auto']
    assert rows['eager']['kept_bytes'] > 1.5 * rows['relu']['kept_bytes']
    assert rows['auto']['kept_bytes'] < 1.15 * rows['relu']['kept_bytes']
    assert not rows['relu']['live']
    assert 'eager' in rows['eager']['live'][0]
    for row in rows.values():
        assert row['step_device_ms'] is row['inference_device_ms'] is None
        assert benchmark_model.bound_by(row) == '-'
    assert 'bound by' in capsys.readouterr().out


def test_model_of_backends_by_name(tmp_path):
    """The config is for several GPUs: its SyncBN becomes BN, which any backend takes."""
    file = tmp_path / 'm.json'
    options = f'--part backbone --shape 32 32 --repeat 1 --device cpu --json {file}'
    slim = ['--cfg-options', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8']
    backends = ['--backends', 'recompute', '--dtype', 'bfloat16', '--layout', 'channels_last']
    benchmark_model.main([CONFIG, *options.split(), *backends, *slim])
    content = json.loads(file.read_text())
    assert [row['variant'] for row in content['rows']] == ['relu', 'recompute']
    assert content['options']['backends'] == ['recompute']


@pytest.mark.parametrize(
    ('step', 'device', 'expected'), [(10, 9.5, 'device'), (10, 6, 'host'), (10, None, '-')]
)
def test_what_bounds_a_step(step, device, expected):
    row = dict(step_ms=dict(median=step), step_device_ms=device)
    assert benchmark_model.bound_by(row) == expected


def test_model_without_activations_of_ours():
    with pytest.raises(benchmark_model.UserError, match='has no FReLU'):
        benchmark_model.variants(nn.Sequential(nn.ReLU()), ['eager'])


def test_host(tmp_path, capsys):
    pytest.importorskip('triton', reason='Triton is made for Linux')
    file = tmp_path / 'h.json'
    benchmark_host.main(['--device', 'cpu', '--repeat', '2', '--json', str(file)])
    rows = {row['case']: row for row in json.loads(file.read_text())['rows']}
    assert rows['FReLU: inference']['launches'] == 1
    assert rows['FReLU']['launches'] < rows['BN, FReLU']['launches']
    for row in rows.values():
        assert 0 < row['fastest_host_ms'] <= row['host_ms']
        assert row['allocations'] > 0
        assert row['calls'] > row['launches']
    out = capsys.readouterr().out
    assert 'nothing is launched' in out
    assert '0.25 ms' in out


def test_host_without_triton(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'triton', None)
    for name in ('funnel', 'funnel_kernels', 'launch'):
        monkeypatch.delitem(sys.modules, f'mm_frelu.ops.gpu.{name}', raising=False)
        monkeypatch.delattr(f'mm_frelu.ops.gpu.{name}', raising=False)
    with pytest.raises(SystemExit):
        benchmark_host.main(['--device', 'cpu', '--repeat', '2'])
    assert 'need triton' in capsys.readouterr().err
