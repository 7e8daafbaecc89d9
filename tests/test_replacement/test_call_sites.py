"""The module that stands for one activation at several sites: right under everything that runs parts of a forward."""

import copy
import pickle

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from small_networks import Net, images, shake
from torch import nn

from mm_frelu import FReLU, replace_activations

FRELU = dict(type='FReLU', init='paper')


class Written(nn.Module):
    """A block of :class:`networks.Net` with a FReLU at each site, written out."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        block, acts = self.block, self.block.relu
        out = acts.act1(block.bn1(block.conv1(x)))
        out = acts.act2(block.bn2(block.conv2(out)))
        return acts.act3(block.bn3(block.conv3(out)) + x)


def written_out(model):
    body = model.backbone
    return nn.Sequential(body[0], body[1], Written(body[2]), Written(body[3]))


def build(with_cp=False, act_cfg=FRELU):
    model = Net(with_cp)
    replace_activations(model, act_cfg)
    return shake(model)


def gradients(model, x):
    model.zero_grad()
    model(x).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('training', [True, False])
def test_each_site_has_its_own(training):
    model = build().train(training)
    x = images()
    assert torch.equal(copy.deepcopy(model).backbone(x), written_out(model)(x))


def test_gradients_are_right_under_checkpointing():
    """Backward runs the inner part again, of two forwards of one block here, the last one first."""
    x = images(1, 3, 12, 16).requires_grad_()

    def grads(with_cp):
        body = build(with_cp).eval().backbone
        first, second = body(x), body(2 * x)
        (first * second).mean().backward()
        return {name: p.grad for name, p in body.named_parameters() if p.grad is not None}

    plain, again = grads(False), grads(True)
    assert plain.keys() == again.keys()
    assert any('relu.act2.conv' in name for name in plain)
    for name, grad in plain.items():
        torch.testing.assert_close(again[name], grad)


def test_a_forward_that_was_broken_off_leaves_nothing_behind():
    model = build().eval()
    expected = model.backbone(images())
    handle = model.backbone[2].conv2.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.backbone(images())
    handle.remove()
    assert torch.equal(model.backbone(images()), expected)


@pytest.mark.parametrize('again', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_whole(again):
    """The hooks of a copy tell the copy, not the original."""
    model = build().eval()
    copied = shake(again(model), seed=1)
    x = images()
    assert torch.equal(copied.backbone(x), written_out(copied)(x))
    model.backbone[2].relu._place = ('nowhere', '')
    copied.backbone(x)
    assert model.backbone[2].relu._place == ('nowhere', '')


def test_norms_may_be_exchanged_afterwards():
    """As runners do with SyncBN: the hooks of the exchanged norms are lost, those of the convolutions are not."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net())
    replace_activations(model, FRELU)
    assert isinstance(model.backbone[2].relu.act1.norm, nn.SyncBatchNorm)
    model = shake(revert_sync_batchnorm(model)).eval()
    assert type(model.backbone[2].relu.act1.norm) is not nn.SyncBatchNorm
    x = images()
    assert torch.equal(model.backbone(x), written_out(model)(x))


def test_some_sites_of_a_module_can_stay():
    model = Net()
    replace_activations(model, FRELU, include=['*.relu.act2'])
    acts = model.backbone[2].relu
    assert [type(acts.act1), type(acts.act2), type(acts.act3)] == [nn.ReLU, FReLU, nn.ReLU]
    x = images()
    shake(model).eval()
    assert torch.equal(model.backbone(x), written_out(model)(x))


@pytest.mark.whole_graph
def test_compiles_in_one_graph():
    model = build().eval()
    x = images()
    with torch.no_grad():
        compiled = torch.compile(model.backbone, backend='eager', fullgraph=True)
        # Not bit for bit: outside of a compiled graph FReLU is computed by loops.
        torch.testing.assert_close(compiled(x), model.backbone(x))


def test_works_in_mixed_precision():
    model = build().train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = model.backbone(images())
    output.float().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.backbone.parameters())


def test_an_unknown_place_is_an_error():
    model = build()
    with pytest.raises(RuntimeError, match='called at a place .* Known: behind backbone.2.bn1'):
        model.backbone[2].relu(images(2, 4, 8, 8))
