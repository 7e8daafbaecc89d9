"""tools/analysis_tools/placement_cost.py counts what autograd keeps."""

import sys
from pathlib import Path

import torch

from mm_frelu import FReLU

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'analysis_tools'))
import placement_cost  # noqa: E402


def test_eager_frelu_keeps_three_tensors():
    """The input, the convolution's output (for the norm) and the condition (for the maximum), and two statistics."""
    x = torch.empty(2, 8, 5, 7, device='meta')
    with torch.device('meta'):
        kept = placement_cost.kept_bytes(FReLU(8, implementation='eager'), x)
    assert kept == 4 * (3 * x.numel() + 2 * 8)


def test_recomputed_frelu_keeps_one_tensor():
    x = torch.empty(2, 8, 5, 7, device='meta')
    with torch.device('meta'):
        kept = placement_cost.kept_bytes(FReLU(8, implementation='recompute'), x)
    assert kept == 4 * (x.numel() + 2 * 8)


def test_counting_without_data_equals_counting_with_data(monkeypatch):
    # What computes without data. The loops of CPUs keep a few numbers less.
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', 'recompute')
    options = dict(depth=18, base_channels=8)
    real = placement_cost.kept_bytes(placement_cost.ResNet(**options), torch.rand(1, 3, 64, 64))
    with torch.device('meta'):
        model = placement_cost.ResNet(**options)
        assert placement_cost.kept_bytes(model, torch.empty(1, 3, 64, 64)) == real


def test_table(capsys):
    placement_cost.main(['--depth', '50', '--shape', '64', '128', '--output-stride', '8'])
    table = capsys.readouterr().out
    assert 'ResNet-50' in table
    assert '161,280' in table
    assert '26,880' in table


def test_steps_are_timed_where_asked(capsys):
    placement_cost.main(['--depth', '18', '--shape', '64', '64', '--steps', '1'])
    table = capsys.readouterr().out
    assert table.count(' ms ') == len(placement_cost.PLACEMENTS)
    rows = [line for line in table.splitlines() if '│ ReLU  ' in line]
    assert [row.split('│')[-2].strip() for row in rows] == ['1.00']
