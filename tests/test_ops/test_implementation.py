"""Which implementation is live: config word, environment, reasons to fall back, and how it is shown."""

import copy
from unittest.mock import Mock, patch

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from mm_frelu import DyReLUB, DyReLUC, FReLU, LightFReLU, build_activation
from mm_frelu.activations import live
from mm_frelu.analysis.complexity import count_macs
from mm_frelu.ops import dispatch
from mm_frelu.ops.autograd import Backend
from mm_frelu.ops.dispatch import VARIABLE


@pytest.fixture
def x():
    return torch.randn(2, 8, 5, 5)


@pytest.mark.parametrize(
    ('layer_class', 'best'),
    [(FReLU, 'numba'), (LightFReLU, 'numba'), (DyReLUB, 'recompute'), (DyReLUC, 'recompute')],
)
def test_auto_on_a_cpu(layer_class, best, x):
    layer = layer_class(8)
    assert layer.implementation == 'auto'
    assert 'live=' not in repr(layer)
    assert layer(x).shape == x.shape
    name, reason = layer.live
    assert name == best
    assert reason.startswith("implementation='auto'")
    assert f'live={best}' in repr(layer)


def choose(device, able):
    """What ``auto`` chooses where these backends can."""
    backends = {
        name: Backend(lambda *_, name=name: None if name in able else f'no {name} here', Mock())
        for name in dispatch.BACKENDS
    }
    row = [Mock(device=torch.device(device))]
    with patch.object(dispatch, 'BACKENDS', backends):
        choice, _ = dispatch.select('auto', object(), row, lambda: (object(), None))
    return choice


@pytest.mark.parametrize(
    ('device', 'able', 'expected'),
    [
        ('cuda', ['triton', 'numba', 'recompute'], 'triton'),
        ('cuda', ['recompute'], 'eager'),  # slower than eager there
        ('cpu', ['triton', 'numba', 'recompute'], 'numba'),
        ('cpu', ['triton', 'recompute'], 'recompute'),
        ('cpu', [], 'eager'),
        ('xpu', ['triton', 'numba', 'recompute'], 'eager'),
    ],
)
def test_auto_takes_the_fastest_of_a_device(device, able, expected):
    name, reason = choose(device, able)
    assert name == expected
    for refused in set(dispatch.AUTOMATIC.get(device, ())) - set(able):
        assert f'no {refused} here' in reason


def test_a_choice_is_made_once_for_a_layer_and_a_kind_of_input(x, monkeypatch):
    chosen = []
    choose = dispatch._choose
    monkeypatch.setattr(dispatch, '_choose', lambda *args: chosen.append(1) or choose(*args))
    dispatch._selected.clear()
    layer = FReLU(8)
    for _ in range(3):
        layer(x)
    assert len(chosen) == 1
    layer(x[:1]), layer.eval()(x), layer(x)
    assert len(chosen) == 3
    monkeypatch.setattr(dispatch, 'MAX_PLANS', 2)
    layer(x[..., :3])
    assert len(dispatch._selected) <= 3


@pytest.mark.numba
def test_counting_is_not_noticed(x):
    """The hooks that count make FReLU fall back, which is not what will compute it."""
    model = nn.Sequential(FReLU(8))
    assert count_macs(model, lambda model: model(x)) == {'0.conv': 9 * x.numel()}
    assert model[0].live is None
    model(x)
    assert model[0].live.name == 'numba'


@pytest.mark.parametrize('layer_class', [FReLU, LightFReLU, DyReLUB])
@pytest.mark.parametrize('word', ['eager', 'recompute'])
def test_config_word_and_environment(layer_class, word, x, monkeypatch):
    layer = build_activation(dict(type=layer_class, implementation=word), 8)
    layer(x)
    assert layer.live == (word, f"implementation='{word}'")
    other = {'eager': 'recompute', 'recompute': 'eager'}[word]
    monkeypatch.setenv(VARIABLE, other)
    layer(x)
    assert layer.live == (other, f'{VARIABLE}={other}')


def test_wrong_words_are_told(x, monkeypatch):
    with pytest.raises(ValueError, match='implementation must be one of auto, eager, recompute'):
        FReLU(8, implementation='fast')
    with pytest.raises(ValueError, match='implementation must be one of auto, eager, recompute'):
        DyReLUB(8, implementation='fast')
    monkeypatch.setenv(VARIABLE, 'fast')
    with pytest.raises(ValueError, match=f'{VARIABLE}=fast: expected one of auto, eager'):
        FReLU(8)(x)


@pytest.mark.parametrize('layer_class', [FReLU, DyReLUB])
def test_triton_on_a_cpu_is_refused(layer_class, x, monkeypatch):
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with pytest.raises(RuntimeError, match="implementation='triton' does not support this layer"):
        layer_class(8, implementation='triton')(x)


