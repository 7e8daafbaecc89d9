"""What no backend may change: infinities and NaN as torch's operators pass them on, and evaluation image by image."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mm_frelu import DyReLUA, DyReLUB, DyReLUC, FReLU, LightFReLU
from mm_frelu.ops import piecewise_max

NAN, INF = float('nan'), float('inf')
FUNNELS = {
    'FReLU': FReLU,
    'FReLU without norm': lambda c, **more: FReLU(c, norm_cfg=None, **more),
    'LightFReLU sum': LightFReLU,
    'LightFReLU max': lambda c, **more: LightFReLU(c, combine='max', **more),
}
DYNAMIC = {'DyReLUA': DyReLUA, 'DyReLUB': DyReLUB, 'DyReLUC': DyReLUC}
CASES = [(name, backend) for name in FUNNELS for backend in ('eager', 'recompute', 'numba')]
CASES += [(name, backend) for name in DYNAMIC for backend in ('eager', 'recompute')]


def build(name: str, backend: str) -> nn.Module:
    """A layer with random weights and statistics; those of a scale are of both signs."""
    if backend == 'numba':
        pytest.importorskip('numba')
    torch.manual_seed(0)
    layer = {**FUNNELS, **DYNAMIC}[name](4, implementation=backend)
    for parameter in layer.parameters():
        parameter.data.normal_()
    for key, buffer in layer.named_buffers():
        if key.endswith(('running_mean', 'running_var')):
            buffer.uniform_(0.5, 1.5)
    return layer


def written_out(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The definition by torch's own operators."""
    if isinstance(layer, (FReLU, LightFReLU)):
        first, *others = (norm(conv(x)) for conv, norm in layer.windows)
        for value in others:
            first = torch.maximum(first, value) if layer.combine == 'max' else first + value
        return torch.maximum(x, first)
    slopes, intercepts = layer.coefficients(x)
    pieces = x * slopes + intercepts
    highest = torch.maximum(pieces[0], pieces[1])
    return highest * layer.attention(x) if isinstance(layer, DyReLUC) else highest


@pytest.mark.parametrize('value', [NAN, INF, -INF])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(('name', 'backend'), CASES)
def test_what_is_no_number_is_passed_on_as_by_torch(name, backend, training, value):
    layer = build(name, backend).train(training)
    x = torch.randn(2, 4, 6, 7)
    x[0, 1, 2, 3] = value
    reference = copy.deepcopy(layer)
    found, expected = layer(x), written_out(reference, x)
    assert layer.live.name == backend
    assert_close(found, expected, equal_nan=True, rtol=1e-4, atol=1e-4)
    if value != value:
        assert found[0, 1, 2, 3].isnan()
    for ours, theirs in zip(layer.buffers(), reference.buffers()):
        assert_close(ours, theirs, equal_nan=True)


@pytest.mark.parametrize('implementation', ['eager', 'recompute'])
@pytest.mark.parametrize('first', [0.0, 1.0])
@pytest.mark.parametrize('value', [INF, -INF])
def test_a_slope_of_zero_makes_nan_of_infinity(implementation, first, value):
    """In DY-ReLU, whichever piece it belongs to."""
    x = torch.full((1, 2, 1, 1), value)
    slopes = torch.tensor([first, 1 - first]).view(2, 1, 1, 1, 1)
    found = piecewise_max(x, slopes, torch.zeros_like(slopes), implementation=implementation)
    expected = torch.maximum(x * first, x * (1 - first))
    assert expected.isnan().all()
    assert found.isnan().all()


@pytest.mark.parametrize(('name', 'backend'), CASES)
def test_evaluation_is_deterministic_and_looks_at_one_image(name, backend):
    layer = build(name, backend).eval()
    state = copy.deepcopy(layer.state_dict())
    x = torch.randn(3, 4, 6, 7)
    with torch.no_grad():
        together = layer(x)
        assert torch.equal(layer(x), together)
        for index in range(3):
            assert_close(layer(x[index : index + 1])[0], together[index], rtol=1e-5, atol=1e-6)
        broken = x.clone()
        broken[1] = NAN
        assert torch.equal(layer(broken)[[0, 2]], together[[0, 2]])
    for key, value in layer.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('backend', ['eager', 'recompute'])
@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU sum'])
def test_statistics_under_autocast_are_in_single_precision(name, backend, dtype):
    """Features are 30 with a spread of 0.5: summed in half precision their variance would have no digit left."""
    if dtype == torch.float16 and not hasattr(torch, 'get_autocast_dtype'):
        pytest.skip('CPUs have autocast to float16 from torch 2.4 on')
    layer = build(name, backend).train()
    for _, norm in layer.windows:
        norm.momentum = 1.0
    x = 30 + 0.5 * torch.randn(4, 4, 24, 24)
    with torch.autocast('cpu', dtype=dtype):
        layer(x)
        z = [conv(x) for conv, _ in layer.windows]
    for value, (conv, norm) in zip(z, layer.windows):
        assert value.dtype == dtype
        # In double precision. A bias moves the mean alone.
        exact = nn.functional.conv2d(
            x.to(dtype).double(), conv.weight.to(dtype).double(), None, 1, conv.padding, 1, 4
        )
        shift = 0 if conv.bias is None else conv.bias.double()
        for running in (norm.running_mean, norm.running_var):
            assert running.dtype == torch.float32
        assert_close(
            norm.running_mean.double(), exact.mean((0, 2, 3)) + shift, rtol=5e-3, atol=5e-2
        )
        assert_close(norm.running_var.double(), exact.var((0, 2, 3)), rtol=2e-2, atol=0)


@pytest.mark.parametrize('backend', ['recompute', 'numba'])
def test_parameters_may_be_plain_tensors(backend):
    """As FSDP leaves them while a checkpointed block is run again; and their memory can be resized after."""
    layer, x = build('FReLU', backend), torch.randn(2, 4, 6, 7)
    expected = layer.eval()(x)
    for module in (layer.conv, layer.norm):
        for name in ('weight', 'bias'):
            value = module._parameters.pop(name).detach().clone()
            setattr(module, name, value)
    assert torch.equal(layer(x), expected)
    assert layer.live.name == backend
    if hasattr(torch.UntypedStorage, 'resizable'):  # torch 2.3
        assert layer.conv.weight.untyped_storage().resizable()
