"""Counted traffic against what is known of single ops and of the activations."""

import pytest
import torch
from torch import nn

from mm_frelu.analysis.memory_passes import passes

X = torch.randn(2, 64, 32, 32)
CHANNELS = torch.randn(1, 64, 1, 1)
OPS = [
    (lambda: X + X.flip(0), 2 + 3),
    (lambda: X * X, 1 + 1),
    (lambda: X * CHANNELS, 2),
    (lambda: X.view(-1)[1:].reshape(-1), 0),
    (lambda: torch.empty_like(X), 0),
    (lambda: torch.zeros_like(X), 1),
    (lambda: X.clone().add_(1), 2 + 2),
    (lambda: X.clone().copy_(X), 2 + 2),
    (lambda: torch.maximum(X, X.neg(), out=torch.empty_like(X)), 2 + 3),
    (lambda: CHANNELS.expand_as(X), 0),
    (lambda: CHANNELS.expand_as(X) + X, 2),
    (lambda: X >= 0, 1.25),
    (lambda: X.mean(dim=(2, 3)), 1),
]


@pytest.mark.parametrize(('run', 'expected'), OPS)
def test_single_ops(run, expected):
    assert passes(run, X) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_backward_counts(device):
    x = X.to(device).requires_grad_()
    outs = []
    assert passes(lambda: outs.append(nn.functional.relu(x)), x) == 2
    grad = torch.empty_like(x)
    assert passes(lambda: torch.autograd.grad(outs[0], x, grad), x) == 3
