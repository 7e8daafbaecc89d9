"""Resuming a run with another optimizer or another schedule is an error or a warning."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.optim import LinearLR, MultiStepLR, OptimWrapper
from torch import nn

from mm_frelu.engine import UserError
from mm_frelu.engine.resume_guard import check_resumable


def runner(make, groups=1, schedule=None, parameters=4, cfg=None, end=10):
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(parameters)]
    split = [dict(params=weights[index::groups]) for index in range(groups)]
    optimizer = make(split)
    schedulers = [schedule(optimizer)] if schedule else None
    return SimpleNamespace(
        optim_wrapper=OptimWrapper(optimizer),
        param_schedulers=schedulers,
        cfg=cfg or {},
        hooks=[],
        train_loop=SimpleNamespace(max_iters=end),
    )


def sgd(params, **options):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, **options)


def checkpoint(of):
    for group in of.optim_wrapper.optimizer.param_groups:
        for weight in group['params']:
            weight.grad = torch.ones_like(weight)
    of.optim_wrapper.optimizer.step()
    schedulers = [scheduler.state_dict() for scheduler in of.param_schedulers or ()]
    run = dict(meta=dict(epoch=0, iter=1), message_hub={})
    return dict(run, optimizer=of.optim_wrapper.state_dict(), param_schedulers=schedulers)


def test_the_same_goes_on():
    schedule = lambda optimizer: LinearLR(optimizer, start_factor=0.1, end=5)  # noqa: E731
    assert (
        check_resumable(runner(sgd, 2, schedule), checkpoint(runner(sgd, 2, schedule)), 'a.pth')
        is None
    )


@pytest.mark.parametrize(
    ('new', 'said'),
    [
        (
            dict(make=sgd, groups=2),
            'has 1 parameter groups in its optimizer, and the config makes 2',
        ),
        (dict(make=sgd, parameters=5), 'has 4 parameters in group 0 .* puts 5 there'),
        (dict(make=torch.optim.AdamW), 'another optimizer .*, and the config has AdamW'),
    ],
)
def test_another_optimizer_is_refused(new, said):
    with pytest.raises(UserError, match=f'--resume: a.pth .*{said}.*load_from=a.pth'):
        check_resumable(runner(**new), checkpoint(runner(sgd)), 'a.pth')


def test_settings_that_the_checkpoint_replaces_are_said():
    old = checkpoint(runner(sgd, schedule=lambda o: MultiStepLR(o, milestones=[8, 11], end=12)))
    new = runner(
        lambda params: torch.optim.SGD(params, lr=0.2, momentum=0.9, weight_decay=0.01),
        schedule=lambda o: MultiStepLR(o, milestones=[16, 22], end=24),
    )
    text = check_resumable(new, old, 'a.pth')
    assert 'lr 0.1 in the checkpoint and 0.2 in the config' in text
    assert 'weight_decay 0 in the checkpoint and 0.01 in the config' in text
    assert 'param_scheduler.0.end 12 in the checkpoint and 24 in the config' in text
    fewer = runner(sgd)
    fewer.param_schedulers = []
    assert '1 param_schedulers in the checkpoint and 0 in the config' in check_resumable(
        fewer, old, 'a.pth'
    )


def test_averages_without_their_hook_are_said():
    saved = dict(checkpoint(runner(sgd)), ema_state_dict={})
    run = runner(sgd)
    text = check_resumable(run, saved, 'a.pth')
    assert text.startswith('--resume: a.pth was saved with EMAHook, which the config does not have')
    run.hooks = [EMAHook()]
    assert check_resumable(run, saved, 'a.pth') is None


def test_weights_alone_are_no_run():
    weights = dict(meta={}, state_dict={})
    with pytest.raises(UserError, match=r'weights only.*found: meta, state_dict.*load_from=a\.pth'):
        check_resumable(runner(sgd), weights, 'a.pth')


@pytest.mark.parametrize(
    ('old', 'new'), [('Adam', 'Adamax'), ('Adam', 'AdamW'), ('RAdam', 'Adam'), ('Adamax', 'NAdam')]
)
def test_another_optimizer_with_the_same_options_is_refused(old, new):
    """PyTorch accepts the state of these optimizers: some fail on a missing key in the first step, others continue with the wrong rule."""

    def make(kind):
        return lambda params: getattr(torch.optim, kind)(params, lr=0.01)

    def wrapper(kind):
        return Config(dict(a=1, optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type=kind))))

    saved = checkpoint(runner(make(old)))
    saved['meta']['cfg'] = wrapper(old).pretty_text
    assert check_resumable(runner(make(old), cfg=wrapper(old)), saved, 'a.pth') is None
    with pytest.raises(
        UserError, match=f'the state of the optimizer {old}, and the config has {new}'
    ):
        check_resumable(runner(make(new), cfg=wrapper(new)), saved, 'a.pth')


def test_the_config_in_a_checkpoint_is_not_executed(tmp_path):
    saved = checkpoint(runner(sgd))
    trap = tmp_path / 'executed'
    for text in (
        f"open({str(trap)!r}, 'w')\noptim_wrapper = dict(optimizer=dict(type=open({str(trap)!r}, 'w')))",
        'optim_wrapper = (',
        'optim_wrapper = 1',
        7,
    ):
        saved['meta']['cfg'] = text
        assert check_resumable(runner(sgd), saved, 'a.pth') is None
    assert not trap.exists()


def test_a_checkpoint_without_optimizer_or_schedules_is_refused_unless_the_config_says_so():
    schedule = lambda optimizer: LinearLR(optimizer, start_factor=0.1, end=5)  # noqa: E731
    saved = checkpoint(runner(sgd, schedule=schedule))
    best = {key: saved[key] for key in ('meta', 'message_hub')}
    with pytest.raises(
        UserError,
        match=r'best_mIoU\.pth was saved without its optimizer and its learning rate schedules.*load_from=best_mIoU\.pth',
    ):
        check_resumable(runner(sgd, schedule=schedule), best, 'best_mIoU.pth')
    with pytest.raises(UserError, match='saved without its optimizer, like best'):
        check_resumable(runner(sgd), best, 'a.pth')  # a config without schedules misses none
    hook = dict(save_optimizer=False, save_param_scheduler=False)
    asked_for = runner(sgd, schedule=schedule, cfg=dict(default_hooks=dict(checkpoint=hook)))
    assert 'start from the beginning' in check_resumable(asked_for, best, 'a.pth')
    hook.pop('save_param_scheduler')
    with pytest.raises(UserError, match='learning rate schedules'):
        check_resumable(asked_for, best, 'a.pth')


def test_weights_that_are_nan_are_refused_and_infinite_ones_are_not():
    saved = checkpoint(runner(sgd))
    saved['state_dict'] = {'mask': torch.tensor([0.0, -torch.inf]), 'count': torch.tensor(3)}
    assert check_resumable(runner(sgd), saved, 'a.pth') is None
    saved['state_dict']['conv.weight'] = torch.tensor([0.0, torch.nan])
    with pytest.raises(
        UserError, match=r'NaN in 1 of its 3 tensors, e\.g\. conv\.weight: .*diverged'
    ):
        check_resumable(runner(sgd), saved, 'a.pth')

    saved['ema_state_dict'] = {'module.conv.weight': saved['state_dict'].pop('conv.weight')}
    with pytest.raises(UserError, match=r'NaN in 1 of its 1 tensors, e\.g\. module\.conv\.weight'):
        check_resumable(runner(sgd), saved, 'a.pth')


def test_a_checkpoint_at_the_end_is_told_and_one_beyond_it_is_refused():
    saved = checkpoint(runner(sgd))
    saved['meta']['iter'] = 10
    assert 'at iter 10, where the config ends' in check_resumable(runner(sgd), saved, 'a.pth')
    saved['meta']['iter'] = 11
    with pytest.raises(UserError, match='at iter 11, and the config ends at iter 10.*max_iters'):
        check_resumable(runner(sgd), saved, 'a.pth')
