"""Converted official weights give the features of the official network.

ShuffleNetV2: against tensors from running megvii-model/FunnelAct on MegEngine (tests/data/golden/README.md). ResNet-50: against
a plain float64 evaluation of a synthetic official checkpoint. The tolerances are about four times MegEngine's own float32 noise.
"""

import hashlib
import logging
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import CheckpointLoader
from official_networks import (
    dump,
    in_old_layout,
    official_resnet50,
    pictures,
    resnet50_state,
    shufflenet_fixture,
)
from torch import nn

from mm_frelu import ResNet, ShuffleNetV2
from mm_frelu.checkpoints.layout import absorb_bias
from mm_frelu.checkpoints.megengine import convert_megengine
from mm_frelu.checkpoints.saving import save_checkpoint
from mm_frelu.engine.preprocessing import Preprocessing, of_checkpoint
from mm_frelu.registry import MODELS

pytestmark = pytest.mark.xdist_group('official_weights')  # one process: the fixtures are expensive

LOOSE, TIGHT, LOGITS = 5e-3, 5e-4, 3e-4


@pytest.fixture(scope='module')
def shufflenet():
    return shufflenet_fixture()


@pytest.fixture(scope='module')
def shufflenet_images(shufflenet):
    _, _, meta = shufflenet
    return torch.from_numpy(pictures(2, meta['seed'] + 2))


@pytest.fixture(scope='module')
def resnet_file(tmp_path_factory):
    return dump(resnet50_state(), tmp_path_factory.mktemp('resnet') / 'res50_frelu.model')


def classifier(backbone, channels, classes=1000):
    """Backbone and head under the names of an mmpretrain classifier."""
    head = nn.ModuleDict(dict(fc=nn.Linear(channels, classes)))
    return nn.ModuleDict(dict(backbone=backbone, head=head)).eval()


def record(backbone, names):
    """Outputs of modules, by name, of the next forward run."""
    outputs = {}
    for name in names:
        module = backbone.get_submodule(name)
        module.register_forward_hook(
            lambda _, __, out, name=name: outputs.__setitem__(name, out.detach())
        )
    return outputs


@pytest.mark.parametrize('era', ['1.13', '0.5.1'])
def test_shufflenet_equals_official(shufflenet, shufflenet_images, era, tmp_path):
    state, golden, meta = shufflenet
    source = dump(state if era == '1.13' else in_old_layout(state), tmp_path / 'shufflenet.model')
    converted = convert_megengine(source)
    assert converted['meta']['arch'] == 'shufflenet_v2_x0_5'
    model = classifier(ShuffleNetV2(0.5), 1024)
    model.load_state_dict(converted['state_dict'], strict=True)

    names = [entry[5:] for entry in golden.files if entry.startswith('feat/')]
    assert len(names) == 9
    features = record(model.backbone, [name for name in names if name != 'globalpool'])
    with torch.no_grad():
        (out,) = model.backbone(shufflenet_images)
        features['globalpool'] = out.mean((2, 3))
        logits = model.head.fc(features['globalpool'])
    for name in names:
        actual = features[name].numpy()
        if meta['stride'][name]:
            c, h, w = meta['stride'][name]
            actual = actual[:, ::c, ::h, ::w]
        atol = LOOSE if name in ('features.11', 'features.15', 'conv_last') else TIGHT
        np.testing.assert_allclose(actual, golden[f'feat/{name}'], rtol=0, atol=atol, err_msg=name)
    np.testing.assert_allclose(logits, golden['logits'], rtol=0, atol=LOGITS)


@pytest.mark.parametrize('numpy_core', ['numpy.core', 'numpy._core'])
@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_every_protocol_and_numpy_gives_the_same_weights(
    shufflenet, protocol, numpy_core, tmp_path
):
    state, *_ = shufflenet
    expected = convert_megengine(dump(state, tmp_path / 'a.pkl'))['state_dict']
    source = dump(state, tmp_path / 'b.pkl', protocol, numpy_core)
    actual = convert_megengine(source, 'shufflenet_v2_x0_5')['state_dict']
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_plain_dict_and_other_memory_orders_are_read(shufflenet, tmp_path):
    state, *_ = shufflenet
    expected = convert_megengine(dump(state, tmp_path / 'a.pkl'))['state_dict']
    turned = {name: np.asfortranarray(value).astype('>f4') for name, value in state.items()}
    for protocol in (2, 5):
        (tmp_path / 'b.pkl').write_bytes(pickle.dumps(turned, protocol))
        actual = convert_megengine(tmp_path / 'b.pkl')['state_dict']
        assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_resnet50_equals_official(resnet_file):
    """Each stage, its input included, within the tolerance that belongs to its depth."""
    images = pictures(1, seed=3, size=224)
    state = resnet50_state()
    assert len(state) == 554
    expected = official_resnet50(state, images)
    converted = convert_megengine(resnet_file)
    model = classifier(ResNet(50, style='caffe'), 2048)
    model.load_state_dict(converted['state_dict'], strict=True)
    features = record(model.backbone, ['maxpool'])
    with torch.no_grad():
        stages = model.backbone(torch.from_numpy(images))
        logits = model.head.fc(stages[-1].mean((2, 3)))
    actual = dict(zip(('res2', 'res3', 'res4', 'res5'), stages))
    actual.update(stem=features['maxpool'], logits=logits)
    atols = dict(stem=TIGHT, res2=TIGHT, res3=LOOSE, res4=LOOSE, res5=LOOSE, logits=LOGITS)
    for name, atol in atols.items():
        assert expected[name].std() > 0.1, name
        torch.testing.assert_close(
            actual[name].double(),
            expected[name],
            rtol=0,
            atol=atol,
            msg=lambda m, n=name: f'{n}: {m}',
        )


