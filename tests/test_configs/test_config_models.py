"""Every model that a config describes trains and predicts on a small input.

Schedules and data do not change a model, so configs that describe the same one share a run.
"""

import json
from typing import Dict, Iterable

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from config_files import CONFIG_PATHS, baseline_of, load, read_name
from mmdet.testing import demo_mm_inputs
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

PATHS_BY_STEM = {path.stem: path for path in CONFIG_PATHS}
# One config shows that crops of 769x769 train and slide. The others differ from a faster one in crop, depth, the order of the
# channels or the places of the activations.
SLOW = [
    stem
    for stem in PATHS_BY_STEM
    if '_r101' in stem
    or '-caffe' in stem
    or '-frelu-p' in stem
    or '_r50b-silu' in stem
    or (stem.endswith('_cityscapes-769x769') and 'r50b-frelu-d8' not in stem)
]


def distinct_models() -> list:
    """One config name for each distinct model."""
    first: Dict[str, str] = {}
    for path in CONFIG_PATHS:
        first.setdefault(json.dumps(load(path).model.to_dict(), sort_keys=True), path.stem)
    return slow_marked(first.values())


def slow_marked(stems: Iterable[str]) -> list:
    return [pytest.param(stem, marks=[pytest.mark.slow] * (stem in SLOW)) for stem in stems]


def build(path, size=(64, 128)):
    """A config's model with random weights in place of the pretrained, padding to ``size`` in place of its crop."""
    cfg = load(path)
    cfg.model.backbone.init_cfg = None
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = size
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    return model


def batch_for(path, size=(64, 128)) -> dict:
    """Two random images with random truth."""
    if read_name(path).method == 'retinanet':
        classes = load(path).model.bbox_head.num_classes
        return demo_mm_inputs(2, (3, *size), num_items=[2, 3], num_classes=classes)
    torch.manual_seed(0)
    samples = []
    for _ in range(2):
        labels = torch.randint(0, 19, (1, *size))
        labels[:, :4] = 255
        samples.append(
            SegDataSample(
                gt_sem_seg=PixelData(data=labels),
                metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size),
            )
        )
    images = list(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8))
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('stem', distinct_models())
def test_trains_and_predicts(stem):
    path = PATHS_BY_STEM[stem]
    name = read_name(path)
    size = (64, 64) if name.depth == 101 else (64, 128)
    model = build(path, size)
    model.train()
    data = model.data_preprocessor(batch_for(path, size), training=True)
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    assert total > 0

    model.eval()
    with torch.no_grad():
        results = model.test_step(batch_for(path, size))
    assert len(results) == 2
    for result in results:
        if name.method == 'retinanet':
            boxes = result.pred_instances
            assert boxes.bboxes.shape == (len(boxes.scores), 4)
            assert torch.isfinite(boxes.bboxes).all()
        else:
            assert result.seg_logits.data.shape == (19, *size)
            assert torch.isfinite(result.seg_logits.data).all()
            assert result.pred_sem_seg.data.shape == (1, *size)


FROM_RELU_WEIGHTS = [
    'retinanet_r50-frelu_fpn_1x_coco',
    'retinanet_r50-frelu-p_fpn_1x_coco',
    'retinanet_r50-caffe-frelu-identity_fpn_1x_coco',
    'pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024',
]


LIGHT_FROM_RELU_WEIGHTS = [
    'retinanet_mobilenet-v2-dyrelu-b_fpn_1x_coco',
    'retinanet_mobilenet-v2-frelu_fpn_1x_coco',
    'pspnet_mobilenet-v2-dyrelu-b-d8_4xb2-80k_cityscapes-512x1024',
    'pspnet_mobilenet-v2-frelu-d8_4xb2-80k_cityscapes-512x1024',
    'pspnet_r18b-dyrelu-b-d8_4xb2-80k_cityscapes-512x1024',
    'pspnet_r18b-frelu-d8_4xb2-80k_cityscapes-512x1024',
]


