"""What the fused funnel activation takes and refuses: memory, types, sizes, and values that are not usual."""

import copy
from collections import OrderedDict

import pytest
import torch
from devices import DEVICE, ON_A_GPU, RUNS_KERNELS
from fused_funnel_cases import (
    BRAIN,
    FLOAT,
    HALF,
    Case,
    Definition,
    Site,
    by_kernels,
    compare,
    in_memory,
    inputs,
    random,
    results,
)
from torch import nn

from mm_frelu import FReLU, LightFReLU

pytestmark = RUNS_KERNELS
ODD = Case((2, 2, 4, 8), ('batch', None))


# --- memory ------------------------------------------------------------------------------------------------------------


def with_gaps(x):
    return torch.stack([x, x], dim=-1)[..., 0]


def offset(x):
    """From an odd address on."""
    return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)


def rows_of_more(x):
    return torch.cat([x[:, :, :1], x], dim=2)[:, :, 1:]


def transposed(x):
    return x.transpose(2, 3).contiguous().transpose(2, 3)


@pytest.mark.parametrize('case', [ODD, ODD._replace(dtype=BRAIN)], ids=str)
@pytest.mark.parametrize('kind', [with_gaps, offset, rows_of_more, transposed])
def test_odd_memory(kind, case):
    """Features and gradients: bit for bit what dense ones give."""
    site, features, grad = Site(case), inputs(case), random(case, seed=1)
    with torch.autocast(DEVICE, BRAIN, enabled=case.dtype == BRAIN):
        expected = results(site, site, features, grad)
        leaves = [x.requires_grad_() for x in features]
        again = Site(case)
        y = again(*(kind(x) for x in leaves))
        y.backward(kind(grad))
    assert again.act.live.name == 'triton'
    assert torch.equal(y, expected['y'])
    for index, leaf in enumerate(leaves):
        assert torch.equal(leaf.grad, expected[f'branch {index}'])
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter.grad, expected[f'{name}.grad'])


@pytest.mark.parametrize('last', [False, True])
def test_gradient_of_another_layout(last):
    """Expanded, as that of a sum is, or in the other order."""
    case = Case((1, 3, 4, 4), windows='fixed', last=last)
    for grad in (
        torch.ones((), device=DEVICE).expand(case.shape),
        random(case._replace(last=not last), seed=1),
    ):
        site = Site(case)
        found = results(site, site, inputs(case), grad)
        dense = torch.empty_like(random(case)).copy_(grad)
        twin = Site(case)
        compare(found, results(twin, twin, inputs(case), dense), 0)
        assert in_memory(found['branch 0']) == in_memory(random(case))


def test_branches_of_different_layout():
    """The kernels take one order: the norms come before them, and the values stay."""
    case = Case((2, 3, 4, 4), ('fixed', None))
    first, second = inputs(case)
    site, twin = Site(case), Site(case, 'eager')
    second = second.to(memory_format=torch.channels_last)
    torch.testing.assert_close(site(first, second), twin(first, second), rtol=1e-5, atol=1e-5)
    assert site.act.live == ('triton', "implementation='triton'")


def test_parameters_with_gaps_are_refused():
    layer = FReLU(2, implementation='triton').to(DEVICE)
    layer.norm.weight = nn.Parameter(torch.rand(4, device=DEVICE)[::2])
    with pytest.raises(RuntimeError, match='gaps in memory'):
        layer(random(ODD))


# --- sizes -------------------------------------------------------------------------------------------------------------


def test_images_of_two_to_the_31_values_are_refused():
    """Offsets inside of an image are 32 bits wide."""
    layer = FReLU(2048, implementation='triton', norm_cfg=None).to(DEVICE)
    x = torch.zeros((), device=DEVICE).expand(1, 2048, 1024, 1024)
    with pytest.raises(RuntimeError, match=r"2\*\*31 values.*'auto'.*'eager'"):
        layer(x)


@ON_A_GPU
@pytest.mark.parametrize('last', [False, True])
def test_batches_of_two_to_the_31_values(last):
    """The last image as alone."""
    case = Case((1, 64, 1024, 1024), ('fixed',), windows='fixed', last=last, dtype=HALF, pure=True)
    site, x, grad = Site(case), random(case), random(case, seed=1)
    expected = results(site, site, [x], grad)
    site.requires_grad_(False)
    many = x.new_zeros(33, *case.shape[1:])
    many = many.to(memory_format=torch.channels_last) if last else many
    many[-1] = x[0]
    assert many.numel() > 2**31
    y = site(many.requires_grad_())
    assert torch.equal(y[-1:], expected['y'])
    of_y = torch.zeros_like(y)
    of_y[-1] = grad[0]
    y.backward(of_y)
    assert torch.equal(many.grad[-1:], expected['branch 0'])


@pytest.mark.parametrize('training', [False, True])
def test_one_value_per_channel(training):
    """Nothing can be learned from it, and torch says so."""
    case = Case((1, 3, 1, 1))
    layer, x = Site(case).act.train(training), random(case)
    if training:
        with pytest.raises(ValueError, match='more than 1 value per channel'):
            layer(x)
    else:
        twin = copy.deepcopy(layer)
        twin.implementation = 'eager'
        assert torch.equal(layer(x), twin(x))


def test_empty_batches_are_refused():
    with pytest.raises(RuntimeError, match='empty'):
        FReLU(3, implementation='triton').to(DEVICE)(torch.empty(0, 3, 4, 4, device=DEVICE))


# --- what a specification or the kernels do not cover ------------------------------------------------------------------


def hooked(layer):
    layer.norm.register_forward_hook(lambda *_: None)
    return layer


