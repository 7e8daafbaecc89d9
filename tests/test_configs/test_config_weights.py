"""Configs with weights that the user makes: the file goes where the config looks, and the pixels fit it.

The whole way, as the README goes it: an official file is converted with the tool, the config is loaded, its data
preprocessor is fed an image, and the features are those of the official network on that image. Weights of one's own are
those of the ImageNet config that the config names.
"""

import importlib.util
import re

import numpy as np
import pytest
import torch
from config_files import CONFIG_PATHS, ROOT, load, short_id
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from official_networks import dump, official_resnet50, resnet50_state, shufflenet_fixture

from mm_frelu.engine import checkpoint_guard, checkpoint_pretrained

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


@pytest.fixture(autouse=True)
def warnings_of_loading(monkeypatch):
    """What is said while weights are loaded. It has to be nothing: they fit in names, shapes, pixels and style."""
    said = []
    for module in (checkpoint_guard, checkpoint_pretrained):
        monkeypatch.setattr(module, 'warn', said.append)
    yield said
    assert said == []


def start(cfg: Config):
    """Build the backbone of a config with the weights that it names, and the preprocessor of its images."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        backbone = revert_sync_batchnorm(MODELS.build(cfg.model.backbone))
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    with checkpoint_pretrained.watch_pretrained(backbone, cfg):
        backbone.init_weights()
    return backbone, preprocessor


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
    backbone, _ = start(cfg)
    check_backbone(backbone, target)


OWN = [path for path in CONFIG_PATHS if 'configs/imagenet/' in load(path).get('weights_hint', '')]


def imagenet_config(cfg):
    """The config that trains the weights, as the hint names it."""
    path, *others = set(re.findall(r'configs/imagenet/\S+\.py', cfg.weights_hint))
    assert not others
    return load(ROOT / path)


@pytest.mark.parametrize('path', OWN, ids=short_id)
def test_the_imagenet_config_trains_this_backbone_on_these_pixels(path):
    cfg = load(path)
    source = imagenet_config(cfg)
    ours, theirs = cfg.model.backbone, source.model.backbone
    for key in ('type', 'depth', 'style', 'widen_factor', 'act_cfg', 'base_act_cfg', 'act_sites'):
        assert ours.get(key) == theirs.get(key), key
    seen, trained = cfg.model.data_preprocessor, source.data_preprocessor
    assert (seen.mean, seen.std, seen.bgr_to_rgb) == (trained.mean, trained.std, trained.to_rgb)
    stem, steps = re.search(r'work_dirs/(\S+)/iter_(\d+)\.pth', cfg.weights_hint).groups()
    assert f'configs/imagenet/{stem}.py' in cfg.weights_hint
    assert source.train_cfg.max_iters == int(steps)


@pytest.mark.parametrize(
    'stem',
    [
        'retinanet_shufflenet-v2-150-silu_fpn_1x_coco',
        'retinanet_mobilenet-v1-075-frelu_fpn_1x_coco',
        'pspnet_mobilenet-v1-075-relu-d8_4xb2-80k_cityscapes-512x1024',
        'pspnet_r50b-caffe-relu-d8_4xb2-40k_cityscapes-512x1024',
    ],
)
def test_own_weights_are_taken_from_the_classifier(stem, tmp_path, monkeypatch):
    """A checkpoint of the ImageNet config, with its head and a last layer that no detector has."""
    monkeypatch.setenv('WEIGHTS_ROOT', str(tmp_path))
    cfg = load(PATHS_BY_STEM[stem])
    source, checkpoint = imagenet_config(cfg), cfg.model.backbone.init_cfg.checkpoint
    network = MODELS.build(source.model.backbone)
    weights = {f'backbone.{key}': value for key, value in network.state_dict().items()}
    weights['head.fc.weight'] = torch.rand(1000, source.model.head.in_channels)
    # As MMEngine records it.
    torch.save(dict(state_dict=weights, meta=dict(cfg=source.pretty_text)), checkpoint)
    backbone, _ = start(cfg)
    check_backbone(backbone, checkpoint)


def check_backbone(backbone, file):
    weights = torch.load(file, weights_only=True)['state_dict']
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, weights[f'backbone.{name}'].to(tensor.dtype)), name
