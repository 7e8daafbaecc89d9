"""Weights of train, eval, DDP, compiled and deployed models: which models load them, and errors for the others."""

import copy

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from test_checkpoint_guard import Net, load, warnings  # noqa: F401  (a fixture)
from torch import nn
from torch.testing import assert_close

from mm_frelu import DyReLUB, FReLU, LightFReLU
from mm_frelu.engine import UserError
from mm_frelu.engine.checkpoint_guard import load_strictly

ACTIVATIONS = {
    'FReLU': lambda norm='BN', **more: FReLU(4, norm_cfg=norm and dict(type=norm), **more),
    'LightFReLU': lambda norm='BN', **more: LightFReLU(
        4, norm_cfg=norm and dict(type=norm), **more
    ),
    'DyReLUB': lambda norm='BN', **more: DyReLUB(4),
}


def trained(name: str) -> nn.Module:
    """A network after a step: no weight or statistic has its initial value."""
    torch.manual_seed(0)
    model = Net(ACTIVATIONS[name]())
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    model.head(model.backbone(torch.randn(2, 3, 8, 8)))
    return model


def of_ddp(model):
    # A DDP model needs a process group; its names come from this attribute.
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    return wrapper.state_dict()


def of_part(model):
    """Weights of a model in which only the backbone is compiled."""
    model.backbone = torch.compile(model.backbone)
    return model.state_dict()


SAVED_BY = {
    'train': lambda model: model.train().state_dict(),
    'eval': lambda model: model.eval().state_dict(),
    'DDP': of_ddp,
    'compiled': lambda model: torch.compile(model).state_dict(),
    'compiled in DDP': lambda model: of_ddp(torch.compile(model)),
    'DDP in compiled': lambda model: {f'_orig_mod.{k}': v for k, v in of_ddp(model).items()},
    'backbone compiled': of_part,
}


@pytest.mark.parametrize('loader', ['Runner', 'Runner into DDP', 'pictures'])
@pytest.mark.parametrize('saved_by', SAVED_BY)
@pytest.mark.parametrize('name', ACTIVATIONS)
def test_weights_load_whatever_wrapped_the_model(name, saved_by, loader, warnings):  # noqa: F811
    source = trained(name)
    weights, target = SAVED_BY[saved_by](copy.deepcopy(source)), Net(ACTIVATIONS[name]())
    if loader == 'pictures':
        load_strictly(target, dict(state_dict=weights), 'weights.pth')
    elif loader == 'Runner':
        load(target, weights, strict=True)
    else:
        wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
        nn.Module.__init__(wrapper)
        wrapper.module = target
        load(wrapper, weights, strict=True)
    assert warnings == []
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU'])
def test_deployed_weights_load_into_a_deployed_model(name, warnings):  # noqa: F811
    source, x = trained(name).eval(), torch.randn(2, 3, 8, 8)
    expected = source.backbone(x)
    source.backbone[1].switch_to_deploy()
    target = Net(ACTIVATIONS[name](None, bias=True)).eval()
    load(target, source.state_dict(), strict=True)
    assert warnings == []
    assert_close(target.backbone(x), expected)


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize('init', ['paper', 'identity'])
@pytest.mark.parametrize('name', ['FReLU', 'LightFReLU'])
def test_deployed_weights_are_refused_by_a_model_with_norms(name, init, strict):
    """Also by a model with init='identity', whose initial norms would turn the windows off."""
    source = trained(name)
    source.backbone[1].switch_to_deploy()
    with pytest.raises(UserError, match='windows without the norms .* it is deployed, with'):
        load(Net(ACTIVATIONS[name](init=init)), source.state_dict(), strict)


def test_weights_with_norms_are_refused_by_a_deployed_model():
    weights = trained('FReLU').state_dict()
    with pytest.raises(UserError, match='unexpected, e.g. backbone.1.norm.weight.* Use the config'):
        load(Net(ACTIVATIONS['FReLU'](None, bias=True)), weights, strict=True)
