"""Each parameter is in one group, with the weight decay of its kind."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.runner import Runner
from torch import nn

from mm_frelu import FReLU, ResNet
from mm_frelu.engine import UserError

DECAY = 0.25
# Names of parameters that decay by the authors' rule: kernels of convolutions, including windows, and DY-ReLU's linear layers.
WEIGHTS = re.compile(r'(conv\d?|downsample\.0|fc\d)\.weight')
SLOPES = re.compile(r'act\d\.weight')


def small(act='FReLU', **options):
    act_cfg = dict(type=act) if isinstance(act, str) else act
    return ResNet(50, base_channels=8, act_cfg=act_cfg, **options)


def build(model, paramwise_cfg=None, type='OptimWrapper', weight_decay=DECAY, **options):
    optimizer = dict(type='SGD', lr=0.5, **options)
    if weight_decay is not None:
        optimizer['weight_decay'] = weight_decay
    cfg = dict(type=type, optimizer=optimizer, constructor='mm_frelu.WeightDecayConstructor')
    if paramwise_cfg is not None:
        cfg['paramwise_cfg'] = paramwise_cfg
    return build_optim_wrapper(model, cfg)


def decays(model, wrapper):
    """The weight decay of each parameter by name; fails where one is in no group or in two."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert names[parameter] not in found
            found[names[parameter]] = group['weight_decay']
    assert set(found) == {name for name, p in model.named_parameters() if p.requires_grad}
    return found


@pytest.mark.parametrize('act', ['FReLU', 'LightFReLU', 'PReLU', 'DyReLUB', 'ReLU'])
def test_authors_rule(act):
    model = small(act)
    found = decays(model, build(model))
    assert any('act' in name for name in found) == (act != 'ReLU')
    expected = {name: DECAY if WEIGHTS.search(name) else 0.0 for name in found}
    assert found == expected
    assert set(expected.values()) == {DECAY, 0.0}


@pytest.mark.parametrize('act', ['FReLU', 'PReLU', 'DyReLUB'])
def test_all_but_slopes(act):
    model = small(act)
    found = decays(model, build(model, dict(decays='all')))
    slopes = {name for name, decay in found.items() if decay == 0}
    assert slopes == {name for name in found if SLOPES.search(name)}
    assert len(slopes) == (39 if act == 'PReLU' else 0)
    assert {found[name] for name in set(found) - slopes} == {DECAY}


def test_all_is_what_mmengine_does_without_slopes():
    model = small()
    ours = build(model, dict(decays='all')).optimizer.param_groups
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.5, weight_decay=DECAY))
    theirs = build_optim_wrapper(model, cfg).optimizer.param_groups
    assert len(ours) == len(theirs) == 1
    assert [id(p) for p in ours[0]['params']] == [id(p) for p in theirs[0]['params']]
    assert {**ours[0], 'params': None} == {**theirs[0], 'params': None}


def test_a_step_without_gradients_shrinks_what_decays_and_nothing_else():
    model = small('PReLU')
    wrapper = build(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    wrapper.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.5 * DECAY if WEIGHTS.search(name) else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
    assert (model.layer1[0].act1.weight == 0.25).all()


def test_prelu_in_a_head_and_a_shared_slope():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(), nn.Sequential(nn.PReLU(8)))
    for paramwise_cfg in (None, dict(decays='all'), dict(norm_decay_mult=0.5)):
        found = decays(model, build(model, paramwise_cfg))
        assert (found['1.weight'], found['2.0.weight']) == (0.0, 0.0)


def test_scalars_and_tables():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))
            self.table = nn.Parameter(torch.ones(4, 8))

    model = Scaled()
    assert decays(model, build(model)) == {'scale': 0.0, 'table': DECAY}


def test_depthwise_key_leaves_the_windows_alone():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), FReLU(8))
    found = decays(model, build(model, dict(dwconv_decay_mult=0.0)))
    assert found['0.weight'] == 0.0
    assert found['1.conv.weight'] == DECAY
    found = decays(model, build(model, dict(window_decay_mult=0.5)))
    assert found['0.weight'] == DECAY
    assert found['1.conv.weight'] == DECAY / 2
    assert found['1.conv.bias'] == found['1.norm.weight'] == 0.0


def test_mmengines_keys_mean_what_they_mean():
    model = small()
    found = decays(model, build(model, dict(norm_decay_mult=0.5, bias_decay_mult=2.0)))
    assert found['bn1.weight'] == found['layer1.0.act1.norm.bias'] == DECAY / 2
    assert found['layer1.0.act1.conv.bias'] == DECAY * 2
    assert found['layer1.0.conv1.weight'] == found['layer1.0.act1.conv.weight'] == DECAY


def test_custom_key_that_changes_a_rate_leaves_decay_alone():
    model = nn.ModuleDict(dict(backbone=small('PReLU'), head=nn.Conv2d(8, 8, 1)))
    rates = dict(custom_keys={'backbone': dict(lr_mult=0.1)})
    wrapper = build(model, rates)
    assert decays(model, wrapper) == decays(model, build(model))
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            in_head = any(parameter is own for own in model['head'].parameters())
            assert group['lr'] == pytest.approx(0.5 if in_head else 0.05)


