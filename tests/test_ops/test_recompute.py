"""What recomputes in backward, by torch's operators or by compiled loops, against the eager reference."""

import copy
import pickle
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from funnel_cases import LAYERS, NORMS, as_eager, assert_equal_to_eager, build
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from mm_frelu import DyReLUB, DyReLUC, FReLU
from mm_frelu.ops import IMPLEMENTATIONS, recompute
from mm_frelu.ops.modules import read_row, read_spec

# Loops in double precision are compiled once for the tests of this file.
pytestmark = pytest.mark.xdist_group('numba')
both = pytest.mark.parametrize('implementation', ['recompute', 'numba'])


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    ('implementation', 'layout'),
    [
        ('recompute', torch.contiguous_format),
        ('recompute', torch.channels_last),
        ('numba', torch.contiguous_format),
    ],
)
def test_equal_to_eager(layer, norm, training, implementation, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64).to(memory_format=layout)
    layer = build(layer, norm, 5, training, implementation=implementation)
    assert_equal_to_eager(layer, x, rtol=1e-9, atol=1e-11)


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (3, 7, 9, 9))),
    layer=st.sampled_from(sorted(LAYERS)),
    norm=st.sampled_from(sorted(NORMS)),
    training=st.booleans(),
    mean=st.sampled_from([0.0, 100.0]),
    implementation=st.sampled_from(['recompute', 'numba'] if find_spec('numba') else ['recompute']),
)
def test_any_shape(shape, layer, norm, training, mean, implementation):
    count = shape[0] * shape[2] * shape[3]
    if count < 2 and norm != 'no norm':
        return  # torch refuses one value per channel
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64) + mean
    # Few values around a large mean: their variance has lost digits in the reference too.
    layer = build(layer, norm, shape[1], training, implementation=implementation)
    assert_equal_to_eager(layer, x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('training', [True, False])
@both
def test_single_precision(layer, training, implementation):
    torch.manual_seed(0)
    layer = build(layer, 'BN', 16, training, torch.float32, implementation)
    assert_equal_to_eager(layer, torch.randn(2, 16, 9, 8), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('channels', [40, 64])
def test_blocks_of_channels_change_nothing(layer, training, channels, monkeypatch):
    """40 channels: two whole blocks of 16 and a rest."""
    torch.manual_seed(0)
    monkeypatch.setattr(recompute, 'BLOCK_BYTES', 1)
    x = torch.randn(2, channels, 5, 4, dtype=torch.float64)
    assert len(recompute.channel_blocks(x)) == -(-channels // 16)
    assert_equal_to_eager(build(layer, 'BN', channels, training), x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('norm', ['BN', 'no norm'])
@pytest.mark.parametrize('training', [True, False])
@both
def test_gradcheck_once_and_twice(layer, norm, training, implementation):
    torch.manual_seed(0)
    layer = build(layer, norm, 2, training, implementation=implementation)
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()))
    assert torch.autograd.gradgradcheck(forward, (x, *layer.parameters()))
    assert layer.live.name == implementation


@pytest.mark.parametrize('layer', [*LAYERS, DyReLUB, DyReLUC])
@pytest.mark.parametrize('implementation', ['recompute', 'auto'])
def test_several_gradients_at_once(layer, implementation):
    """A vectorised Jacobian goes through backward once, with all rows of an identity."""
    torch.manual_seed(0)
    if layer in LAYERS:
        layer = build(layer, 'BN', 2, True, implementation=implementation)
    else:
        layer = layer(2, implementation=implementation).double()
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    found = jacobian(layer, x, vectorize=True)
    assert layer.live.name != 'eager'
    assert_close(found, jacobian(layer, x))


@both
def test_ties_give_half_to_each_side(implementation):
    """x = 0 and T = 0 everywhere: of a gradient of 1, half reaches x past the window, and none through a zero window."""
    layer = FReLU(3, norm_cfg=None, implementation=implementation)
    for parameter in layer.parameters():
        parameter.data.zero_()
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    layer(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.5))
    assert torch.equal(layer.conv.bias.grad, torch.full((3,), 2.0))


@pytest.mark.parametrize('layer', LAYERS)
@both
def test_ties_between_windows_are_the_references(layer, implementation):
    """Small whole numbers, where sums are exact and ties frequent."""
    torch.manual_seed(0)
    layer = build(layer, 'no norm', 4, True, implementation=implementation)
    for parameter in layer.parameters():
        parameter.data.round_()
    assert_equal_to_eager(layer, torch.randn(2, 4, 9, 9, dtype=torch.float64).round())


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('input_type', [torch.float32, torch.bfloat16])
def test_autocast(layer, training, input_type):
    """Convolutions in bfloat16, norms with statistics in single precision, as the reference under autocast."""
    torch.manual_seed(0)
    layer = build(layer, 'BN', 16, training, torch.float32)
    reference = as_eager(layer)
    x = torch.randn(2, 16, 9, 8).to(input_type)
    found = []
    for each in (layer, reference):
        leaf = x.clone().requires_grad_()
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = each(leaf)
        out.float().square().sum().backward()
        named = {'output': out, 'gradient of x': leaf.grad, **dict(each.named_buffers())}
        named.update((name, parameter.grad) for name, parameter in each.named_parameters())
        found.append(named)
    assert layer.live.name == 'recompute'
    for name, expected in found[1].items():
        ours = found[0][name]
        assert ours.dtype == expected.dtype
        if training and 'conv' in name and name.endswith('bias'):
            assert not ours.any()  # where the reference has rounding errors only
        else:
            difference = (ours.double() - expected.double()).norm()
            assert difference <= 0.02 * expected.double().norm(), name


def test_double_precision_stays_double_under_autocast():
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 4, True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert_equal_to_eager(layer, torch.randn(2, 4, 5, 5, dtype=torch.float64))


@pytest.mark.parametrize('training', [True, False])
@both
def test_empty_batch(training, implementation):
    layer = build('FReLU', 'BN', 4, training, implementation=implementation)
    x = torch.empty(0, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert out.shape == x.shape
    assert x.grad.shape == x.shape


@both
def test_one_value_per_channel_is_refused_in_torchs_words(implementation):
    layer = build('FReLU', 'BN', 4, True, implementation=implementation)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        layer(torch.randn(1, 4, 1, 1, dtype=torch.float64))


@pytest.mark.parametrize('frozen', ['conv', 'norm', 'x'])
@both
def test_what_needs_no_gradient_gets_none(frozen, implementation):
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 4, True, implementation=implementation)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=frozen != 'x')
    if frozen != 'x':
        getattr(layer, frozen).requires_grad_(False)
    layer(x).square().sum().backward()
    assert (x.grad is None) == (frozen == 'x')
    assert (layer.conv.weight.grad is None) == (frozen == 'conv')
    assert (layer.norm.weight.grad is None) == (frozen == 'norm')