def parametrized(layer):
    nn.utils.parametrizations.weight_norm(layer.conv)
    return layer


def layer_with(**options):
    return lambda: FReLU(4, **options)


@pytest.mark.parametrize(
    ('build', 'dtype', 'facts'),
    [
        (lambda: FReLU(4).double(), torch.float64, 'float64.*float32, float16 and bfloat16'),
        (layer_with(), BRAIN, 'weights of torch.float32, but the input is torch.bfloat16'),
        (lambda: FReLU(4).bfloat16(), BRAIN, 'BatchNorm2d are not torch.float32'),
        (layer_with(kernel_size=9), FLOAT, '9 is larger than 7'),
        (layer_with(dilation=2), FLOAT, 'dilated'),
        (layer_with(norm_cfg=dict(type='GN', num_groups=2)), FLOAT, 'GroupNorm is not a batch'),
        (lambda: hooked(FReLU(4)), FLOAT, 'hooks'),
        (lambda: parametrized(FReLU(4)), FLOAT, 'ParametrizedConv2d'),
    ],
)
def test_reasons(build, dtype, facts):
    """By name it is an error with the reason and the remedy; auto takes something else."""
    layer = build().to(DEVICE)
    x = random(Case((1, 4, 3, 3), dtype=dtype))
    layer.implementation = 'triton'
    with pytest.raises(RuntimeError, match=f"'triton'.*{facts}.*Use 'auto'"):
        layer(x)
    if dtype != BRAIN:  # eager refuses it, or not, as torch does
        layer.implementation = 'auto'
        layer(x)
        assert layer.live.name != 'triton'


def test_windows_with_norms_of_different_kind_are_refused():
    layer = LightFReLU(4, implementation='triton').to(DEVICE)
    next(iter(layer.windows))[1].eval()
    with pytest.raises(RuntimeError, match='norms of the windows differ'):
        layer(random(Case((1, 4, 3, 3))))


@pytest.mark.parametrize('norms', [('batch', 'fixed'), ('fixed', None, None), ('group',)], ids=str)
def test_norms_that_come_before_the_kernels(norms):
    """The kernels compute the activation of their sum."""
    case = Case((2, 4, 3, 4), tuple(None if norm == 'group' else norm for norm in norms))
    site = Site(case)
    if norms == ('group',):
        site.norms[0] = nn.GroupNorm(2, 4).to(DEVICE)
    definition = Definition(case, site)
    compare(by_kernels(case, site), definition.results(), 1e-4)
    assert site.act.live == ('triton', "implementation='triton'")


# --- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('light', [None, 'max'])
def test_ties_give_each_side_half(light):
    """An identity start is ReLU: at zero, x and T(x) are equal."""
    case = Case((1, 1, 2, 4), windows='fixed', light=light)
    layer = Site(case).act
    for _, norm in layer.windows:
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    x = torch.tensor([[-1.0, 0.0, 2.0, 0.0], [0.0, -3.0, 4.0, 0.0]], device=DEVICE)
    x = x.reshape(case.shape).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y, x.clamp(min=0))
    assert torch.equal(x.grad, (x.detach().sign() + 1) / 2)
    # Half of the gradient of the ties goes to T, and two equal windows share it.
    of_conditions = (x.detach() < 0).sum() + 0.5 * (x == 0).sum()
    for _, norm in layer.windows:
        assert norm.bias.grad.item() == of_conditions.item() / len(layer.windows)


@pytest.mark.parametrize('init', ['identity', 'paper'])
def test_identity_start_is_relu(init):
    """In training, too, whatever the batch; and the other start is not."""
    layer = FReLU(3, init=init, implementation='triton').to(DEVICE)
    x = random(Case((2, 3, 5, 4)))
    assert torch.equal(layer(x), x.relu()) == (init == 'identity')


@pytest.mark.parametrize('windows', ['fixed', 'batch'])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_what_is_no_number_is_passed_on(value, windows):
    case = Case((1, 1, 4, 4), windows=windows)
    x = random(case)
    x[0, 0, 0, 0] = value
    found, expected = (Site(case, name)(x) for name in ('triton', 'eager'))
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('norms', [(None,), ('batch',)], ids=str)
def test_statistics_of_features_far_from_zero(norms):
    """The mean is 10000 times the spread: a sum of squares in single precision would keep no digit of the variance."""
    case = Case((2, 2, 5, 4), norms)
    site, x = Site(case), random(case)
    with torch.no_grad():
        # Taps that pick the pixel itself, so that the border's zeros do not enter.
        site.act.conv.weight.zero_()[:, :, 1, 1] = 1.0
    norm = site.norms[0] if norms == ('batch',) else site.act.norm
    start, momentum = norm.running_var.double(), norm.momentum
    far = (x + 1e4).requires_grad_()
    site(far)
    variance = far.detach().double().var(dim=(0, 2, 3))
    expected = (1 - momentum) * start + momentum * variance
    torch.testing.assert_close(norm.running_var.double(), expected, rtol=1e-4, atol=0)


def test_state_of_norms_loads_and_returns():
    """Kernels write running statistics where the modules keep them."""
    case = Case((2, 2, 3, 3), ('batch',))
    site = Site(case)
    before = OrderedDict((name, value.clone()) for name, value in site.state_dict().items())
    site(*inputs(case))
    changed = {name for name, value in site.state_dict().items() if not value.equal(before[name])}
    names = ('running_mean', 'running_var', 'num_batches_tracked')
    assert changed == {f'{norm}.{name}' for norm in ('act.norm', 'norms.0') for name in names}
    site.load_state_dict(before)
    assert all(value.equal(before[name]) for name, value in site.state_dict().items())
