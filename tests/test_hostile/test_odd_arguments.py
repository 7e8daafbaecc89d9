"""Any argument of a layer or of a placement: a layer that works, or an error that names the argument."""

import math
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_frelu import (
    DyReLUA,
    DyReLUB,
    DyReLUC,
    FReLU,
    LightFReLU,
    ResNet,
    ShuffleNetV2,
    build_activation,
)
from mm_frelu.ops import IMPLEMENTATIONS

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=4),
    st.lists(st.integers(0, 3), max_size=3), st.dictionaries(st.just('type'), st.text('abc', min_size=1, max_size=3), max_size=1),
)  # fmt: skip
channels = st.integers(1, 9)
shared = dict(
    init=st.sampled_from(['paper', 'identity', 'zero']),
    implementation=st.sampled_from([*IMPLEMENTATIONS, 'cuda']),
    inplace=st.sampled_from([None, True, False]),
)
norms = st.sampled_from(
    [None, dict(type='BN'), dict(type='SyncBN'), dict(type='IN'), dict(type='LN'), dict(type='GN', num_groups=1),
     dict(type='GN', num_groups=7), dict(type='Nothing'), dict()]
)  # fmt: skip
funnel = dict(
    kernel_size=st.integers(-1, 9),
    dilation=st.integers(0, 3),
    bias=st.booleans(),
    norm_cfg=norms,
    **shared,
)
dynamic = dict(
    num_pieces=st.integers(0, 4), reduction=st.integers(0, 20), lambda_a=st.floats(-1, 2), lambda_b=st.floats(-1, 2),
    intercept=st.booleans(), gate=st.sampled_from(['sigmoid', 'hard_sigmoid', 'tanh']), **shared,
)  # fmt: skip
LAYERS = {
    FReLU: funnel,
    LightFReLU: dict(funnel, combine=st.sampled_from(['sum', 'max', 'mean'])),
    DyReLUA: dynamic,
    DyReLUB: dynamic,
    DyReLUC: dict(
        dynamic,
        temperature=st.one_of(st.floats(0.01, 20), st.floats(-1, 0)),
        attention_mean=st.floats(-1, 2),
    ),
}
many = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


@st.composite
def arguments(draw, layer, odd_ones):
    """Some of the arguments, one of them with an odd value."""
    strategies = LAYERS[layer]
    names = draw(st.sets(st.sampled_from(sorted(strategies)), max_size=5))
    found = {name: draw(strategies[name]) for name in names}
    if odd_ones and names:
        found[draw(st.sampled_from(sorted(names)))] = draw(odd)
    return found


def build(layer, number, found):
    """Build the layer; return None if it was refused with an error that names the argument."""
    try:
        return layer(number, **found)
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        named = [*found, 'num_groups', 'num_channels', 'registry', 'type', 'norm']
        assert any(re.search(name, str(error)) for name in named), repr(error)
        return None


@pytest.mark.parametrize('odd_ones', [False, True])
@pytest.mark.parametrize('layer', LAYERS)
def test_layers(layer, odd_ones):
    @many
    @given(
        number=channels,
        found=arguments(layer, odd_ones),
        shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)),
        dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
        channels_last=st.booleans(),
    )
    def check(number, found, shape, dtype, channels_last):
        module = build(layer, number, found)
        if module is None:
            return
        batch, height, width = shape
        x = torch.randn(batch, number, height, width).to(dtype)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        try:
            out = module.eval().to(dtype)(x)
        except (
            ValueError,
            RuntimeError,
            IndexError,
        ) as error:  # a backend that was asked for by name, a norm that needs pixels
            assert re.search(
                'implementation|MM_FRELU|size|shape|elements|Expected|empty|select|index',
                str(error),
            ), repr(error)
            return
        assert out.shape == x.shape
        assert out.dtype == dtype
        assert out.isfinite().all()

    check()


@many
@given(number=odd, name=st.sampled_from(['FReLU', 'DyReLUB', 'ReLU', 'SiLU', 'Nothing', 7, None]))
def test_builder(number, name):
    try:
        layer = build_activation(dict(type=name), number)
    except (TypeError, ValueError, KeyError) as error:
        assert len(str(error)) > 10
        return
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 50:
        assert layer(torch.randn(1, number, 4, 4)).shape == (1, number, 4, 4)


@settings(many, max_examples=40)
@given(
    backbone=st.sampled_from([ResNet, ShuffleNetV2]),
    found=st.fixed_dictionaries(
        {},
        optional=dict(
            act_stages=st.one_of(odd, st.lists(st.integers(-1, 5), max_size=4)),
            act_sites=st.one_of(odd, st.sampled_from(['all', 'partial', ['act1'], ['act2', 'act3'], ['act9']])),
            act_stem=st.one_of(st.booleans(), odd),
            act_cfg=st.one_of(odd, st.sampled_from([dict(type='FReLU'), dict(type='DyReLUB'), dict(type='FReLU', kernel_size=2)])),
            frozen_stages=st.one_of(st.integers(-1, 6), odd),
            out_indices=st.one_of(st.just((0, 1)), odd),
        ),
    ),
)  # fmt: skip
def test_placements(backbone, found):
    small = dict(depth=18, base_channels=8) if backbone is ResNet else {}
    try:
        model = backbone(**small, **found).eval()
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        words = [
            *found,
            'stage',
            'site',
            'act',
            'num_pieces',
            'type',
            'kernel_size',
            'index',
            'indices',
        ]
        assert any(word in str(error) for word in words), repr(error)
        return
    outs = model(torch.randn(1, 3, 32, 32))
    outs = outs if isinstance(outs, tuple) else (outs,)
    assert all(out.isfinite().all() for out in outs)
    assert not math.isnan(sum(float(out.sum()) for out in outs))
