"""CheckpointGuardHook through MMEngine's own loading function, on models small enough to count by hand."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseTTAModel, MMDistributedDataParallel
from mmengine.registry import HOOKS
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from mm_frelu import DyReLUB, FReLU, replace_activations
from mm_frelu.engine import CheckpointGuardHook, UserError
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.launch import add_hook


class Net(nn.Module):
    """Two convolutions with an activation between; ``head`` has ``classes`` outputs."""

    def __init__(self, act=None, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), act or nn.ReLU())
        self.head = nn.Conv2d(4, classes, 1)


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(
        'mm_frelu.engine.checkpoint_guard.print_log',
        lambda message, *_, **__: found.append(message),
    )
    return found


def load(model, weights, strict, cfg=None, meta=None):
    """Call the hook like Runner.load_checkpoint."""
    runner = SimpleNamespace(model=model, cfg=cfg or dict(load_from='weights.pth'), work_dir='.')
    checkpoint = dict(state_dict=copy.deepcopy(weights), meta=meta or {})
    CheckpointGuardHook(strict).after_load_checkpoint(runner, checkpoint)
    _load_checkpoint_to_model(getattr(model, 'module', model), checkpoint)


@pytest.mark.parametrize('strict', [True, False])
def test_what_fits_is_loaded_in_silence(strict, warnings):
    source, target = Net(FReLU(4)), Net(FReLU(4))
    load(target, source.state_dict(), strict)
    assert warnings == []
    assert all(
        torch.equal(a, b)
        for a, b in zip(source.state_dict().values(), target.state_dict().values())
    )
    # The comparison belongs to one loading.
    target.load_state_dict({}, strict=False)
    assert warnings == []


def test_keys_with_a_module_prefix_fit(warnings):
    weights = {f'module.{key}': value for key, value in Net().state_dict().items()}
    load(Net(), weights, strict=True)
    assert warnings == []


def test_another_head_is_a_warning_for_fine_tuning_and_an_error_for_testing(warnings):
    weights = Net(classes=5).state_dict()
    load(Net(classes=3), weights, strict=False)
    expected = 'head.weight expected (3, 4, 1, 1) found (5, 4, 1, 1)'
    assert len(warnings) == 1
    assert 'weights.pth fits 2 of the 4 tensors' in warnings[0]
    assert f'2 of head of another shape, e.g. {expected}' in warnings[0]
    with pytest.raises(
        UserError, match='Checkpoint of another architecture: weights.pth fits 2 of the 4'
    ):
        load(Net(classes=3), weights, strict=True)


def test_when_nothing_fits_fine_tuning_stops_too(warnings):
    weights = {f'net.{key}': value for key, value in Net().state_dict().items()}
    with pytest.raises(UserError, match='fits 0 of the 4 tensors') as error:
        load(Net(), weights, strict=False)
    assert '2 of backbone and 2 of head missing' in str(error.value)
    assert '4 of net for parts that this model lacks' in str(error.value)


def test_windows_missing_in_a_relu_checkpoint_are_one_expected_group(warnings):
    load(Net(FReLU(4)), Net().state_dict(), strict=False)
    assert len(warnings) == 1
    # conv.weight, conv.bias and the norm's weight, bias, mean, var.
    assert 'activations of this model (6 missing: backbone.1.conv.weight' in warnings[0]
    assert 'start untrained' in warnings[0]
    with pytest.raises(UserError, match='trained with another activation'):
        load(Net(FReLU(4)), Net().state_dict(), strict=True)


def test_windows_that_start_as_relu_may_be_tested_with_relu_weights(warnings):
    source, target = Net(), Net(FReLU(4, init='identity'))
    load(target, source.state_dict(), strict=True)
    assert len(warnings) == 1
    assert "init='identity'" in warnings[0]
    # Names do not tell ReLU from ReLU6, so no more is promised than that.
    assert 'unchanged if it was trained with ReLU' in warnings[0]
    assert 'ReLU6' in warnings[0]
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(source.eval().backbone(x), target.eval().backbone(x))


@pytest.mark.parametrize('old', [nn.SiLU, nn.ReLU])
def test_only_in_place_of_relu_old_weights_still_fit(old, warnings):
    target = Net(old())
    replace_activations(
        target, dict(type='FReLU'), run=lambda net: net.backbone(torch.rand(2, 3, 5, 5))
    )
    if old is nn.ReLU:
        load(target, Net().state_dict(), strict=True)
        assert 'exactly ReLU' in warnings[0]
    else:
        with pytest.raises(UserError, match='trained with another activation'):
            load(target, Net().state_dict(), strict=True)


def test_a_run_cannot_go_on_with_new_windows():
    cfg = dict(load_from='weights.pth', resume=True)
    with pytest.raises(UserError, match=r"start a new run with load_from='weights\.pth'"):
        load(Net(FReLU(4, init='identity')), Net().state_dict(), strict=True, cfg=cfg)


def test_what_is_missing_beside_the_windows_is_named_beside_them(warnings):
    weights = Net().state_dict()
    weights['head.scale'] = weights.pop('head.bias')
    load(Net(FReLU(4, init='identity')), weights, strict=False)
    windows, others = warnings
    assert '(6 missing: ' in windows
    assert '1 of head missing, e.g. head.bias; 1 of head unexpected, e.g. head.scale' in others


def test_windows_that_the_model_lacks_do_not_start_untrained(warnings):
    load(Net(), Net(FReLU(4)).state_dict(), strict=False)
    assert len(warnings) == 1
    assert 'fits 4 of the 4 tensors' in warnings[0]
    assert warnings[0].endswith('Unexpected weights are not loaded.')


def test_where_nothing_fits_nothing_is_promised_of_the_windows(warnings):
    weights = {f'net.{key}': value for key, value in Net().state_dict().items()}
    with pytest.raises(UserError, match='fits 0 of the'):
        load(Net(FReLU(4, init='identity')), weights, strict=False)
    assert warnings == []


def test_weights_of_another_activation_are_not_taken_for_folded_ones(warnings):
    """FReLU's weights have the same prefix as those of DyReLU-B, but other names."""
    weights = Net(FReLU(4)).state_dict()
    load(Net(DyReLUB(4)), weights, strict=False)
    assert 'no weights for the activations of this model (4 missing: backbone.1.' in warnings[0]
    assert '7 of backbone unexpected, e.g. backbone.1.conv.weight' in warnings[1]
    cfg = dict(load_from='weights.pth', resume=True)
    with pytest.raises(UserError, match='must continue with the activations that it started with'):
        load(Net(DyReLUB(4)), weights, strict=True, cfg=cfg)


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize(
    ('checkpoint', 'found'),
    [
        ([1, 2], 'a list'),
        (dict(state_dict=None), 'a NoneType'),
        (dict(state_dict={}), 'an empty dict'),
        (dict(model=Net().state_dict(), epoch=3), r'model \(OrderedDict\), epoch \(int\)'),
        ({1: torch.zeros(3)}, r'1 \(Tensor\)'),
        # PyTorch skips them with a message in the log; the metrics would be those of an untrained layer.
        ({**Net().state_dict(), 'head.bias': np.zeros(3)}, r'head.bias \(ndarray\)'),
        (dict(state_dict={**Net().state_dict(), 'head.bias': None}), r'head.bias \(NoneType\)'),
    ],
)
def test_what_is_no_state_dict_is_an_error_about_the_file(checkpoint, found, strict):
    runner = SimpleNamespace(model=Net(), cfg=dict(load_from='weights.pth'), work_dir='.')
    message = rf'^weights.pth has no weights that can be loaded: .* found {found}\. '
    with pytest.raises(UserError, match=message):
        CheckpointGuardHook(strict).after_load_checkpoint(runner, checkpoint)
    with pytest.raises(UserError, match=message):
        load_strictly(Net(), checkpoint, 'weights.pth')