def test_custom_key_with_a_decay_has_the_last_word():
    model = small('PReLU')
    keys = {'act2': dict(decay_mult=2.0), 'layer1.0.act2': dict(decay_mult=4.0)}
    found = decays(model, build(model, dict(custom_keys=keys)))
    assert found['layer1.0.act2.weight'] == 4 * DECAY
    assert found['layer1.1.act2.weight'] == 2 * DECAY
    assert found['layer1.1.act1.weight'] == 0.0


def test_groups_are_as_few_as_there_are_kinds():
    assert len(build(small()).optimizer.param_groups) == 2
    assert len(build(small(), dict(norm_decay_mult=0.5)).optimizer.param_groups) == 3


def test_frozen_parameters_are_left_out_and_shared_ones_come_once():
    model = small(frozen_stages=1)
    found = decays(model, build(model))
    assert not [name for name in found if name.startswith(('conv1', 'layer1'))]
    first, second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    assert decays(model, build(model)) == {'0.weight': DECAY, '0.bias': 0.0, '1.bias': 0.0}


def test_without_a_decay_in_the_config_the_optimizers_own_counts():
    model = small('PReLU')
    wrapper = build(model, weight_decay=None)
    assert set(decays(model, wrapper).values()) == {0}
    cfg = dict(optimizer=dict(type='AdamW', lr=0.1), constructor='mm_frelu.WeightDecayConstructor')
    found = decays(model, build_optim_wrapper(model, cfg))
    assert found['conv1.weight'] == 0.01  # torch's default for AdamW
    assert found['bn1.weight'] == found['layer1.0.act1.weight'] == 0.0


def test_auto_scale_lr_scales_every_group():
    model = nn.ModuleDict(dict(backbone=small(), head=nn.Conv2d(8, 8, 1)))
    wrapper = build(model, dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
    before = [group['lr'] for group in wrapper.optimizer.param_groups]
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=4),
        world_size=1,
        param_schedulers=[],
        logger=logging.getLogger('test'),
    )
    Runner.scale_lr(runner, wrapper, dict(enable=True, base_batch_size=16))
    after = [group['lr'] for group in wrapper.optimizer.param_groups]
    assert after == pytest.approx([rate / 4 for rate in before])


@pytest.mark.filterwarnings('ignore')  # a gradient scaler without CUDA
def test_amp(monkeypatch):
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True
    )
    model = small()
    wrapper = build(model, type='AmpOptimWrapper')
    assert isinstance(wrapper, AmpOptimWrapper)
    assert decays(model, wrapper) == decays(model, build(model))


def test_ddp(tmp_path):
    """A wrapped model has the same groups as the model, and custom keys are matched with names without `module.`."""
    model = nn.ModuleDict(dict(backbone=small('PReLU')))
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        wrapped = MMDistributedDataParallel(model)
        keys = dict(custom_keys={'module': dict(decay_mult=9.0)})
        found = decays(model, build(wrapped, keys))
    finally:
        torch.distributed.destroy_process_group()
    assert found == decays(model, build(model))


def test_wrong_options_are_told():
    with pytest.raises(UserError, match="no option 'decay'. Did you mean decays?"):
        build(small(), dict(decay='all'))
    with pytest.raises(UserError, match="'weights'.*or 'all'; got 'none'"):
        build(small(), dict(decays='none'))


DOCS = (Path(__file__).parents[2] / 'docs/weight_decay.md').read_text()
CONFIGS = re.findall(r'```python\n(.+?)```', DOCS, flags=re.DOTALL)


@pytest.mark.parametrize('act', ['FReLU', 'PReLU'])
@pytest.mark.parametrize('config', CONFIGS, ids=['authors', 'dense', 'windows'])
def test_configs_of_the_docs(config, act):
    values = {}
    exec(config, values)
    cfg = values['optim_wrapper']
    model = nn.ModuleDict(dict(backbone=small(act), head=nn.Conv2d(8, 8, 1)))
    found = decays(model, build_optim_wrapper(model, cfg))
    options = cfg.get('paramwise_cfg', {})
    for name, decay in found.items():
        decaying = bool(WEIGHTS.search(name)) or name == 'head.weight'
        if re.search(r'act\d\.conv\.weight', name):
            decaying = options.get('window_decay_mult') != 0
        if options.get('decays') == 'all':
            decaying = not SLOPES.search(name)
        assert decay == (1e-4 if decaying else 0.0), name


def test_log_line_of_the_docs(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.engine.weight_decay.print_log', lambda text, **_: said.append(text)
    )
    values = {}
    exec(CONFIGS[0], values)
    with torch.device('meta'):
        build_optim_wrapper(ResNet(50), values['optim_wrapper'])
    assert f'```text\n{said[0]}\n```' in DOCS
