"""FReLUAblation computes what table 5 says, and keeps the contract of an activation."""

import pytest
import torch
from funnel_formulas import avg_pool, larger, max_pool, norm, randomise, window
from mmcv.cnn import ConvModule

from mm_frelu import FReLU, ResNet, build_activation
from mm_frelu.activations import FReLUAblation

WORDS = {
    'A': dict(condition='window', form='max'),
    'B': dict(condition='max_pool', form='max'),
    'C': dict(condition='avg_pool', form='max'),
    'D': dict(condition='window', form='sum'),
    'E': dict(condition='window', form='relu'),
}
WITH_WINDOW = ['A', 'D', 'E']


def build(row, num_channels=4, **options):
    return randomise(FReLUAblation(num_channels, **WORDS[row], **options)).double()


def features(channels=4):
    return torch.randn(2, channels, 9, 11, dtype=torch.float64)


def condition(layer, x):
    return norm(window(x, layer.conv.weight, layer.conv.bias), layer.norm)


TABLE_5 = {
    'A': lambda x, layer: larger(x, condition(layer, x)),
    'B': lambda x, layer: larger(x, max_pool(x, layer.kernel_size)),
    'C': lambda x, layer: larger(x, avg_pool(x, layer.kernel_size)),
    'D': lambda x, layer: x + condition(layer, x),
    'E': lambda x, layer: larger(condition(layer, x), torch.zeros_like(x)),
}


@pytest.mark.parametrize('row', TABLE_5)
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_formula_written_out(row, kernel_size):
    layer, x = build(row, kernel_size=kernel_size).eval(), features()
    torch.testing.assert_close(layer(x), TABLE_5[row](x, layer))


def test_rows_are_different_functions():
    x = features()
    outputs = [build(row).eval()(x) for row in WORDS]
    for index, first in enumerate(outputs):
        for second in outputs[index + 1 :]:
            assert not torch.allclose(first, second)


def test_a_is_frelu():
    layer, x = build('A').train(), features()
    frelu = FReLU(4).double().train()
    frelu.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), frelu(x))


def test_average_pooling_is_a_window_of_equal_weights():
    x = features()
    frelu = FReLU(4, bias=False, norm_cfg=None).double()
    frelu.conv.weight.data.fill_(1 / 9)
    torch.testing.assert_close(build('C')(x), frelu(x))


@pytest.mark.parametrize('row', ['B', 'C'])
def test_pooling_has_no_parameters_and_takes_no_norm(row):
    layer = build_activation(
        dict(type='FReLUAblation', **WORDS[row]), 8, norm_cfg=dict(type='BN'), inplace=True
    )
    assert layer.num_channels == 8
    assert layer.state_dict() == {}
    layer.init_weights()
    layer.switch_to_deploy()
    assert not layer.is_untrained()
    assert not layer.can_learn()


@pytest.mark.parametrize('row', WITH_WINDOW)
def test_keys_and_count_are_those_of_frelu(row):
    shapes = {key: value.shape for key, value in FReLU(8).state_dict().items()}
    layer = FReLUAblation(8, **WORDS[row])
    assert {key: value.shape for key, value in layer.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in layer.parameters()) == 8 * (9 + 1 + 2)


@pytest.mark.parametrize('row', WORDS)
@pytest.mark.parametrize('training', [True, False])
def test_gradcheck(row, training):
    torch.manual_seed(0)
    layer = build(row, 2, norm_cfg=dict(type='BN', track_running_stats=False)).train(training)
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)

    def forward(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(forward, (x, *layer.parameters()))


@pytest.mark.parametrize('row', WITH_WINDOW)
def test_deploy_folds_the_norm(row):
    layer, x = build(row).eval(), features()
    before = layer(x)
    layer.switch_to_deploy()
    assert set(layer.state_dict()) == {'conv.weight', 'conv.bias'}
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize('row', WORDS)
def test_in_a_conv_module(row):
    act_cfg = dict(type='FReLUAblation', num_channels=8, **WORDS[row])
    module = ConvModule(3, 8, 3, padding=1, act_cfg=act_cfg)
    x = torch.randn(2, 3, 6, 7)
    assert torch.equal(module(x), module.activate(module.conv(x)))


def test_identity_start_is_relu_or_refused():
    x = features().float()
    layer = FReLUAblation(4, init='identity')
    assert torch.equal(layer(x), torch.relu(x))
    for row in 'BCDE':
        with pytest.raises(ValueError, match="init='identity' starts as ReLU.*Use init='paper'"):
            FReLUAblation(4, init='identity', **WORDS[row])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(condition='pool'), 'condition must be one of window, max_pool, avg_pool'),
        (dict(form='mean'), 'form must be one of max, sum, relu'),
        (dict(condition='avg_pool', dilation=2), 'avg_pool.*not support dilation; got dilation=2'),
        (dict(condition='max_pool', dilation=2), 'max_pool.*not support dilation; got dilation=2'),
        (dict(kernel_size=4), 'kernel_size must be odd'),
    ],
)
def test_wrong_words(options, message):
    with pytest.raises(ValueError, match=message):
        FReLUAblation(4, **options)


def test_without_channels():
    with pytest.raises(TypeError, match='FReLUAblation needs the number of channels'):
        FReLUAblation()


@pytest.mark.parametrize('row', WORDS)
def test_with_the_norms_before_it(row):
    layer, x, shortcut = build(row).eval(), features(), features()
    before = randomise(torch.nn.BatchNorm2d(4)).double().eval()
    expected = TABLE_5[row](norm(x, before) + shortcut, layer)
    torch.testing.assert_close(layer.after_norms([(x, before), (shortcut, None)]), expected)


@pytest.mark.parametrize('row', WORDS)
@pytest.mark.parametrize('training', [True, False])
def test_backbone_runs_the_layer_it_was_given(row, training):
    """Whatever way a backbone computes its sites, each output is the formula of what came in."""
    act_cfg = dict(type='FReLUAblation', **WORDS[row])
    model = randomise(ResNet(50, base_channels=4, act_cfg=act_cfg)).double().train(training)
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    plain = model(images)
    seen = []
    for module in model.modules():
        if isinstance(module, FReLUAblation):
            module.register_forward_hook(lambda *args: seen.append(args))
    for with_hooks, without in zip(model(images), plain):
        torch.testing.assert_close(with_hooks, without)
    assert len(seen) == 39
    if not training:
        for layer, (x,), output in seen:
            torch.testing.assert_close(output, TABLE_5[row](x, layer))
