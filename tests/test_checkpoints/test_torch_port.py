"""Weights of PyTorch ports give the port's own features after conversion, however the port names things."""

import functools
import hashlib

import pytest
import tiny_project
import torch
from official_networks import shufflenet_fixture
from torch import nn
from torch_ports import Funnel, LightFunnel, Port, SequentialFunnel, trained

from mm_frelu.engine.preprocessing import from_dict, of_checkpoint
from mm_frelu.registry import MODELS

BASIC = dict(depth=18, names=('act1', 'act2'), places=(1, 2))
DIALECTS = {
    'official names': dict(),
    'no biases': dict(BASIC, bias=False, make=functools.partial(Funnel, bias=False)),
    'yolov5 members': dict(BASIC, make=functools.partial(Funnel, names=('conv', 'bn'), bias=False)),
    'f_conv': dict(BASIC, make=functools.partial(Funnel, names=('f_conv', 'bn'))),
    'sequential': dict(
        make=SequentialFunnel,
        bias=False,
        names=('relu_a', 'relu_b', 'relu_c'),
        stages=(1, 2, 3, 4),
        stem='relu',
    ),
    'large windows': dict(BASIC, make=functools.partial(Funnel, size=5)),
    'light': dict(BASIC, make=LightFunnel),
    'light, biased, column first': dict(
        BASIC, make=functools.partial(LightFunnel, bias=True, column_first=True)
    ),
    'two stages': dict(BASIC, stages=(2, 3)),
    'other parts': dict(BASIC, shortcut='shortcut', head='linear'),
}


@pytest.fixture(scope='module')
def tool():
    return tiny_project.load_tool('model_converters/torch_to_mm.py')


def convert(tool, content, tmp_path, *options):
    """Save, convert by the command, load as plain torch does."""
    torch.save(content, tmp_path / 'port.pth')
    tool.main([str(tmp_path / 'port.pth'), str(tmp_path / 'out' / 'mm.pth'), *options])
    assert [entry.name for entry in (tmp_path / 'out').iterdir()] == ['mm.pth']
    return torch.load(tmp_path / 'out' / 'mm.pth', weights_only=True)


def classifier(checkpoint):
    """Backbone and head under the names of an mmpretrain classifier, every tensor loaded."""
    state = checkpoint['state_dict']
    parts = dict(backbone=MODELS.build(dict(checkpoint['meta']['backbone'])))
    if 'head.fc.weight' in state:
        classes, features = state['head.fc.weight'].shape
        parts['head'] = nn.ModuleDict(dict(fc=nn.Linear(features, classes)))
    model = nn.ModuleDict(parts).eval()
    model.load_state_dict(state, strict=True)
    return model


def assert_same_features(port, checkpoint):
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    model = classifier(checkpoint)
    with torch.no_grad():
        expected, logits = port(x)
        actual = model.backbone(x)
        actual_logits = model.head.fc(actual[-1].mean((2, 3)))
    for ours, theirs in zip((*actual, actual_logits), (*expected, logits)):
        assert theirs.std() > 0.05
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize('dialect', DIALECTS)
def test_features_are_those_of_the_port(dialect, tool, tmp_path):
    port = trained(Port(**DIALECTS[dialect]))
    assert_same_features(port, convert(tool, port.state_dict(), tmp_path))


@pytest.mark.parametrize(
    ('depth', 'options'), [(18, BASIC), pytest.param(50, dict(), marks=pytest.mark.slow)]
)
def test_full_size_fits_the_default_backbone(depth, options, tool, tmp_path):
    port = trained(Port(width=64, classes=10, **options))
    checkpoint = convert(tool, port.state_dict(), tmp_path, '--arch', f'resnet{depth}')
    expected = dict(type='mm_frelu.ResNet', depth=depth, style='pytorch')
    assert checkpoint['meta']['backbone'] == expected
    assert_same_features(port, checkpoint)


def test_stride_on_the_first_convolution(tool, tmp_path):
    port = trained(Port(style='caffe'))
    checkpoint = convert(tool, port.state_dict(), tmp_path, '--style', 'caffe')
    assert checkpoint['meta']['backbone']['style'] == 'caffe'
    assert_same_features(port, checkpoint)


