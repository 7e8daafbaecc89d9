"""Freezing, fixed norms, checkpointing, starts and pretrained weights of ResNet, activations included."""

import copy

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mm_frelu import FReLU, ResNet


def small(**options):
    return ResNet(**{'depth': 50, 'base_channels': 8, **options})


@pytest.mark.parametrize('deep_stem', [False, True])
def test_frozen_stages_freeze_their_activations(deep_stem, warnings_of):
    model = small(frozen_stages=1, act_stem=True, deep_stem=deep_stem).train()
    frozen = [model.layer1] + ([model.stem] if deep_stem else [model.conv1, model.bn1, model.act1])
    for module in frozen:
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert not any(layer.training for layer in module.modules())
    assert all(parameter.requires_grad for parameter in model.layer2.parameters())
    assert model.layer2[0].act1.norm.training
    assert len(warnings_of) == 1
    assert 'frozen as initialised' in warnings_of[0]


def test_no_warning_when_the_frozen_windows_are_trained(warnings_of):
    trained = small().train()
    trained(torch.randn(2, 3, 64, 64))
    model = small(frozen_stages=2)
    model.load_state_dict(trained.state_dict())
    model.train()
    assert warnings_of == []


def test_frozen_untrained_windows_warn_once_and_name_themselves(warnings_of):
    model = small(frozen_stages=1)
    assert warnings_of == []
    for _ in range(3):
        model.train()
    assert len(warnings_of) == 1
    assert warnings_of[0].startswith('9 untrained activations (layer1.0.act1, layer1.0.act2,')
    assert 'frozen_stages' in warnings_of[0]


def test_norm_without_gradients_warns_too(warnings_of):
    act_cfg = dict(type='FReLU', bias=False)
    model = small(norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, act_cfg=act_cfg)
    model.train()
    assert 'act_norm_eval=False' in warnings_of[0]


def test_norm_eval_reaches_the_windows_unless_told_otherwise(warnings_of):
    model = small(norm_eval=True).train()
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert 'act_norm_eval=False' in warnings_of[0]

    model = small(norm_eval=True, act_norm_eval=False).train()
    assert model.layer1[0].act1.norm.training
    assert not model.layer1[0].bn1.training
    assert not model.bn1.training
    assert len(warnings_of) == 1

    model = small(norm_eval=False, act_norm_eval=True).train()
    assert not model.layer1[0].act1.norm.training
    assert model.layer1[0].bn1.training


def test_act_norm_eval_does_not_thaw_frozen_stages(warnings_of):
    model = small(norm_eval=True, act_norm_eval=False, frozen_stages=1).train()
    assert not model.layer1[0].act1.norm.training
    assert model.layer2[0].act1.norm.training


@pytest.mark.parametrize('requires_grad', [True, False])
def test_a_silent_window_that_cannot_speak_up_warns(requires_grad, warnings_of):
    """Scale zero and no gradient for it: ReLU for ever, although the convolution is not frozen."""
    norm_cfg = dict(type='BN', requires_grad=requires_grad)
    model = small(act_cfg=dict(type='FReLU', init='identity', norm_cfg=norm_cfg)).train()
    model(torch.randn(2, 3, 64, 64))[-1].sum().backward()
    window = model.layer1[0].act1
    gradients = [layer.weight.grad for layer in (window.conv, window.norm)]
    learns = any(gradient is not None and gradient.any() for gradient in gradients)
    assert learns == requires_grad
    assert len(warnings_of) == (0 if requires_grad else 1)
    assert all('39 untrained activations' in text for text in warnings_of)
    assert all('frozen as initialised' in text for text in warnings_of)


def assert_checkpointing_changes_nothing(compiled=False, **options):
    """Values, gradients and running statistics are those of a plain step."""
    torch.manual_seed(0)
    plain = small(**options).train()
    checked = small(**options, with_cp=True).train()
    checked.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    run = torch.compile(checked, backend='aot_eager') if compiled else checked
    for model in (plain, run):
        sum(feature.square().mean() for feature in model(x)).backward()
    for (key, expected), (_, actual) in zip(plain.named_parameters(), checked.named_parameters()):
        torch.testing.assert_close(actual.grad, expected.grad, msg=key)
    for (key, expected), (_, actual) in zip(plain.named_buffers(), checked.named_buffers()):
        assert torch.equal(actual, expected), key


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('name', ['FReLU', 'ReLU'])
def test_checkpointing_changes_nothing(depth, name):
    assert_checkpointing_changes_nothing(depth=depth, act_cfg=dict(type=name))


