"""Continuing a run with another optimizer or another schedule: refused, or said."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import LinearLR, MultiStepLR, OptimWrapper
from torch import nn

from mm_frelu.engine import UserError
from mm_frelu.engine.resume_guard import check_resumable


def runner(make, groups=1, schedule=None, parameters=4):
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(parameters)]
    split = [dict(params=weights[index::groups]) for index in range(groups)]
    optimizer = make(split)
    schedulers = [schedule(optimizer)] if schedule else None
    return SimpleNamespace(optim_wrapper=OptimWrapper(optimizer), param_schedulers=schedulers)


def sgd(params, **options):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, **options)


def checkpoint(of):
    for group in of.optim_wrapper.optimizer.param_groups:
        for weight in group['params']:
            weight.grad = torch.ones_like(weight)
    of.optim_wrapper.optimizer.step()
    schedulers = [scheduler.state_dict() for scheduler in of.param_schedulers or ()]
    run = dict(meta=dict(iter=1), message_hub={})
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
        (dict(make=torch.optim.AdamW), "another optimizer than the config's AdamW"),
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
    assert 'lr 0.1 there and 0.2 here' in text
    assert 'weight_decay 0 there and 0.01 here' in text
    assert 'param_scheduler.0.end 12 there and 24 here' in text
    fewer = runner(sgd)
    fewer.param_schedulers = []
    assert '1 param_schedulers there and 0 here' in check_resumable(fewer, old, 'a.pth')


def test_weights_alone_are_no_run():
    weights = dict(meta={}, state_dict={})
    with pytest.raises(
        UserError, match=r'weights alone.*found: meta, state_dict.*load_from=a\.pth'
    ):
        check_resumable(runner(sgd), weights, 'a.pth')
    saved = checkpoint(runner(sgd))
    del saved['optimizer']
    assert 'begin anew' in check_resumable(runner(sgd), saved, 'a.pth')
