"""FReLU and LightFReLU as layers: formula, start, checks, folding."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer, fuse_conv_bn
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from torch import nn

from mm_frelu import FReLU, LightFReLU

LAYERS = [FReLU, LightFReLU]
NORMS = [
    dict(type='BN'),
    dict(type='SyncBN'),
    dict(type='GN', num_groups=4),
    dict(type='LN'),
    dict(type='IN'),
    dict(type=nn.LayerNorm),
    dict(type=nn.InstanceNorm2d),
    None,
]


def randomise(layer):
    """Random parameters and statistics, as after training; returns the layer."""
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    for name, buffer in layer.named_buffers():
        if name.endswith('running_mean'):
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
        elif name.endswith('running_var'):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return layer


@pytest.mark.parametrize('kernel_size', [1, 3, 5, 7])
@pytest.mark.parametrize('dilation', [1, 2])
def test_formula_written_out(kernel_size, dilation):
    """Each output is the larger of the pixel and its normalised window, computed by shifting the padded input."""
    layer = randomise(FReLU(4, kernel_size=kernel_size, dilation=dilation)).double().eval()
    x = torch.randn(2, 4, 9, 11, dtype=torch.float64)
    reach = dilation * (kernel_size // 2)
    padded = F.pad(x, [reach] * 4)
    window = layer.conv.bias.view(1, 4, 1, 1).expand_as(x).clone()
    for row in range(kernel_size):
        for column in range(kernel_size):
            top, left = row * dilation, column * dilation
            taps = layer.conv.weight[:, 0, row, column].view(1, 4, 1, 1)
            window += taps * padded[:, :, top : top + 9, left : left + 11]
    norm = layer.norm
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    condition = window * scale.view(1, 4, 1, 1) + shift.view(1, 4, 1, 1)
    torch.testing.assert_close(layer(x), torch.where(x > condition, x, condition))


@pytest.mark.parametrize('combine', ['sum', 'max'])
def test_light_form_is_a_row_and_a_column(combine):
    layer = randomise(LightFReLU(4, kernel_size=5, combine=combine)).eval()
    row, column = FReLU(4, kernel_size=5, bias=False), FReLU(4, kernel_size=5, bias=False)
    for square, norm in ((row, layer.norm1), (column, layer.norm2)):
        square.eval().norm.load_state_dict(norm.state_dict())
        square.conv.weight.data.zero_()
    row.conv.weight.data[:, :, 2, :] = layer.conv1.weight.data[:, :, 0, :]
    column.conv.weight.data[:, :, :, 2] = layer.conv2.weight.data[:, :, :, 0]
    x = torch.randn(2, 4, 9, 11)
    first, second = (square.norm(square.conv(x)) for square in (row, column))
    condition = first + second if combine == 'sum' else torch.where(first > second, first, second)
    torch.testing.assert_close(layer(x), torch.where(x > condition, x, condition))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('norm_cfg', NORMS)
@pytest.mark.parametrize('training', [True, False])
def test_identity_start_is_relu_bit_for_bit(layer_class, norm_cfg, training):
    layer = layer_class(8, norm_cfg=norm_cfg, init='identity').train(training)
    x = torch.randn(2, 8, 6, 7)
    out = layer(x)
    assert torch.equal(out, torch.relu(x))
    out.sum().backward()
    silenced = layer.windows[0][0 if norm_cfg is None else 1]
    assert silenced.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), dict(type='GN', num_groups=4), None])
def test_identity_start_outlives_a_parents_init(norm_cfg):
    class Parent(BaseModule):
        def __init__(self):
            super().__init__(
                [
                    dict(type='Kaiming', layer='Conv2d', bias=1),
                    dict(type='Constant', val=1, bias=1, layer=['_BatchNorm', 'GroupNorm']),
                ]
            )
            self.act = FReLU(8, norm_cfg=norm_cfg, init='identity')

    parent = Parent()
    x = torch.randn(2, 8, 6, 7)
    for _ in range(2):  # the second time MMEngine leaves all as it is
        parent.init_weights()
        assert torch.equal(parent.act(x), torch.relu(x))


@pytest.mark.parametrize('combine', ['sum', 'max'])
def test_identity_start_of_both_light_forms(combine):
    x = torch.randn(2, 8, 6, 7)
    assert torch.equal(LightFReLU(8, combine=combine, init='identity')(x), torch.relu(x))


@pytest.mark.parametrize('layer_class', LAYERS)
def test_zero_window_is_relu(layer_class):
    layer = layer_class(8, norm_cfg=None)
    for parameter in layer.parameters():
        parameter.data.zero_()
    x = torch.randn(2, 8, 6, 7)
    assert torch.equal(layer(x), torch.relu(x))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('norm_cfg', [n for n in NORMS if n is None or n['type'] != 'SyncBN'])
@pytest.mark.parametrize('training', [True, False])
def test_gradcheck(layer_class, norm_cfg, training):
    torch.manual_seed(0)
    layer = randomise(layer_class(4, norm_cfg=norm_cfg).double()).train(training)
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(2, 4, 4, 5, dtype=torch.float64, requires_grad=True)

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x,))

    buffers = copy.deepcopy(dict(layer.named_buffers()))
    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()))
    if training and norm_cfg and norm_cfg['type'] == 'BN':
        first = next(name for name in buffers if name.endswith('running_mean'))
        assert not torch.equal(buffers[first], dict(layer.named_buffers())[first])


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('kernel_size', [3, 5])
def test_paper_start(layer_class, kernel_size):
    """Fan-out Gaussian weights, uniform bias, norm 1 and 0: what the official code of 2020 starts from."""
    torch.manual_seed(0)
    layer = layer_class(512, kernel_size=kernel_size, bias=True)
    for conv, norm in layer.windows:
        taps = conv.kernel_size[0] * conv.kernel_size[1]
        assert conv.weight.std().item() == pytest.approx((2 / (512 * taps)) ** 0.5, rel=0.1)
        bound = taps**-0.5
        assert 0.9 * bound < conv.bias.abs().max() <= bound
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()


def test_parameter_count():
    def count(layer):
        return sum(parameter.numel() for parameter in layer.parameters())

    assert count(FReLU(64)) == 64 * (9 + 1 + 2)
    assert count(FReLU(64, bias=False)) == 64 * (9 + 2)
    assert count(LightFReLU(64)) == 64 * (3 + 3 + 2 + 2)


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg', 'mmpretrain'])
@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU'])
def test_builds_under_every_default_scope(scope, name):
    with DefaultScope.overwrite_default_scope(scope):
        layer = build_activation_layer(dict(type=name, num_channels=64))
    assert layer.num_channels == 64


@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU'])
def test_inside_conv_module(name):
    module = ConvModule(3, 8, 3, padding=1, act_cfg=dict(type=name, num_channels=8))
    assert module(torch.randn(2, 3, 6, 7)).shape == (2, 8, 6, 7)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_missing_channels_say_what_to_write(layer_class):
    with pytest.raises(
        TypeError, match=rf"act_cfg=dict\(type='{layer_class.__name__}', num_channels"
    ):
        build_activation_layer(dict(type=layer_class.__name__))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(kernel_size=4), 'kernel_size must be odd.*got 4. Use 3 or 5'),
        (dict(kernel_size=0), 'kernel_size must be a positive integer'),
        (dict(kernel_size=(3, 3)), 'kernel_size must be a positive integer'),
        (dict(dilation=0), 'dilation must be a positive integer'),
        (dict(init='zero'), "init must be one of paper, identity; got 'zero'"),
        (
            dict(norm_cfg=dict(type='GN', num_groups=3)),
            '8 channels are not divisible by num_groups=3',
        ),
        (dict(norm_cfg=dict(type='GN')), '8 channels are not divisible by num_groups=None'),
        (
            dict(init='identity', norm_cfg=dict(type='BN', affine=False)),
            "init='identity'.* this norm has no scale. Remove affine=False",
        ),
    ],
)
def test_wrong_options(layer_class, options, message):
    with pytest.raises(ValueError, match=message):
        layer_class(8, **options)


@pytest.mark.parametrize('norm_cfg', ['BN', dict(eps=1e-3)])
def test_norm_cfg_that_is_no_config(norm_cfg):
    with pytest.raises(
        TypeError, match='norm_cfg of a window is a dict with a type, .* or None; got'
    ):
        FReLU(8, norm_cfg=norm_cfg)


def test_wrong_channels_and_combine():
    with pytest.raises(ValueError, match='num_channels must be a positive integer, got 0'):
        FReLU(0)
    with pytest.raises(ValueError, match="combine must be one of sum, max; got 'mean'"):
        LightFReLU(8, combine='mean')


LIGHT_MAX = pytest.param(LightFReLU, dict(combine='max'), id='light-max')
FOLDABLE = [
    pytest.param(FReLU, {}, id='frelu'),
    pytest.param(FReLU, dict(bias=False, kernel_size=5), id='frelu-5'),
    pytest.param(LightFReLU, {}, id='light-sum'),
    LIGHT_MAX,
]


@pytest.mark.parametrize(('layer_class', 'options'), FOLDABLE)
@pytest.mark.parametrize('order', ['deploy', 'fuse', 'deploy-fuse', 'fuse-deploy'])
def test_folding_keeps_the_output(layer_class, options, order):
    layer = randomise(layer_class(8, **options)).eval()
    x = torch.randn(2, 8, 9, 11)
    expected = layer(x)
    folded = copy.deepcopy(layer)
    for step in order.split('-'):
        folded.switch_to_deploy() if step == 'deploy' else fuse_conv_bn(folded)
    torch.testing.assert_close(folded(x), expected, rtol=0, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in layer.modules())


@pytest.mark.parametrize(('layer_class', 'options'), FOLDABLE)
def test_folded_state_dict_fits_a_layer_without_norm(layer_class, options):
    layer = randomise(layer_class(8, **options)).eval()
    x = torch.randn(2, 8, 9, 11)
    expected = layer(x)
    layer.switch_to_deploy()
    deployed = layer_class(8, **{**options, 'norm_cfg': None, 'bias': True})
    deployed.load_state_dict(layer.state_dict())
    torch.testing.assert_close(deployed(x), expected, rtol=0, atol=1e-5)


def test_folding_leaves_other_norms():
    layer = randomise(FReLU(8, norm_cfg=dict(type='GN', num_groups=2))).eval()
    x = torch.randn(2, 8, 9, 11)
    expected = layer(x)
    layer.switch_to_deploy()
    assert torch.equal(layer(x), expected)


def test_folding_keeps_the_mode():
    layer = FReLU(8).train()
    layer.switch_to_deploy()
    assert layer.conv.training


def test_untrained_is_noticed():
    layer = FReLU(8)
    assert layer.is_untrained()
    layer(torch.randn(2, 8, 5, 5))
    assert not layer.is_untrained()
    assert FReLU(8, init='identity').is_untrained()
    assert not randomise(LightFReLU(8)).is_untrained()
    assert FReLU(8, norm_cfg=dict(type='GN', num_groups=2)).is_untrained()
    assert not FReLU(8, norm_cfg=None).is_untrained()


def test_layer_norm_is_over_the_sample():
    layer = FReLU(8, norm_cfg=dict(type='LN'))
    window = layer.norm(layer.conv(torch.randn(2, 8, 9, 11)))
    torch.testing.assert_close(window.mean(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_channels_last_is_kept(layer_class):
    x = torch.randn(2, 8, 9, 11).contiguous(memory_format=torch.channels_last)
    layer = layer_class(8).to(memory_format=torch.channels_last)
    out = layer(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, copy.deepcopy(layer)(x.contiguous()))


@pytest.mark.whole_graph
@pytest.mark.parametrize('layer_class', LAYERS)
def test_autocast_and_compile(layer_class):
    layer = layer_class(8)
    x = torch.randn(2, 8, 9, 11)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.isfinite(layer(x)).all()
    layer.eval()
    compiled = torch.compile(layer, fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize('layer_class', LAYERS)
def test_exports_to_convolutions_and_max(layer_class, tmp_path):
    onnx = pytest.importorskip('onnx', reason='the export extra is not installed')
    layer = randomise(layer_class(8)).eval()
    layer.switch_to_deploy()
    path = tmp_path / 'layer.onnx'
    torch.onnx.export(layer, (torch.randn(1, 8, 9, 11),), str(path), dynamo=False)
    operators = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert operators <= {'Conv', 'Max', 'Add'}
