"""tools/analysis_tools/get_flops.py: against the official network's numbers and hand counts."""

import json

import mmdet.models  # noqa: F401
import pytest
import tiny_project
import torch
from mmengine.config import Config
from torch import nn

from mm_frelu import FReLU, ResNet, build_activation
from mm_frelu.analysis import model_cost
from mm_frelu.analysis.complexity import count_macs, count_parts
from mm_frelu.analysis.input_shape import input_shape

CONFIGS = tiny_project.REPOSITORY / 'configs'


@pytest.fixture
def tool():
    return tiny_project.load_tool('analysis_tools/get_flops.py')


class Classifier(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.backbone = ResNet(50, out_indices=(3,), style='caffe', **options)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        return self.fc(self.backbone(x)[0].mean((2, 3)))


def parts_of(model, *shape):
    images = torch.empty(1, 3, *shape, device=next(model.parameters()).device)
    return {part.name: part for part in count_parts(model.eval(), lambda model: model(images))}


def test_resnet50_has_the_official_numbers():
    """Measured on the official MegEngine network with hooks on its convolutions: 3.928 G, windows 70 M of it."""
    with torch.device('meta'):
        parts = parts_of(Classifier(), 224, 224)
    backbone = parts['backbone']
    assert backbone.macs + parts['fc'].macs == 3_928_420_352
    assert parts['fc'].macs == 2048 * 1000
    assert backbone.activations.macs == 70_447_104
    assert backbone.activations.parameters == 161_280
    assert backbone.sites == dict(ReLU=10, FReLU=39)
    with torch.device('meta'):
        baseline = parts_of(Classifier(act_cfg=dict(type='ReLU')), 224, 224)
    assert baseline['backbone'].macs + baseline['fc'].macs == 3_857_973_248
    assert baseline['backbone'].activations.parameters == 0


def test_every_operation_is_booked_once_under_its_part():
    """A head whose forward is called without its hooks, a head shared over levels, and a product outside of modules."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), FReLU(4))
            self.head = nn.Sequential(nn.Conv2d(4, 2, 1))
            self.unused = nn.Linear(5, 6)
            self.scale = nn.Parameter(torch.ones(1, 1))

        def forward(self, x):
            features = self.backbone(x)
            small = features[..., ::2, ::2]
            outs = [self.head.forward(features), self.head(small)]
            return outs, outs[0].flatten(1) @ outs[0].flatten(1).T @ self.scale

    parts = parts_of(Model(), 8, 10)
    assert parts['backbone'].macs == 8 * 10 * (3 * 9 * 4 + 9 * 4)
    assert parts['backbone'].activations.macs == 8 * 10 * 9 * 4
    assert parts['backbone'].activations.parameters == 4 * (9 + 1 + 2)
    assert parts['head'].macs == (8 * 10 + 4 * 5) * 4 * 2
    assert parts[''].macs == 8 * 10 * 2 + 1
    assert parts[''].parameters == 1
    assert (parts['unused'].macs, parts['unused'].parameters) == (0, 36)


@pytest.mark.parametrize(
    ('name', 'options', 'parameters', 'macs'),
    [
        # Width 16, squeezed to 2. fc2 puts out slopes and intercepts of 2 pieces, for the image or for each channel.
        ('DyReLUA', {}, 2 * 17 + 4 * 3, 2 * 16 + 4 * 2 + 2 * 16 * 80),
        ('DyReLUB', {}, 2 * 17 + 64 * 3, 2 * 16 + 64 * 2 + 2 * 16 * 80),
        (
            'DyReLUB',
            dict(num_pieces=3, intercept=False, reduction=4),
            4 * 17 + 48 * 5,
            4 * 64 + 3 * 1280,
        ),
        # C has a 1x1 convolution to one channel beside, without bias.
        ('DyReLUC', {}, 2 * 17 + 64 * 3 + 16, 2 * 16 + 64 * 2 + 16 * 80 + 2 * 16 * 80),
    ],
)
def test_dynamic_relu_by_hand(name, options, parameters, macs):
    """The hyper function, and one multiply-add per piece and value, for an image of 8x10."""
    with torch.device('meta'):
        act = build_activation(dict(type=name, **options), 16)
        parts = parts_of(nn.Sequential(nn.Conv2d(3, 16, 1), act), 8, 10)
    part = parts['1']
    assert part.sites == {name: 1}
    assert (part.parameters, part.macs) == (parameters, macs)
    assert (part.activations.parameters, part.activations.macs) == (parameters, macs)
    assert parts['0'].macs == 80 * 3 * 16


def test_config_with_dynamic_relu(tool, tmp_path):
    """Everything that it adds is in the activations of the backbone; the windows of the base config are gone."""
    config = CONFIGS / 'retinanet/retinanet_r50-frelu_fpn_1x_coco.py'
    child = tmp_path / 'dynamic.py'
    act_cfg = dict(_delete_=True, type='DyReLUB')
    child.write_text(f'_base_ = {str(config)!r}\nmodel = dict(backbone=dict(act_cfg={act_cfg}))\n')
    frelu, dynamic = (
        count(tool, path, tmp_path, '--shape', '64', '64')['parts'] for path in (config, child)
    )
    assert dynamic['backbone']['sites']['DyReLUB'] == 39
    plain = [
        cost['backbone']['macs'] - cost['backbone']['activations']['macs']
        for cost in (frelu, dynamic)
    ]
    assert plain[0] == plain[1]
    assert dynamic['bbox_head'] == frelu['bbox_head']
    # Widths 64, 64, 256 in three blocks, and twice and four times that in four and six.
    widths = [
        w
        for scale, blocks in ((1, 3), (2, 4), (4, 6))
        for w in [64 * scale, 64 * scale, 256 * scale] * blocks
    ]
    hyper = sum(w * (w // 8) + w // 8 * 4 * w for w in widths)
    biases = sum(w // 8 + 4 * w for w in widths)
    assert dynamic['backbone']['activations']['parameters'] == hyper + biases


def test_counting_leaves_no_hooks():
    model = nn.Conv2d(1, 1, 1)
    count_macs(model, lambda model: model(torch.ones(1, 1, 2, 2)))
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def count(tool, config, folder, *options):
    file = folder / 'new' / 'cost.json'
    tool.main([str(config), '--json', str(file), *options])
    return json.loads(file.read_text())


def test_pspnet_config(tool, tmp_path, capsys):
    """No data, no download; the image is 1024 high and 2048 wide, and the auxiliary head only trains."""
    config = CONFIGS / 'pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py'
    cost = count(tool, config, tmp_path)
    table = capsys.readouterr().out
    assert cost['shape'] == [1024, 2048]
    parts = cost['parts']
    assert parts['backbone']['activations']['parameters'] == 161_280
    # Windows of one image: 2 of 64 and 1 of 256 channels per block at stride 4, and so on. The first activation of layer2
    # (pytorch style) still has the resolution of layer1; layer3 is dilated and stays at stride 8.
    stride4, stride8 = 256 * 512, 128 * 256
    layer1 = 3 * stride4 * (64 + 64 + 256)
    layer2 = stride4 * 128 + stride8 * (3 * 128 + 4 * 128 + 4 * 512)
    layer3 = 6 * stride8 * (256 + 256 + 1024)
    assert parts['backbone']['activations']['macs'] == 9 * (layer1 + layer2 + layer3)
    # Its last convolution alone: 19 classes from 512 channels.
    assert parts['decode_head']['macs'] > stride8 * 512 * 19
    assert parts['auxiliary_head']['macs'] == 0
    assert 'No multiply-adds when testing: auxiliary_head.' in table
    assert '1024x2048' in table
    assert '161,280' in table
    assert 'Not counted: biases, norms' in ' '.join(table.split())
    total = sum(part['macs'] for part in parts.values())
    assert cost['total']['macs'] == total


def test_retinanet_config(tool, tmp_path):
    """The head runs on five levels, and an image is padded to multiples of 32."""
    config = CONFIGS / 'retinanet/retinanet_r50-frelu_fpn_1x_coco.py'
    cost = count(tool, config, tmp_path)
    assert cost['shape'] == [800, 1344]
    parts = cost['parts']
    assert set(parts) == {'backbone', 'neck', 'bbox_head'}
    # Four 3x3 of 256 in each of two branches, then 9 anchors times 80 classes and 4 coordinates.
    positions = sum(-(-800 // s) * -(-1344 // s) for s in (8, 16, 32, 64, 128))
    assert parts['bbox_head']['macs'] == positions * 9 * 256 * (8 * 256 + 9 * 84)
    assert sum(part['parameters'] for part in parts.values()) == cost['total']['parameters']


def test_given_shape_scales_the_windows(tool, segmentor, tmp_path):
    default = count(tool, segmentor.config, tmp_path)
    assert default['shape'] == [64, 128]  # what the data preprocessor pads to
    double = count(tool, segmentor.config, tmp_path, '--shape', '128', '256')
    for kind in ('backbone', 'decode_head'):
        assert double['parts'][kind]['parameters'] == default['parts'][kind]['parameters']
    windows = [cost['parts']['backbone']['activations']['macs'] for cost in (default, double)]
    assert windows[1] == 4 * windows[0]


def test_models_that_read_values_are_computed(tool, detector, monkeypatch, tmp_path):
    """If the meta device does not support a model, the CPU gives the same numbers."""
    expected = count(tool, detector.config, tmp_path)
    build = model_cost.build_model

    def only_on_cpu(cfg, device):
        if device == 'meta':
            raise NotImplementedError
        return build(cfg, device)

    monkeypatch.setattr(model_cost, 'build_model', only_on_cpu)
    assert count(tool, detector.config, tmp_path) == expected


def shape_of(pipeline=(), **model):
    return input_shape(
        Config(
            dict(model=model, test_dataloader=dict(dataset=dict(dataset=dict(pipeline=pipeline))))
        )
    )[:2]


def test_input_shape():
    resize = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
    assert shape_of([resize]) == (800, 1333)
    assert shape_of([resize], data_preprocessor=dict(pad_size_divisor=32)) == (800, 1344)
    assert shape_of([resize, dict(type='CenterCrop', crop_size=224)]) == (224, 224)
    slide = dict(mode='slide', crop_size=(512, 768), stride=(341, 512))
    assert shape_of([resize], test_cfg=slide) == (512, 768)
    assert shape_of(data_preprocessor=dict(size=(128, 256))) == (128, 256)


@pytest.mark.parametrize(
    ('options', 'message'),
    [((), '--shape H W'), (('--shape', '0', '5'), 'two positive numbers')],
)
def test_bad_shape(options, message, tool, tmp_path, capsys):
    config = tmp_path / 'a.py'
    config.write_text("default_scope = 'mmseg'\nmodel = dict(type='EncoderDecoder')\n")
    with pytest.raises(SystemExit):
        tool.main([str(config), *options])
    assert message in capsys.readouterr().err


def test_config_without_model(tool, tmp_path, capsys):
    config = tmp_path / 'a.py'
    config.write_text("default_scope = 'mmseg'\n")
    with pytest.raises(SystemExit):
        tool.main([str(config)])
    assert 'counting needs model' in capsys.readouterr().err
