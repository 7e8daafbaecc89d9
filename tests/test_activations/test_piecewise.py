"""The piecewise map against autograd through all pieces at once."""

import pytest
import torch

from mm_frelu.ops import piecewise_max


def maximum_of_a_stack(x, slopes, intercepts):
    pieces = x * slopes
    return (pieces if intercepts is None else pieces + intercepts).max(dim=0).values


@pytest.mark.parametrize('pieces', [1, 2, 5])
@pytest.mark.parametrize('channels', [1, 6])
@pytest.mark.parametrize('intercept', [True, False])
def test_values_and_gradients(pieces, channels, intercept):
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values.requires_grad_()

    x, slopes = leaf(2, 6, 5, 7), leaf(pieces, 2, channels, 1, 1)
    intercepts = leaf(pieces, 2, channels, 1, 1) if intercept else None
    leaves = [x, slopes] + ([intercepts] if intercept else [])
    grad = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    results = []
    for function in (piecewise_max, maximum_of_a_stack):
        out = function(x, slopes, intercepts)
        results.append([out, *torch.autograd.grad(out, leaves, grad)])
    for actual, expected in zip(*results):
        torch.testing.assert_close(actual, expected)


def test_the_last_of_equal_pieces_gets_the_gradient():
    x = torch.zeros(1, 1, 1, 2, requires_grad=True)
    slopes = torch.tensor([3.0, 5.0, 7.0]).view(3, 1, 1, 1, 1).requires_grad_()
    intercepts = torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1, 1).requires_grad_()
    piecewise_max(x, slopes, intercepts).sum().backward()
    assert x.grad.flatten().tolist() == [5.0, 5.0]
    assert intercepts.grad.flatten().tolist() == [0.0, 2.0, 0.0]