@pytest.mark.numba
@pytest.mark.parametrize('word', ['numba', 'auto'])
def test_what_cannot_take_the_norm_before_it_takes_its_output(word, x):
    layer, norm = FReLU(8, implementation=word), nn.GroupNorm(2, 8)
    reference = copy.deepcopy(layer)
    reference.implementation = 'eager'
    torch.testing.assert_close(layer.after_norms([(x, norm), (x, None)]), reference(norm(x) + x))
    assert layer.live == ('numba', f"implementation='{word}'")
    layer.after_norms([(x, nn.BatchNorm2d(8)), (x, None)])
    assert layer.live == ('numba', f"implementation='{word}', from before the norm")


def hooked(layer):
    layer.norm.register_forward_hook(lambda *_: None)


def hooked_before(layer):
    layer.conv.register_forward_pre_hook(lambda *_: None)


def hooked_in_backward(layer):
    layer.conv.register_full_backward_hook(lambda *_: None)


def parametrized(layer):
    torch.nn.utils.parametrize.register_parametrization(layer.conv, 'weight', nn.Tanh())


def replaced_window(layer):
    layer.conv = nn.Sequential(layer.conv)


def own_forward(layer):
    layer.conv.forward = lambda x: 2 * x


def group_norm(layer):
    layer.norm = nn.GroupNorm(4, 8)


def other_weights(layer):
    layer.conv.weight = nn.Parameter(torch.randn(8, 1, 5, 5))


def fewer_weights(layer):
    layer.conv.weight = nn.Parameter(torch.randn(4, 1, 3, 3))


def other_bias(layer):
    layer.conv.bias = nn.Parameter(torch.randn(8, dtype=torch.float64))


def other_norm(layer):
    layer.norm = nn.BatchNorm2d(9)


def elsewhere(layer):
    layer.to('meta')


@pytest.mark.parametrize(
    ('change', 'norm_cfg'),
    [
        (other_weights, None),
        (fewer_weights, None),
        (other_bias, None),
        (other_norm, dict(type='BN')),
        (elsewhere, dict(type='BN')),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_torchs_words(change, norm_cfg, x):
    layer = FReLU(8, norm_cfg=norm_cfg)
    change(layer)
    with pytest.raises(RuntimeError) as expected:
        torch.maximum(x, layer.norm(layer.conv(x)))
    with pytest.raises(RuntimeError) as found:
        layer(x)
    assert str(found.value) == str(expected.value)


def reflecting(layer):
    layer.conv.padding_mode = 'reflect'


@pytest.mark.numba
@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (hooked, 'BatchNorm2d has hooks'),
        (hooked_before, 'Conv2d has hooks'),
        (hooked_in_backward, 'Conv2d has hooks'),
        (parametrized, 'ParametrizedConv2d, not a plain Conv2d'),
        (replaced_window, 'Sequential, not a plain Conv2d'),
        (own_forward, 'Conv2d has hooks or its own forward'),
        (group_norm, 'GroupNorm is not a batch norm'),
        (reflecting, 'not a depthwise convolution that keeps the shape'),
    ],
)
def test_falls_back_with_a_reason(change, reason, x):
    layer = FReLU(8)
    change(layer)
    expected = torch.maximum(x, layer.norm(layer.conv(x)))
    assert torch.equal(layer(x), expected)
    assert layer.live.name == 'eager'
    assert 'not numba or recompute: ' in layer.live.reason
    assert reason in layer.live.reason
    layer.implementation = 'recompute'
    with pytest.raises(RuntimeError, match=reason):
        layer(x)


def test_hooks_on_all_modules_run(x):
    layer, seen = FReLU(8), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        layer(x)
    finally:
        handle.remove()
    assert layer.conv in seen
    assert layer.norm in seen


@pytest.mark.numba
def test_forward_mode_and_transforms_fall_back(x):
    layer = FReLU(8).eval()
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, x))).tangent
    assert tangent is not None
    assert 'forward-mode' in layer.live.reason
    gradient = torch.func.grad(lambda x: layer(x).sum())(x)
    assert 'torch.func' in layer.live.reason
    leaf = x.clone().requires_grad_()
    layer(leaf).sum().backward()
    assert layer.live.name == 'numba'
    torch.testing.assert_close(gradient, leaf.grad)


def test_traced_graphs_are_eager(x):
    layer = FReLU(8, implementation='recompute').eval()
    traced = torch.jit.trace(layer, x)
    assert 'aten::maximum' in str(traced.inlined_graph)
    assert 'PythonOp' not in str(traced.inlined_graph)
    torch.testing.assert_close(traced(x), layer(x))


@pytest.mark.parametrize('layer_class', [FReLU, LightFReLU])
def test_symbolic_graphs_are_eager(layer_class, x):
    layer = layer_class(8).eval()
    torch.testing.assert_close(torch.fx.symbolic_trace(layer)(x), layer(x))


@pytest.mark.whole_graph
@pytest.mark.parametrize('layer_class', [FReLU, LightFReLU])
def test_exported_programs(layer_class, x):
    layer = layer_class(8).eval()
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))


def test_log_says_it_once(x, monkeypatch):
    said = []
    monkeypatch.setattr(live, 'print_log', lambda message, **_: said.append(message))
    live._log_once.cache_clear()
    for _ in range(2):
        FReLU(8, implementation='eager')(x)
    assert said == ["FReLU is computed by eager (implementation='eager')."]