@pytest.mark.parametrize(
    'norm_cfg',
    [dict(type='SyncBN'), dict(type='BN', momentum=None), dict(type='GN', num_groups=2)],
)
def test_checkpointing_with_other_norms(norm_cfg):
    assert_checkpointing_changes_nothing(depth=18, norm_cfg=norm_cfg)


def test_checkpointing_and_compiling():
    # What a compiled graph computes with; loops on CPUs round differently.
    act_cfg = dict(type='FReLU', implementation='recompute')
    assert_checkpointing_changes_nothing(compiled=True, depth=18, act_cfg=act_cfg)


def test_checkpointing_keeps_less():
    def kept_bytes(model, x):
        kept = {}

        def pack(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            sum(feature.mean() for feature in model(x))
        return sum(kept.values())

    x = torch.randn(2, 3, 64, 64)
    assert kept_bytes(small(with_cp=True), x) < 0.5 * kept_bytes(small(), x)


def test_zero_init_residual_is_about_the_blocks_norm_only():
    model = small()
    model.init_weights()
    block = model.layer2[1]
    assert (block.bn3.weight == 0).all()
    assert (block.act3.norm.weight == 1).all()
    model = small(zero_init_residual=False)
    model.init_weights()
    assert (model.layer2[1].bn3.weight == 1).all()


@pytest.mark.parametrize('deep_stem', [False, True])
def test_identity_start_survives_init_weights(deep_stem):
    """The parent's init_cfg starts every norm at 1; the activations put their own back to 0."""
    options = dict(deep_stem=deep_stem, act_stem=True, act_stages=(0, 1, 2, 3))
    model = small(act_cfg=dict(type='FReLU', init='identity'), **options).eval()
    model.init_weights()
    relu = small(act_cfg=dict(type='ReLU'), **options).eval()
    missing, unexpected = relu.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    assert all('.conv.' in name or '.norm.' in name for name in unexpected)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for expected, actual in zip(relu(x), model(x)):
            assert torch.equal(actual, expected)


def test_pretrained_weights_come_last(tmp_path):
    source = small(act_cfg=dict(type='FReLU')).train()
    source(torch.randn(2, 3, 64, 64))
    state = {f'backbone.{name}': tensor for name, tensor in source.state_dict().items()}
    checkpoint = tmp_path / 'source.pth'
    torch.save(dict(state_dict=state), checkpoint)
    init_cfg = dict(type='Pretrained', prefix='backbone.', checkpoint=str(checkpoint))
    model = small(act_cfg=dict(type='FReLU', init='identity'), init_cfg=init_cfg)
    model.init_weights()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


def test_relu_checkpoint_and_identity_start_give_the_relu_network(tmp_path):
    source = small(act_cfg=dict(type='ReLU')).train()
    source(torch.randn(2, 3, 64, 64))
    checkpoint = tmp_path / 'relu.pth'
    torch.save(source.state_dict(), checkpoint)
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    model = small(act_cfg=dict(type='FReLU', init='identity'), init_cfg=init_cfg).eval()
    model.init_weights()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for expected, actual in zip(source.eval()(x), model(x)):
            assert torch.equal(actual, expected)


def test_sync_bn_reaches_the_windows_and_is_reverted():
    model = small(norm_cfg=dict(type='SyncBN'))
    assert isinstance(model.layer1[0].act1.norm, nn.SyncBatchNorm)
    reverted = revert_sync_batchnorm(model)
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in reverted.modules())
    assert isinstance(reverted.layer1[0].act1.norm, nn.modules.batchnorm._BatchNorm)
    reverted(torch.randn(2, 3, 64, 64))[-1].sum().backward()


def test_folded_backbone_computes_the_same():
    torch.manual_seed(0)
    model = small().train()
    for _ in range(2):
        model(torch.randn(4, 3, 64, 64))
    model.eval()
    folded = copy.deepcopy(model)
    for layer in folded.modules():
        if isinstance(layer, FReLU):
            layer.switch_to_deploy()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for expected, actual in zip(model(x), folded(x)):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_deprecated_pretrained_still_works(tmp_path):
    source = small()
    torch.save(source.state_dict(), tmp_path / 'source.pth')
    with pytest.warns(DeprecationWarning, match='use init_cfg'):
        model = small(pretrained=str(tmp_path / 'source.pth'))
    model.init_weights()
    assert torch.equal(model.conv1.weight, source.conv1.weight)


def test_init_log_names_no_window_twice():
    MMLogger.get_instance('test_init_log', log_level='ERROR')
    model = small()
    model.init_weights()
    assert all(layer.is_init for layer in model.modules() if isinstance(layer, FReLU))
