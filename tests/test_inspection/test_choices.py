"""Choices are read from input and output: the same as comparing the condition with the input, for every backend."""

import pytest
import torch
from torch import nn

from mm_frelu.activations import FReLU, FReLUAblation, LightFReLU
from mm_frelu.inspection.choices import ChannelCounts, chose_window, watched
from mm_frelu.inspection.layers import funnel_layers
from mm_frelu.inspection.windows import effective_windows
from mm_frelu.ops.eager import funnel_condition


@pytest.mark.parametrize('implementation', ['eager', 'recompute'])
@pytest.mark.parametrize('grad', [True, False])
def test_the_choice_is_that_of_the_condition(monkeypatch, implementation, grad):
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', implementation)
    torch.manual_seed(0)
    act = FReLU(3, inplace=True).eval()
    nn.init.normal_(act.norm.weight)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = funnel_condition(x, act.windows) > x
    seen = []
    with torch.set_grad_enabled(grad), watched({'act': act}, lambda *call: seen.append(call)):
        act(x.clone())
        act(x.clone())
    assert [name for name, *_ in seen] == ['act', 'act#2']
    for _, before, after in seen:
        assert torch.equal(chose_window(before, after), expected)
    assert act.inplace
    assert not act._forward_hooks


def test_the_norm_before_an_activation_is_still_part_of_its_input():
    """Backbones compute both as one; while somebody looks, the activation is called with what the norm gives."""
    act, norm = FReLU(2).eval(), nn.BatchNorm2d(2).eval()
    nn.init.constant_(norm.weight, -1.0)
    u, seen = torch.randn(1, 2, 4, 4), []
    with torch.no_grad(), watched({'act': act}, lambda *call: seen.append(call)):
        act.after_norms([(u, norm)])
    torch.testing.assert_close(seen[0][1], norm(u))


def test_counts_add_up_and_tell_always_from_never():
    chosen = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    chosen[:, 0] = True
    chosen[:, 1, 0] = True
    counts = ChannelCounts.of(chosen) + ChannelCounts.of(chosen)
    assert counts.pixels == 8
    assert counts.shares.tolist() == [1.0, 0.5, 0.0]
    assert counts.share == 0.5
    assert (counts.always, counts.never) == ([0], [2])


def test_forms_without_a_choice_are_left_out():
    model = nn.Sequential(FReLU(2), FReLUAblation(2, form='sum'), FReLUAblation(2, 'max_pool'))
    assert list(funnel_layers(model)) == ['0', '2']


@pytest.mark.parametrize('deploy', [False, True])
@pytest.mark.parametrize(
    'act', [FReLU(3, dilation=2), LightFReLU(3, kernel_size=5)], ids=['square', 'light']
)
def test_windows_give_the_condition(act, deploy):
    torch.manual_seed(0)
    act = act.eval()
    for parameter in act.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        # Without what is added: the condition of x less that of zero.
        expected = funnel_condition(x, act.windows) - funnel_condition(x * 0, act.windows)
        if deploy:
            act.switch_to_deploy()
        (window,) = effective_windows(act).values()
        step = act.dilation
        got = nn.functional.conv2d(
            x, window[:, None], padding=step * (act.kernel_size // 2), dilation=step, groups=3
        )
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_two_windows_of_a_maximum_are_shown_one_by_one():
    windows = effective_windows(LightFReLU(2, combine='max'))
    assert {name: tuple(window.shape) for name, window in windows.items()} == {
        '1x3': (2, 3, 3),
        '3x1': (2, 3, 3),
    }
    assert not windows['1x3'][:, [0, 2]].any()
