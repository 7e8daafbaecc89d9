"""A model lives on after its activations were replaced: starts, checkpoints, modes, EMA, optimizers, several processes."""

import copy
import socket

import pytest
import torch
from mmengine.model import BaseModule, ExponentialMovingAverage
from small_networks import Block, Net, images, shake
from torch import nn

from mm_frelu import replace_activations

ONES = [
    dict(type='Constant', val=1.0, layer=['_BatchNorm', 'GroupNorm']),
    dict(type='Kaiming', layer='Conv2d'),
]
ACTS = [
    dict(type='FReLU'),
    dict(type='FReLU', norm_cfg=None),
    dict(type='DyReLUB'),
    dict(type='PReLU'),
]


def build(act_cfg, **kwargs):
    model = Net(**kwargs)
    replace_activations(model, act_cfg, ['*'])
    return model


def is_relu(layer, channels):
    x = images(2, channels, 5, 6)
    return torch.equal(layer.eval()(x), x.relu())


@pytest.mark.parametrize('act_cfg', ACTS[:3])
def test_init_weights_of_the_model_keeps_the_start(act_cfg):
    """The norms in a ConvModule and a Sequential are set to one by an init_cfg above, out of MMEngine's reach."""
    model = build(act_cfg, init_cfg=ONES)
    model.init_weights()
    assert (model.backbone[2].bn1.weight == 1).all()
    assert is_relu(model.backbone[1], 8)
    assert is_relu(model.backbone[2].relu.act1, 4)
    assert is_relu(model.head.activate, 6)


def test_initialisers_that_expect_convolutions_do_not_meet_the_norms():
    """YOLACT's Xavier without ``layer`` is for all that has a weight: an error where a norm has one."""
    init_cfg = dict(type='Xavier', override=dict(name='stem'))

    class Plain(BaseModule):
        def __init__(self):
            super().__init__(init_cfg)
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU())

        def forward(self, x):
            return self.stem(x)

    model = Plain()
    replace_activations(model, dict(type='FReLU'))
    copied = copy.deepcopy(model)
    for one in (model, copied):
        one.init_weights()
        assert is_relu(one.stem[1], 4)
        assert 'apply' not in vars(one.stem[1])


def test_init_weights_keeps_a_slope():
    model = build(
        dict(type='PReLU', init=0.1), init_cfg=[dict(type='Constant', val=3.0, layer='PReLU')]
    )
    model.init_weights()
    torch.testing.assert_close(model.head.activate.weight, torch.full((6,), 0.1))


class Pretrained(BaseModule):
    """A backbone whose init_cfg names a checkpoint, under a model that sets every norm to one."""

    def __init__(self, checkpoint):
        super().__init__(ONES)
        self.backbone = Backbone(dict(type='Pretrained', checkpoint=str(checkpoint)))
        self.head = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU())

    def forward(self, x):
        return self.head(self.backbone(x))


class Backbone(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.stem, self.relu, self.body = nn.Conv2d(3, 8, 1), nn.ReLU(), Block(4)

    def forward(self, x):
        return self.body(self.relu(self.stem(x)))


def test_weights_that_were_loaded_stay(tmp_path):
    source = Backbone()
    replace_activations(source, dict(type='FReLU'))
    torch.save(shake(source).state_dict(), tmp_path / 'pretrained.pth')
    model = Pretrained(tmp_path / 'pretrained.pth')
    replace_activations(model, dict(type='FReLU'), ['*'])
    model.init_weights()
    weights = source.state_dict()
    for key, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, weights[key], msg=key)
    assert is_relu(model.head[1], 4)


@pytest.mark.parametrize('act_cfg', ACTS)
def test_checkpoints_go_round(act_cfg):
    first, second = shake(build(act_cfg)), build(act_cfg)
    second.load_state_dict(first.state_dict())
    x = images()
    for one, two in zip(first.eval()(x), second.eval()(x)):
        assert torch.equal(one, two)


@pytest.mark.parametrize('act_cfg', ACTS)
def test_old_checkpoints_lack_the_activations_only(act_cfg):
    model = build(act_cfg)
    fit = model.load_state_dict(Net().state_dict(), strict=False)
    sites = tuple(site.name for site in model.replaced_activations.reports[0].replaced)
    assert fit.unexpected_keys == []
    assert all(key.startswith(sites) for key in fit.missing_keys)


def test_the_checkpoint_guard_knows_the_keys():
    from mm_frelu.engine.checkpoint_guard import load_strictly

    old = shake(Net())
    model = build(dict(type='FReLU'))
    load_strictly(model, old.state_dict(), 'old.pth')  # a warning, no error: it is the old network
    x = images()
    assert torch.equal(model.eval()(x)[0], old.eval()(x)[0])


def test_modes_follow_the_layer():
    """norm_eval of a backbone reaches into the windows; freezing reaches the layers themselves."""

    class NormEval(Net):
        def train(self, mode=True):
            super().train(mode)
            if mode:
                norms = [m for m in self.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
                for norm in norms:
                    norm.eval()
                self.backbone[3].eval()
            for child in list(self.children())[2:]:  # what nn.Module.train does last
                child.train(mode)
            return self

    model = NormEval()
    replace_activations(model, dict(type='FReLU'), ['*'])
    model.train()
    assert not model.backbone[2].bn1.training
    assert model.backbone[2].relu.act1.norm.training


def test_ema_copies_are_independent():
    model = shake(build(dict(type='FReLU')))
    average = ExponentialMovingAverage(model)
    x = images()
    before = average.module.eval()(x)[0]
    shake(model, seed=1)
    model(x)
    assert torch.equal(average.module(x)[0], before)


def test_frozen_parameters_are_known_before_the_optimizer():
    """mmdet freezes in train(): DDP, which is wrapped before, must not wait for gradients that will not come."""
    from mmdet.models.backbones.resnet import ResNet

    model = ResNet(18, base_channels=4, frozen_stages=1, norm_eval=True)
    replace_activations(model, dict(type='FReLU'))
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    model.train()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == before
    assert not any(name.startswith('layer1') for name in before)
    model(images(2, 3, 32, 32))
    assert not model.layer2[0].bn1.training
    assert model.layer2[0].relu.act1.norm.training
    assert (model.layer2[0].relu.act1.norm.running_mean != 0).any()


def _process(rank, port, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    torch.manual_seed(0)
    model = shake(build(dict(type='FReLU', init='paper'), with_cp=True))
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        outputs = parallel(images(seed=2 * step + rank).requires_grad_())
        sum(output.square().mean() for output in outputs).backward()
        optimizer.step()
    results[rank] = {
        'sum': sum(p.double().sum().item() for p in model.parameters()),
        'moved': bool((model.backbone[2].relu.act2.conv.weight.grad != 0).any()),
    }
    torch.distributed.destroy_process_group()


def test_two_processes_stay_together():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context('fork')
    results = context.Manager().dict()
    processes = [context.Process(target=_process, args=(rank, port, results)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert results[0] == results[1]
    assert results[0]['moved']


def test_deepcopy_of_a_replaced_model_takes_care_of_its_own():
    model = build(dict(type='FReLU'))
    copied = copy.deepcopy(model)
    (layer,) = copied.replaced_activations._layers['head.activate']
    assert layer is copied.head.activate