@both
def test_copies_and_pickles(implementation):
    torch.manual_seed(0)
    layer = build('LightFReLU max', 'BN', 4, True, implementation=implementation)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.live == layer.live
        assert torch.equal(twin.eval()(x), copy.deepcopy(layer).eval()(x))


def test_state_dict_does_not_depend_on_the_implementation():
    states = [
        build('FReLU', 'BN', 4, True, implementation=name).state_dict() for name in IMPLEMENTATIONS
    ]
    assert all(list(state) == list(states[0]) for state in states)


@pytest.mark.parametrize('reentrant', [True, False])
@both
def test_under_checkpointing(reentrant, implementation):
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 4, True, implementation=implementation)
    plain = copy.deepcopy(layer)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    checkpoint(layer, x, use_reentrant=reentrant).square().sum().backward()
    plain(x.detach()).square().sum().backward()
    assert_close(layer.conv.weight.grad, plain.conv.weight.grad)


@pytest.mark.whole_graph
@pytest.mark.parametrize(
    'implementation', [pytest.param('eager', marks=pytest.mark.slow), 'recompute']
)
@pytest.mark.parametrize('training', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_compiles_without_graph_break(implementation, training):
    torch.manual_seed(0)
    layer = build('LightFReLU max', 'BN', 4, training, implementation=implementation)
    compiled = copy.deepcopy(layer)
    torch._dynamo.reset()
    run = torch.compile(compiled, fullgraph=True, backend='aot_eager')
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    outs = [layer(x), run(x)]
    for out in outs:
        out.square().sum().backward()
    assert_close(*outs)
    for ours, expected in zip(compiled.parameters(), layer.parameters()):
        assert_close(ours.grad, expected.grad)
    for ours, expected in zip(compiled.buffers(), layer.buffers()):
        assert_close(ours, expected)


@pytest.mark.whole_graph
@pytest.mark.parametrize(
    ('norm', 'dtype', 'layout'),
    [
        ('BN', torch.float32, torch.channels_last),  # of the weights alone
        ('no norm', torch.bfloat16, torch.contiguous_format),
    ],
)
def test_operators_of_compiled_graphs_return_what_they_declare(norm, dtype, layout):
    """Inductor relies on the types and strides of the fake implementations."""
    layer = build('FReLU', norm, 16, True, dtype).to(memory_format=layout)
    x = torch.randn(2, 16, 8, 6, dtype=dtype)
    row = [t if t is None else t.detach() for t in read_row([(x, None)], layer.windows)]
    spec = read_spec([(x, None)], layer.windows, 'sum', dtype)
    integers, floats = spec.numbers()
    code = 'recompute', [0, *integers], floats
    tensors, present = [t for t in row if t is not None], [t is not None for t in row]
    check = partial(torch.library.opcheck, test_utils='test_faketensor')
    check(torch.ops.mm_frelu.fused.default, (tensors, present, *code))
    y, *statistics = torch.ops.mm_frelu.fused(tensors, present, *code)
    saved, wanted = spec.saved(row, statistics), [index in (0, 6, 7) for index in range(len(row))]
    check(torch.ops.mm_frelu.fused_backward.default, (saved, [y], *code, wanted))