@pytest.mark.parametrize('stem', slow_marked([*FROM_RELU_WEIGHTS, *LIGHT_FROM_RELU_WEIGHTS]))
def test_equals_its_baseline_at_step_0(stem):
    """Activations that start as ReLU: the weights of the ReLU network give the output of the ReLU network."""
    path = PATHS_BY_STEM[stem]
    model, baseline = build(path).backbone, build(baseline_of(path)).backbone
    randomise_norms(baseline)
    missing, unexpected = model.load_state_dict(baseline.state_dict(), strict=False)
    assert unexpected == []
    assert all('.act' in key for key in missing)
    images = torch.rand(2, 3, 64, 128)
    for mode in (False, True):
        model.train(mode)
        baseline.train(mode)
        with torch.no_grad():
            for got, expected in zip(model(images), baseline(images)):
                assert torch.equal(got, expected)
    assert expected.std() > 0


def randomise_norms(network):
    """Give norms statistics and scales that a trained network could have; built ones are 0 and 1."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.2, 0.6)


@pytest.mark.parametrize(
    'stem',
    slow_marked([*FROM_RELU_WEIGHTS, *(s for s in LIGHT_FROM_RELU_WEIGHTS if '-frelu' in s)]),
)
def test_windows_learn_from_the_first_step(stem):
    """However much of the pretrained network is frozen, each window measures its own statistics and gets gradients."""
    path = PATHS_BY_STEM[stem]
    name = read_name(path)
    model = build(path)
    randomise_norms_without_windows(model.backbone)
    model.train()
    data = model.data_preprocessor(batch_for(path), training=True)
    total, _ = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    windows = [module for module in model.modules() if type(module).__name__ == 'FReLU']
    assert windows
    for window in windows:
        assert window.norm.training
        assert window.norm.weight.grad.abs().sum() > 0
    if name.method == 'retinanet':
        check_freezing(model.backbone, norms_learn=name.style != 'caffe')


def check_freezing(backbone, norms_learn):
    """The stem is frozen, layer1 learns, and its norms keep their statistics."""
    convs = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)]
    assert not convs[0].weight.requires_grad
    own = {key: module for key, module in backbone.layer1.named_modules() if '.act' not in key}
    assert all(m.weight.requires_grad for m in own.values() if isinstance(m, torch.nn.Conv2d))
    norms = [module for module in own.values() if isinstance(module, _BatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert {norm.weight.requires_grad for norm in norms} == {norms_learn}


def test_trained_windows_keep_their_statistics():
    """Official and own weights come with trained windows: in training all norms are fixed, in caffe style frozen too."""
    for stem in (
        'retinanet_r50-caffe-frelu_fpn_1x_coco',
        'retinanet_shufflenet-v2-150-frelu_fpn_1x_coco',
        'retinanet_mobilenet-v1-075-frelu_fpn_1x_coco',
    ):
        backbone = build(PATHS_BY_STEM[stem]).backbone
        backbone.train()
        norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
        assert not any(norm.training for norm in norms)
        frozen = not any(norm.weight.requires_grad for norm in norms)
        assert frozen == ('caffe' in stem)


def randomise_norms_without_windows(network):
    windows = [m for m in network.modules() if type(m).__name__ == 'FReLU']
    gammas = [window.norm.weight.detach().clone() for window in windows]
    randomise_norms(network)
    for window, gamma in zip(windows, gammas):
        window.norm.weight.data.copy_(gamma)


@pytest.mark.parametrize('stem', [stem for stem in PATHS_BY_STEM if '-prelu' in stem])
def test_slopes_of_prelu_do_not_decay(stem):
    """PReLU's definition: no weight decay on the slopes, the usual one on all else."""
    path = PATHS_BY_STEM[stem]
    model, cfg = build(path), load(path)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {
        id(parameter): group['weight_decay'] for group in groups for parameter in group['params']
    }
    slopes = [m.weight for m in model.modules() if isinstance(m, torch.nn.PReLU)]
    assert len(slopes) == 39
    assert all(slope.numel() > 1 for slope in slopes)
    assert {decay.pop(id(slope)) for slope in slopes} == {0.0}
    assert set(decay.values()) == {cfg.optim_wrapper.optimizer.weight_decay}