@pytest.mark.parametrize('network', ['resnet50', 'shufflenet_v2_x0_5'])
def test_pretrained_backbone_has_no_misfit(network, resnet_file, shufflenet, tmp_path):
    source = resnet_file
    if network != 'resnet50':
        source = dump(shufflenet[0], tmp_path / 'shufflenet.model')
    checkpoint, target = convert_megengine(source), tmp_path / 'out' / 'converted.pth'
    save_checkpoint(checkpoint, target, 'DST')
    init_cfg = dict(type='Pretrained', prefix='backbone.', checkpoint=str(target))
    builds = [dict(checkpoint['meta']['backbone'])]
    if network != 'resnet50':
        builds.append(dict(builds[0], out_indices=(0, 1, 2)))
    for cfg in builds:
        model = MODELS.build(dict(cfg, init_cfg=init_cfg))
        assert load_report(model) == []
        state = checkpoint['state_dict']
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, state[f'backbone.{name}']), name


def test_the_load_report_would_show_a_misfit(resnet_file, tmp_path):
    target = tmp_path / 'converted.pth'
    save_checkpoint(convert_megengine(resnet_file), target, 'DST')
    init_cfg = dict(type='Pretrained', prefix='backbone.', checkpoint=str(target))
    model = ResNet(50, act_cfg=dict(type='ReLU'), init_cfg=init_cfg)
    assert 'layer1.0.act1.conv.weight' in ''.join(load_report(model))


def load_report(model):
    """What MMEngine says while it loads: a line for every missing or unexpected key."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda entry: said.append(entry.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        model.init_weights()
    finally:
        logger.removeHandler(handler)
    return said


def test_meta_says_where_the_weights_come_from(resnet_file, tmp_path):
    target = tmp_path / 'converted.pth'
    save_checkpoint(convert_megengine(resnet_file), target, 'DST')
    checkpoint = torch.load(target, weights_only=True)
    assert (
        CheckpointLoader.load_checkpoint(str(target), map_location='cpu').keys()
        == checkpoint.keys()
    )
    assert of_checkpoint(checkpoint) == Preprocessing((0.0,) * 3, (1.0,) * 3, rgb=False)
    meta = checkpoint['meta']
    assert meta['source']['sha256'] == hashlib.sha256(resnet_file.read_bytes()).hexdigest()
    assert meta['source']['name'] == 'res50_frelu.model'
    assert meta['converter']['version'] == 1
    assert meta['backbone'] == dict(type='mm_frelu.ResNet', depth=50, style='caffe')


def test_another_number_of_classes_is_kept(tmp_path):
    source = dump(resnet50_state(classes=7), tmp_path / 'seven.model')
    state = convert_megengine(source)['state_dict']
    assert state['head.fc.weight'].shape == (7, 2048)
    assert state['head.fc.bias'].shape == (7,)


@pytest.mark.parametrize('training', [False, True])
def test_absorbing_a_bias_changes_nothing(training):
    """Output, and what the running statistics become, of convolution and norm with and without the bias."""
    torch.manual_seed(0)
    biased = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)).double()
    biased[1].running_mean.normal_()
    biased[1].running_var.uniform_(0.5, 2)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)).double()
    state = biased.state_dict()
    bias = state.pop('0.bias')
    state['1.running_mean'] = absorb_bias(state['1.running_mean'], bias)
    plain.load_state_dict(state)
    x = torch.randn(2, 3, 9, 9).double()
    torch.testing.assert_close(plain.train(training)(x), biased.train(training)(x))
    torch.testing.assert_close(plain[1].running_mean + bias, biased[1].running_mean)
    torch.testing.assert_close(plain[1].running_var, biased[1].running_var)
