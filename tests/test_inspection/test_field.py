"""Activate fields against a recursion over single values (field_by_recursion.py), and against what must hold for any network."""

import field_by_recursion as paths
import pytest
import torch
from torch import nn

from mm_frelu.activations import FReLU, FReLUAblation, LightFReLU
from mm_frelu.engine import UserError
from mm_frelu.inspection.field import Field, trace_fields


def randomized(module):
    """Random weights and statistics, in eval mode, double precision."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.running_mean, std=0.5)
    return module.double().eval()


class Network(nn.Module):
    """A strided convolution, max pooling, and a residual block with three funnel activations and a light one."""

    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        self.act0 = FReLU(3)
        self.pool = nn.MaxPool2d(2)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.act1 = FReLU(4, kernel_size=5, dilation=2, norm_cfg=None)
        self.conv2 = nn.Conv2d(4, 4, 1)
        self.shortcut = nn.Conv2d(3, 4, 1)
        self.act2 = LightFReLU(4)
        self.conv3 = nn.Conv2d(4, 2, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.pool(self.act0(self.conv0(x)))
        y = self.conv2(self.act1(self.bn1(self.conv1(x))))
        y += self.shortcut(x)
        return self.relu(self.conv3(self.act2(y)))


def norm_numbers(norm):
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.tolist(), (norm.bias - norm.running_mean * scale).tolist()


def by_recursion(net, image):
    """The same network in plain Python; returns the parts behind each activation."""

    def conv(maps, layer, **settings):
        bias = None if layer.bias is None else layer.bias.tolist()
        return paths.convolve(maps, layer.weight.tolist(), bias, **settings)

    def window(maps, layer, norm, **settings):
        out = conv(maps, layer, groups=layer.groups, **settings)
        return out if isinstance(norm, nn.Identity) else paths.affine(out, *norm_numbers(norm))

    found = {}
    x = conv(paths.start(image[0].tolist()), net.conv0, stride=2, padding=1)
    x = paths.funnel(x, window(x, net.act0.conv, net.act0.norm, padding=1), 2)
    found['act0'] = paths.parts(x)
    x = paths.max_pool(x, 2)
    y = paths.affine(conv(x, net.conv1, padding=2, dilation=2), *norm_numbers(net.bn1))
    y = paths.funnel(y, window(y, net.act1.conv, net.act1.norm, padding=4, dilation=2), 8)
    found['act1'] = paths.parts(y)
    y = paths.add(conv(y, net.conv2), conv(x, net.shortcut))
    row = window(y, net.act2.conv1, net.act2.norm1, padding=(0, 1))
    column = window(y, net.act2.conv2, net.act2.norm2, padding=(1, 0))
    y = paths.funnel(y, paths.add(row, column), 2)
    found['act2'] = paths.parts(y)
    found['relu'] = paths.parts(paths.relu(conv(y, net.conv3)))
    return found


def test_every_value_is_divided_as_by_recursion():
    torch.manual_seed(1)
    net, image = randomized(Network()), torch.randn(1, 2, 14, 18).double()
    layers = {name: getattr(net, name) for name in ('act0', 'act1', 'act2', 'relu')}
    fields = trace_fields(net, image, layers, lambda: net(image))
    expected = by_recursion(net, image)
    for name, parts in expected.items():
        field = fields[name]
        for growth, values in parts.items():
            mine = field.parts[field.sides.index(1 + growth)]
            torch.testing.assert_close(mine, torch.tensor(values).double(), msg=f'{name} {growth}')
        assert field.parts.sum() == pytest.approx(
            sum(torch.tensor(v).sum() for v in parts.values())
        )
    # {1, 1+r} for one layer; sums of r = 2, 8 and 2 behind three.
    assert fields['act0'].sides == [1, 3]
    assert set(fields['relu'].sides) <= {1, 3, 5, 9, 11, 13}


def test_the_forward_pass_is_the_same_and_nothing_stays_behind():
    torch.manual_seed(2)
    net, image = randomized(Network()), torch.randn(1, 2, 14, 18).double()
    with torch.no_grad():
        expected = net(image)
    outputs = []
    fields = trace_fields(net, image, {'relu': net.relu}, lambda: outputs.append(net(image)))
    torch.testing.assert_close(outputs[0], expected)
    torch.testing.assert_close(fields['relu'].parts.sum(dim=0), expected[0].abs().sum(dim=0))
    assert not any('forward' in module.__dict__ for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize('layers', [1, 4])
def test_sides_are_those_of_the_paper(layers):
    """Where all choose the window the side is 1 + nr; where none does it is 1."""
    net = nn.Sequential(*[FReLU(2, norm_cfg=None) for _ in range(layers)]).double().eval()
    image = torch.rand(1, 2, 9, 9).double() + 1
    for layer in net:
        nn.init.constant_(layer.conv.weight, 2.0)  # more than the pixel, at the border too
    run = lambda: net(image)  # noqa: E731
    assert trace_fields(net, image, {'last': net[-1]}, run)['last'].histogram == {
        1: 0.0,
        1 + 2 * layers: pytest.approx(1.0),
    }
    for layer in net:
        nn.init.zeros_(layer.conv.weight)
        nn.init.zeros_(layer.conv.bias)
    assert trace_fields(net, image, {'last': net[-1]}, run)['last'].histogram == {1: 1.0}


def test_a_value_that_is_a_bias_alone_looked_at_nothing_but_what_chose_it():
    net = nn.Sequential(FReLU(1, norm_cfg=None), nn.Conv2d(1, 1, 3), FReLU(1, norm_cfg=None))
    net.double().eval()
    for layer in (net[0].conv, net[1], net[2].conv):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 5.0)
    image = torch.ones(1, 1, 6, 6).double()
    layers = dict(act=net[0], conv=net[1], tie=net[2])
    fields = trace_fields(net, image, layers, lambda: net(image))
    assert fields['act'].histogram == {1: 0.0, 3: 1.0}
    assert fields['conv'].histogram[1] == fields['tie'].histogram[1] == 1.0


@pytest.mark.parametrize(
    ('settings', 'sides'),
    [
        (dict(condition='max_pool'), {1, 3}),
        (dict(condition='avg_pool'), {1, 3}),
        (dict(form='sum'), {1, 3}),
        (dict(form='relu'), {1, 3}),
    ],
)
def test_ablation_forms(settings, sides):
    torch.manual_seed(3)
    act = randomized(FReLUAblation(2, **settings))
    image = torch.randn(1, 2, 8, 8).double()
    with torch.no_grad():
        y = act(image)
    field = trace_fields(act, image, {'act': act}, lambda: act(image))['act']
    assert set(field.sides) <= sides
    torch.testing.assert_close(field.parts.sum(dim=0), y[0].abs().sum(dim=0))
    grown = field.parts[field.sides.index(3)]
    if settings.get('form') == 'relu':
        torch.testing.assert_close(grown, y[0].sum(dim=0))
    elif settings.get('form') == 'sum':
        condition = act.norm(act.conv(image))
        share = condition.abs() / (condition.abs() + image.abs())
        torch.testing.assert_close(grown, (share * y.abs())[0].sum(dim=0))
    else:
        taken = act.pool(image) > image
        torch.testing.assert_close(grown, (y.abs() * taken)[0].sum(dim=0))


class Ops(nn.Module):
    """What networks of the libraries do between layers: gates, joins, resizing, shuffling, pooling by mean, attention."""

    def __init__(self):
        super().__init__()
        self.act = FReLU(4)
        self.gate = nn.Linear(4, 4)
        self.norm = nn.GroupNorm(2, 8)
        self.out = nn.Identity()

    def forward(self, x):
        y = self.act(x)
        gate = torch.sigmoid(self.gate(y.mean(dim=(2, 3))))[..., None, None]
        joined = torch.cat([y * gate, x], dim=1)
        n, c, h, w = joined.shape
        joined = joined.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        small = nn.functional.adaptive_avg_pool2d(joined, 2)
        large = nn.functional.interpolate(small, size=(h, w), mode='bilinear')
        first, second = torch.maximum(joined, large).chunk(2, dim=1)
        tokens = first.flatten(2).transpose(1, 2)
        mixed = torch.softmax(tokens @ tokens.transpose(1, 2), dim=-1) @ tokens
        first = first + mixed.transpose(1, 2).reshape(first.shape)
        return self.out(self.norm(torch.cat([first, second], dim=1)))


def test_operators_between_the_layers_have_rules():
    torch.manual_seed(4)
    net, image = randomized(Ops()), torch.randn(1, 4, 6, 6).double()
    with torch.no_grad():
        expected = net(image)
    field = trace_fields(net, image, {'out': net.out}, lambda: net(image))['out']
    torch.testing.assert_close(field.parts.sum(dim=0), expected[0].abs().sum(dim=0))
    assert field.sides == [1, 3]


def test_a_layer_behind_an_operator_without_rule_is_an_error_that_names_it():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Identity()

        def forward(self, x):
            return self.out(x.sort(dim=-1).values)

    net, image = Sorted(), torch.randn(1, 1, 4, 4)
    with pytest.raises(
        UserError, match='out cannot be traced: sort has no rule .* Choose an earlier layer'
    ):
        trace_fields(net, image, {'out': net.out}, lambda: net(image))


def test_a_layer_that_does_not_run_and_one_without_a_map():
    net, image = randomized(Network()), torch.randn(1, 2, 14, 18).double()
    with pytest.raises(UserError, match='aux does not run'):
        trace_fields(net, image, {'aux': nn.Identity()}, lambda: net(image))
    flat = nn.Sequential(nn.Flatten())
    with pytest.raises(UserError, match='The output of .*0 is not a feature map'):
        trace_fields(flat, image, {'0': flat[0]}, lambda: flat(image))


def test_means_and_histogram():
    field = Field([1, 3], torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]]))
    assert field.histogram == {1: 0.25, 3: 0.75}
    assert field.mean_side == 2.5
    assert field.mean_sides[0, 0] == 2.5
    assert field.mean_sides[0, 1].isnan()
