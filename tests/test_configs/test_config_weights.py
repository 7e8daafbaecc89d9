"""Configs with weights that the user makes: the file goes where the config looks, and the pixels fit it.

The whole way, as the README goes it: an official file is converted with the tool, the config is loaded, its data
preprocessor is fed an image, and the features are those of the official network on that image.
"""

import importlib.util

import numpy as np
import pytest
import torch
from config_files import CONFIG_PATHS, ROOT, load
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from official_networks import dump, official_resnet50, resnet50_state, shufflenet_fixture

PATHS_BY_STEM = {path.stem: path for path in CONFIG_PATHS}


@pytest.fixture(scope='module')
def convert():
    """The converter's command line."""
    spec = importlib.util.spec_from_file_location(
        'megengine_to_mm', ROOT / 'tools/model_converters/megengine_to_mm.py'
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return lambda source, target: tool.main([str(source), str(target)])


@pytest.fixture(scope='module')
def official_weights(tmp_path_factory, convert):
    """A folder with a converted ResNet-50, and the official network's tensors."""
    folder, state = tmp_path_factory.mktemp('weights'), resnet50_state()
    convert(dump(state, folder / 'res50_frelu.model'), folder / 'resnet50_frelu.pth')
    return folder, state


def start(cfg: Config, keys=('backbone', 'data_preprocessor')):
    """Build parts of a config's model, with the weights that the config names."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        parts = [revert_sync_batchnorm(MODELS.build(cfg.model[key])) for key in keys]
    for part in parts:
        if hasattr(part, 'init_weights'):
            part.init_weights()
    return parts


def test_retinanet_sees_what_the_official_network_sees(official_weights, monkeypatch):
    folder, state = official_weights
    monkeypatch.setenv('WEIGHTS_ROOT', str(folder))
    backbone, preprocess = start(load(PATHS_BY_STEM['retinanet_r50-caffe-frelu_fpn_1x_coco']))
    # As LoadImageFromFile gives it: BGR, three channels first, 0 to 255.
    image = np.random.RandomState(0).randint(0, 256, (3, 64, 96), dtype=np.uint8)
    fed = preprocess(dict(inputs=[torch.from_numpy(image)]))['inputs']
    backbone.train()  # all norms are fixed, so training sees the network that was trained
    with torch.no_grad():
        features = backbone(fed)
    expected = official_resnet50(state, image[None].astype(np.float32))
    for name, feature in zip(('res2', 'res3', 'res4', 'res5'), features):
        assert expected[name].std() > 0.1
        torch.testing.assert_close(feature.double(), expected[name], rtol=0, atol=5e-3)


def test_pspnet_starts_from_the_official_weights(official_weights, monkeypatch):
    """Output stride 8 makes it another function, so the weights are compared, and the pixels."""
    folder, _ = official_weights
    monkeypatch.setenv('WEIGHTS_ROOT', str(folder))
    stem = 'pspnet_r50b-caffe-frelu-d8_4xb2-40k_cityscapes-512x1024'
    cfg = load(PATHS_BY_STEM[stem])
    cfg.model.data_preprocessor.size = (32, 48)
    backbone, preprocess = start(cfg)
    check_backbone(backbone, folder / 'resnet50_frelu.pth')
    image = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)
    assert torch.equal(preprocess(dict(inputs=[image]))['inputs'][0], image.float())


def test_shufflenet_of_the_readme_starts_from_the_official_weights(tmp_path, convert):
    """ShuffleNetV2 0.5x, which is published, in the config of 1.5x, which is not."""
    target = tmp_path / 'shufflenet_v2_x0_5_frelu.pth'
    convert(dump(shufflenet_fixture()[0], tmp_path / 'shufflenetv2_0.5x.model'), target)
    cfg = load(PATHS_BY_STEM['retinanet_shufflenet-v2-150-frelu_fpn_1x_coco'])
    cfg.model.backbone.widen_factor = 0.5
    cfg.model.backbone.init_cfg.checkpoint = str(target)
    (backbone,) = start(cfg, keys=('backbone',))
    check_backbone(backbone, target)


@pytest.mark.parametrize(
    'stem',
    [
        'retinanet_shufflenet-v2-150-silu_fpn_1x_coco',
        'retinanet_mobilenet-v1-075-frelu_fpn_1x_coco',
        'pspnet_mobilenet-v1-075-relu-d8_4xb2-80k_cityscapes-512x1024',
    ],
)
def test_own_weights_are_taken_from_a_classifier(stem, tmp_path, monkeypatch):
    """A checkpoint of an mmpretrain classifier, with its head and a last layer that no detector has."""
    monkeypatch.setenv('WEIGHTS_ROOT', str(tmp_path))
    cfg = load(PATHS_BY_STEM[stem])
    pretrained = cfg.model.backbone.copy()
    pretrained.update(init_cfg=None, frozen_stages=-1)
    if 'shufflenet' in stem:
        pretrained.out_indices = (3,)
    network = revert_sync_batchnorm(MODELS.build(pretrained))
    weights = {f'backbone.{key}': torch.rand(t.shape) for key, t in network.state_dict().items()}
    weights['head.fc.weight'] = torch.rand(1000, 1024)
    torch.save(dict(state_dict=weights), cfg.model.backbone.init_cfg.checkpoint)
    (backbone,) = start(cfg, keys=('backbone',))
    check_backbone(backbone, cfg.model.backbone.init_cfg.checkpoint)


def check_backbone(backbone, file):
    weights = torch.load(file, weights_only=True)['state_dict']
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, weights[f'backbone.{name}'].to(tensor.dtype)), name
