"""A whole trained ReLU model of mmdet or mmseg, loaded into the model with windows, gives the same outputs bit for bit.

At full size: RetinaNet R-50 and PSPNet R-50-D8 from the configs that mmdet and mmseg ship, with every weight and statistic
random, saved, and loaded as tools/train.py does it with ``load_from``.
"""

import re
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.config import Config
from torch_ports import Port, trained

from mm_frelu.activations import DynamicReLU, FunnelActivation
from mm_frelu.backbones import ResNet
from mm_frelu.engine.checkpoint_pretrained import watch_pretrained
from mm_frelu.engine.launch import add_hook
from mm_frelu.engine.model_builder import build_model, forward_tensors
from mm_frelu.engine.runner import GuardedRunner

ROOT = Path(__file__).parents[2]
MODELS = {
    # where the ReLU model comes from, and the config of ours that takes it
    'detection': (mmdet, 'retinanet/retinanet_r50_fpn_1x_coco.py', 'retinanet/retinanet_r50-frelu_fpn_1x_coco.py'),
    'segmentation': (mmseg, 'pspnet/pspnet_r50b-d8_4xb2-80k_cityscapes-512x1024.py', 'pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py'),
}  # fmt: skip
ACTIVATIONS = {'FReLU': 39 * 6, 'LightFReLU': 39 * 10, 'DyReLUB': 39 * 4}
"""Tensors of each activation at the 39 sites: of a window weight, bias, and four of its norm; of two light windows five
each; of the hyper function two linear layers."""


def theirs(library, config):
    """A config of the library as its wheel has it, its inheritance resolved."""
    return Config.fromfile(Path(library.__file__).parent / '.mim/configs' / config)


@pytest.fixture(scope='module', params=MODELS)
def relu_model(request, tmp_path_factory):
    """The task, a checkpoint of the library's own ReLU model, an image, and what the model puts out for it."""
    library, config, ours = MODELS[request.param]
    model = trained(build_model(theirs(library, config)))
    path = tmp_path_factory.mktemp('relu') / f'{request.param}.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    return request.param, ours, path, image, forward_tensors(model, image, request.param)


def load_as_the_tools_do(cfg, path, folder):
    """Build the model of a config and give it a checkpoint through Runner and guard."""
    cfg = Config(dict(model=cfg.model, load_from=str(path), default_scope=cfg.default_scope))
    add_hook(cfg, 'CheckpointGuardHook', strict=False)
    runner = GuardedRunner(
        model=build_model(cfg),
        work_dir=str(folder),
        load_from=str(path),
        custom_hooks=cfg.custom_hooks,
        cfg=cfg,
    )
    runner.load_or_resume()
    return runner.model.eval()


@pytest.fixture
def warnings(monkeypatch):
    found = []
    name = 'mm_frelu.engine.checkpoint_guard.print_log'
    monkeypatch.setattr(name, lambda message, *_, **__: found.append(message))
    return found


def keys_of_activations(model):
    return {
        f'{name}.{key}'
        for name, layer in model.named_modules()
        if isinstance(layer, (FunnelActivation, DynamicReLU))
        for key in layer.state_dict()
        if not key.endswith('num_batches_tracked')
    }


def assert_equal_bits(actual, expected):
    if isinstance(expected, torch.Tensor):
        assert expected.std() > 0
        assert torch.equal(actual, expected)
        return
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        assert_equal_bits(one, other)


@pytest.mark.parametrize(
    'activation',
    ['FReLU', *(pytest.param(name, marks=pytest.mark.slow) for name in ('LightFReLU', 'DyReLUB'))],
)
def test_outputs_are_equal_and_only_the_activations_are_missing(
    activation, relu_model, warnings, tmp_path, capsys
):
    task, ours, path, image, expected = relu_model
    cfg = Config.fromfile(ROOT / 'configs' / ours)
    cfg.model.backbone.act_cfg = dict(type=activation, init='identity')
    model = load_as_the_tools_do(cfg, path, tmp_path)
    keys = keys_of_activations(model)
    assert len(keys) == ACTIVATIONS[activation]

    assert len(warnings) == 1
    assert f'no weights for the activations of this model ({len(keys)} missing: ' in warnings[0]
    assert 'exactly ReLU' in warnings[0]
    report = capsys.readouterr().out  # MMEngine's own
    missing = re.search(r'missing keys in source state_dict: (.*)', report)
    assert set(missing[1].split(', ')) == keys
    assert 'unexpected' not in report
    assert 'size mismatch' not in report
    assert_equal_bits(forward_tensors(model, image, task), expected)


@pytest.mark.slow
def test_mmseg_config_with_the_backbone_exchanged(warnings, tmp_path):
    """mmseg's default PSPNet has the deep stem, which our configs have not: there one word of its own config changes."""
    cfg = theirs(mmseg, 'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py')
    model = trained(build_model(cfg))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'pspnet.pth')
    image = torch.randn(1, 3, 64, 64)
    cfg.model.backbone.update(
        type='mm_frelu.ResNetV1c', act_cfg=dict(type='FReLU', init='identity')
    )
    ours = load_as_the_tools_do(cfg, tmp_path / 'pspnet.pth', tmp_path)
    assert [f'({39 * 6} missing' in message for message in warnings] == [True]
    assert_equal_bits(
        forward_tensors(ours, image, 'segmentation'), forward_tensors(model, image, 'segmentation')
    )


@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_torchvision_layout_through_init_cfg(activation, warnings, tmp_path):
    """A bare state dict with a classifier, as torchvision publishes them, into a backbone."""
    classifier = trained(Port(bias=False, places=(), stages=()))
    torch.save(classifier.state_dict(), tmp_path / 'resnet50.pth')
    backbone = ResNet(
        50,
        base_channels=8,
        act_cfg=dict(type=activation, init='identity'),
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet50.pth')),
    )
    with watch_pretrained(backbone, Config()):
        backbone.init_weights()
    assert len(warnings) == 1
    assert f'({ACTIVATIONS[activation]} missing: layer1.0.act1.' in warnings[0]
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert_equal_bits(backbone.eval()(image), classifier(image)[0])
