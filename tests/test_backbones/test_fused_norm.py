"""An activation behind a convolution with its norm, and in a row of layers: what the layers one by one would give."""

import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.model import Sequential
from torch import nn
from torch.testing import assert_close

from mm_frelu import FReLU
from mm_frelu.backbones.fused_norm import activate_conv, activate_in_row

BN = dict(type='BN')


class ConvModuleOfAnother(ConvModule):
    """One whose forward is more than convolution and norm."""

    def forward(self, x):
        """Twice what its parent gives."""
        return 2 * super().forward(x)


def conv_module(kind=ConvModule, **options):
    return kind(4, 4, 3, padding=1, **{'norm_cfg': BN, 'act_cfg': None, **options})


def doubled(hook):
    """A module with a hook that doubles what goes in (``'pre'``) or comes out (``'post'``)."""
    conv = conv_module()
    if hook == 'pre':
        conv.register_forward_pre_hook(lambda _, args: (2 * args[0],))
    else:
        conv.register_forward_hook(lambda _, args, out: 2 * out)
    return conv


SPLIT = {
    'conv and norm': conv_module,
    'activation first': lambda: conv_module(order=('act', 'conv', 'norm')),
    'other padding': lambda: conv_module(padding_mode='reflect'),
    'spectral norm': lambda: conv_module(with_spectral_norm=True),
}
WHOLE = {
    'no norm': lambda: conv_module(norm_cfg=None),
    'group norm': lambda: conv_module(norm_cfg=dict(type='GN', num_groups=2)),
    'norm first': lambda: conv_module(order=('norm', 'conv', 'act')),
    'activation of its own': lambda: conv_module(act_cfg=dict(type='ReLU')),
    'norm folded on the fly': lambda: conv_module(efficient_conv_bn_eval=True),
    'pre-hook': lambda: doubled('pre'),
    'hook': lambda: doubled('post'),
    'subclass': lambda: conv_module(ConvModuleOfAnother),
    'no ConvModule': lambda: nn.Conv2d(4, 4, 1),
}


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('case', [*SPLIT, *WHOLE])
def test_convolution_and_norm(case, training):
    torch.manual_seed(0)
    conv = {**SPLIT, **WHOLE}[case]().double().train(training)
    act = FReLU(4).double().train(training)
    plain_conv, plain_act = copy.deepcopy(conv), copy.deepcopy(act)
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    assert_close(activate_conv(act, conv, x, True), plain_act(plain_conv(x)))
    assert ('before the norm' in act.live.reason) == (case in SPLIT)
    for module, plain in ((conv, plain_conv), (act, plain_act)):
        for ours, expected in zip(module.buffers(), plain.buffers()):
            assert_close(ours, expected)


@pytest.mark.parametrize(
    ('act', 'recompute_norms'), [(nn.ReLU(), True), (nn.PReLU(4), True), (FReLU(4), False)]
)
def test_what_is_not_concerned_calls_the_convolution_whole(act, recompute_norms, monkeypatch):
    seen = []
    forward = ConvModule.forward

    def spy(conv, *args, **options):
        seen.append(options)
        return forward(conv, *args, **options)

    monkeypatch.setattr(ConvModule, 'forward', spy)
    activate_conv(act, conv_module(), torch.randn(2, 4, 6, 5), recompute_norms)
    assert seen == [{}]


def conv(groups=1):
    return nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False)


ROWS = {
    'two activations': lambda: [
        conv(),
        nn.BatchNorm2d(4),
        FReLU(4),
        conv(),
        nn.BatchNorm2d(4),
        FReLU(4),
    ],
    'norm at the end': lambda: [conv(), nn.BatchNorm2d(4), FReLU(4), conv(4), nn.BatchNorm2d(4)],
    'norm between': lambda: [conv(4), nn.BatchNorm2d(4), conv(), nn.BatchNorm2d(4), FReLU(4)],
    'norm after norm': lambda: [conv(), nn.BatchNorm2d(4), nn.BatchNorm2d(4), FReLU(4)],
    'other activation': lambda: [conv(), nn.BatchNorm2d(4), nn.ReLU(), FReLU(4)],
    'folded norm': lambda: [conv(), nn.Identity(), FReLU(4)],
    'group norm': lambda: [conv(), nn.GroupNorm(2, 4), FReLU(4)],
    'norm first': lambda: [nn.BatchNorm2d(4), FReLU(4)],
    'wider before the activation': lambda: [
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 6, 1),
        FReLU(6, implementation='recompute'),
    ],
}


@pytest.mark.parametrize('kind', [Sequential, nn.Sequential])
@pytest.mark.parametrize('case', ROWS)
def test_row_of_layers(case, kind):
    torch.manual_seed(0)
    row = kind(*ROWS[case]()).double()
    plain = copy.deepcopy(row)
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    assert_close(activate_in_row(row, x, True), plain(x))
    for ours, expected in zip(row.buffers(), plain.buffers()):
        assert_close(ours, expected)


@torch.no_grad()
def test_a_layer_between_convolution_and_norm_may_keep_its_output():
    kept = []

    class Keeps(nn.Module):
        def forward(self, x):
            kept.append(x)
            return x

    layers = nn.Sequential(conv(), Keeps(), nn.BatchNorm2d(4), FReLU(4))
    x = torch.randn(2, 4, 6, 5)
    activate_in_row(layers, x, True)
    assert torch.equal(kept[0], layers[0](x))