@pytest.mark.parametrize('place', [1, 2, 3])
def test_one_window_in_a_block_is_placed_by_the_option(place, tool, tmp_path, capsys):
    """The authors' partial bottleneck calls it frelu1 wherever it stands."""
    port = trained(Port(names=('frelu1',), places=(place,)))
    source, target = tmp_path / 'port.pth', tmp_path / 'mm.pth'
    torch.save(port.state_dict(), source)
    with pytest.raises(SystemExit):
        tool.main([str(source), str(target)])
    assert '1 activations in layer1.0 (frelu1)' in capsys.readouterr().err
    assert not target.exists()
    site = f'act{place}'
    checkpoint = convert(tool, port.state_dict(), tmp_path, '--act-sites', site)
    assert checkpoint['meta']['backbone']['act_sites'] == (site,)
    assert_same_features(port, checkpoint)


@pytest.fixture(scope='module')
def small(tool, tmp_path_factory):
    """A state dict of few layers, and what it becomes."""
    state = trained(Port(**BASIC)).state_dict()
    return state, convert(tool, state, tmp_path_factory.mktemp('small'))['state_dict']


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: dict(state_dict=state, epoch=3, optimizer=dict(lr=0.1)),
        lambda state: dict(model=state),
        lambda state: dict(model_state=dict(state)),
        lambda state: {f'module.{name}': tensor for name, tensor in state.items()},
        lambda state: dict(net={f'module.model.{name}': value for name, value in state.items()}),
        lambda state: {name: value.double() for name, value in state.items()},
        lambda state: {k: v for k, v in state.items() if not k.endswith('num_batches_tracked')},
    ],
)
def test_wrappers_prefixes_and_types_make_no_difference(wrap, small, tool, tmp_path):
    state, expected = small
    actual = convert(tool, wrap(state), tmp_path)['state_dict']
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_backbone_without_classifier(small, tool, tmp_path, capsys):
    state = {name: value for name, value in small[0].items() if name[:3] != 'fc.'}
    checkpoint = convert(tool, state, tmp_path)
    assert 'no classifier' in capsys.readouterr().out
    assert all(name.startswith('backbone.') for name in checkpoint['state_dict'])
    classifier(checkpoint)


def test_official_shufflenet_names_with_torch_shapes(tool, tmp_path):
    """As a port of the official ShuffleNetV2 would save them; equal to what the MegEngine converter makes."""
    from mm_frelu.checkpoints.architectures import recognise
    from mm_frelu.checkpoints.megengine import convert_state_dict

    official, *_ = shufflenet_fixture()
    expected = convert_state_dict(official, recognise(official), 'official')
    state = {
        name: torch.from_numpy(value.reshape(-1, *value.shape[2:]) if value.ndim == 5 else value)
        for name, value in official.items()
    }
    checkpoint = convert(tool, state, tmp_path, '--arch', 'shufflenet_v2_x0_5')
    assert checkpoint['state_dict'].keys() == expected.keys()
    assert all(torch.equal(checkpoint['state_dict'][name], expected[name]) for name in expected)


def test_meta_tells_source_preprocessing_and_style(small, tool, tmp_path, capsys):
    state, _ = small
    meta = convert(tool, state, tmp_path)['meta']
    digest = hashlib.sha256((tmp_path / 'port.pth').read_bytes()).hexdigest()
    assert meta['source'] == dict(name='port.pth', sha256=digest)
    assert (meta['arch'], meta['backbone']['style']) == ('resnet18', 'pytorch')
    assert meta['converter']['name'] == 'torch_to_mm'
    imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
    assert of_checkpoint(dict(meta=meta)) == from_dict(imagenet)
    raw = ('--channel-order', 'bgr', '--mean', '0', '0', '0', '--std', '1', '1', '1')
    checkpoint = convert(tool, state, tmp_path, *raw)
    assert of_checkpoint(checkpoint) == from_dict(dict(bgr_to_rgb=False))
    assert 'mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False' in capsys.readouterr().out


def test_the_printed_lines_load_the_backbone(tool, tmp_path, capsys):
    port = trained(Port(**BASIC, make=LightFunnel))
    convert(tool, port.state_dict(), tmp_path)
    printed = capsys.readouterr().out
    start = printed.index('backbone=')
    cfg = eval(f'dict({printed[start:].strip()})')['backbone']
    model = MODELS.build(cfg)
    model.init_weights()
    window = model.layer1[0].act1.conv1.weight
    assert torch.equal(window, port.layer1[0].act1.conv_frelu1.weight)