def test_windows_that_the_model_lacks_are_an_error_in_testing():
    with pytest.raises(UserError, match='of backbone unexpected, e.g. backbone.1.conv.weight'):
        load(Net(), Net(FReLU(4)).state_dict(), strict=True)


def test_a_part_left_out_for_testing_does_no_harm(warnings):
    weights = {**Net().state_dict(), 'auxiliary_head.conv.weight': torch.zeros(1)}
    load(Net(), weights, strict=True)
    assert warnings == []


def test_models_inside_wrappers_are_compared():
    class Tta(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return data_samples_list

    model = Net(classes=3)
    model.test_step = None
    with pytest.raises(UserError, match='expected'):
        load(Tta(model), Net(classes=5).state_dict(), strict=True)


def test_another_preprocessing_is_one_warning_with_both_sides_and_the_fix(warnings):
    mine = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
    cfg = Config(dict(load_from='weights.pth', model=dict(data_preprocessor=mine)))
    model, weights = Net(), Net().state_dict()
    load(model, weights, True, cfg, meta=dict(preprocessing=dict(channel_order='bgr')))
    assert len(warnings) == 1
    assert 'was trained on BGR with mean=[0, 0, 0], std=[1, 1, 1]' in warnings[0]
    assert 'this config feeds RGB with mean=[123.675, 116.28, 103.53]' in warnings[0]
    assert 'mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False' in warnings[0]
    load(model, weights, True, cfg, meta=dict(preprocessing=mine))
    load(model, weights, True, cfg, meta=dict(cfg=cfg.pretty_text))
    assert len(warnings) == 1


def test_another_place_of_the_strides_is_a_warning_too(warnings):
    model = Net()
    model.backbone.style = 'pytorch'
    weights = model.state_dict()
    load(model, weights, strict=True, meta=dict(backbone=dict(style='caffe')))
    assert len(warnings) == 1
    assert warnings[0].startswith("Style differs: weights.pth was trained with style='caffe'")
    assert "Write model.backbone.style = 'caffe'" in warnings[0]
    load(model, weights, strict=True, meta=dict(backbone=dict(style='pytorch')))
    assert len(warnings) == 1


def test_the_tools_add_the_hook_once():
    cfg = Config(dict(custom_hooks=[dict(type='EMAHook')]))
    add_hook(cfg, 'CheckpointGuardHook', strict=False)
    add_hook(cfg, 'CheckpointGuardHook', strict=True)
    own = dict(type='mm_frelu.CheckpointGuardHook', strict=True)
    assert cfg.custom_hooks == [dict(type='EMAHook'), own]
    assert HOOKS.build(own).strict is True


def test_ddp_is_unwrapped(monkeypatch):
    # A DDP model needs a process group; what counts is that MMEngine's wrapper class is looked through.
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = Net(classes=3)
    with pytest.raises(UserError, match='expected'):
        load(wrapped, Net(classes=5).state_dict(), strict=True)
