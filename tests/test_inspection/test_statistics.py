"""Statistics while a network trains: right, harmless, and in the files of each backend."""

import importlib.util
import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

import mm_frelu  # noqa: F401
from mm_frelu.activations import DyReLUB, FReLU, LightFReLU
from mm_frelu.engine import UserError
from mm_frelu.engine.vis_backends import apply_vis_backends
from mm_frelu.inspection import ActivationStatisticsHook
from mm_frelu.inspection.statistics import ActivationStatistics
from mm_frelu.ops.eager import funnel_condition

SHARE, GAMMA, SLOPES = (
    'activation/window_share/act',
    'activation/gamma_norm/act',
    'activation/slope_difference/dynamic',
)


class WatchedNetwork(BaseModel):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act, self.dynamic = FReLU(4, inplace=True), DyReLUB(4)

    def forward(self, inputs, data_samples=None, mode='loss'):
        # As the backbones do.
        y = self.dynamic(self.act.after_norms([(self.conv(inputs), self.norm)]))
        return dict(loss=y.square().mean())


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(index)))


def train(folder, hook=True, vis_backends=None, interval=2):
    cfg = Config(
        dict(visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    )
    if vis_backends:
        cfg.vis_backends = vis_backends
    apply_vis_backends(cfg)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=Data(),
        collate_fn=dict(type='default_collate'),
    )
    torch.manual_seed(0)  # layers that no init_weights starts anew
    runner = Runner(
        model=WatchedNetwork(),
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=100)),
        custom_hooks=[dict(type='mm_frelu.ActivationStatisticsHook', interval=interval)]
        if hook
        else [],
        visualizer=cfg.visualizer.to_dict(),
        experiment_name=re.sub(r'\W', '_', str(folder)),
        default_scope='mmengine',
        randomness=dict(seed=0),
    )
    runner.train()
    return runner


def local_scalars(folder):
    (path,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_are_those_of_the_definition():
    torch.manual_seed(0)
    model, images = WatchedNetwork().train(), torch.randn(2, 3, 8, 8)
    nn.init.normal_(model.act.norm.weight)
    statistics = ActivationStatistics(model)
    assert len(statistics) == 2
    x = model.norm(model.conv(images))
    y = torch.maximum(x, funnel_condition(x, model.act.windows))
    slopes, _ = model.dynamic.coefficients(y)
    statistics.start()
    model(images)
    values = statistics.stop()
    assert values == {
        SHARE: pytest.approx(float((y > x).float().mean())),
        GAMMA: pytest.approx(float(model.act.norm.weight.detach().norm())),
        SLOPES: pytest.approx(float((slopes[0] - slopes[1]).abs().mean())),
    }
    assert statistics.stop() == {}
    assert not any(module._forward_hooks for module in model.modules())


def test_both_windows_of_a_light_activation_count_and_a_folded_one_has_no_gamma():
    act = LightFReLU(2)
    statistics = ActivationStatistics(nn.Sequential(act))
    statistics.start()
    assert statistics.stop() == {'activation/gamma_norm/0': pytest.approx(2.0)}
    act.eval().switch_to_deploy()
    statistics.start()
    assert statistics.stop() == {}


@pytest.mark.parametrize('implementation', ['eager', 'recompute'])
def test_training_is_the_same_with_the_hook(monkeypatch, tmp_path, implementation):
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', implementation)
    with_hook = train(tmp_path / 'with', interval=1).model.state_dict()
    without = train(tmp_path / 'without', hook=False).model.state_dict()
    for key, value in without.items():
        torch.testing.assert_close(with_hook[key], value, msg=key)


def test_the_local_log_has_them_at_their_steps(tmp_path):
    train(tmp_path)
    rows = [row for row in local_scalars(tmp_path) if SHARE in row]
    assert [row['step'] for row in rows] == [2, 4]
    assert all(0 < row[SHARE] < 1 and {GAMMA, SLOPES} <= set(row) for row in rows)


def test_off_by_default(tmp_path):
    train(tmp_path, hook=False)
    assert not any('activation' in key for row in local_scalars(tmp_path) for key in row)


def test_a_model_without_activations_is_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mm_frelu.inspection.statistics_hook.warn', said.append)
    hook = ActivationStatisticsHook()
    hook.before_train(type('Runner', (), dict(model=nn.Sequential(nn.ReLU()))))
    assert 'no FReLU' in said[0]
    assert HOOKS.get('mm_frelu.ActivationStatisticsHook') is ActivationStatisticsHook
    for interval in (0, True, 1.5):
        with pytest.raises(ValueError, match='interval must be a number of steps'):
            ActivationStatisticsHook(interval)


def test_event_files_of_tensorboard(tmp_path):
    accumulators = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator',
        reason='tensorboard is not installed',
    )
    train(tmp_path, vis_backends='tensorboard')
    (events,) = tmp_path.glob('*/vis_data/events.out.tfevents.*')
    accumulator = accumulators.EventAccumulator(str(events))
    accumulator.Reload()
    local = {row['step']: row for row in local_scalars(tmp_path) if SHARE in row}
    for tag in (SHARE, GAMMA, SLOPES):
        found = {event.step: event.value for event in accumulator.Scalars(tag)}
        assert found == {step: pytest.approx(row[tag]) for step, row in local.items()}


def wandb_records(content, block=32768):
    """The records of a run file: a log of LevelDB's format behind a header of seven bytes."""
    assert content[:4] == b':W&B'
    position, record = 7, b''
    while position + 7 <= len(content):
        if block - position % block < 7:  # the rest of a block is padding
            position += block - position % block
            continue
        length = int.from_bytes(content[position + 4 : position + 6], 'little')
        kind = content[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield record
            record = b''


@pytest.mark.slow  # starts WandB's service
def test_the_run_file_of_offline_wandb(tmp_path, monkeypatch):
    pytest.importorskip('wandb', reason='wandb is not installed')
    from wandb.proto import wandb_internal_pb2

    monkeypatch.chdir(tmp_path)  # it looks for code to record in the current folder
    monkeypatch.setenv('WANDB_SILENT', 'true')
    train(tmp_path, vis_backends=['wandb'])
    (run,) = tmp_path.glob('*/vis_data/wandb/offline-run-*/*.wandb')
    rows = []
    for data in wandb_records(run.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        if SHARE in items:
            rows.append((json.loads(items['iter']), json.loads(items[SHARE])))
    local = [(row['step'], row[SHARE]) for row in local_scalars(tmp_path) if SHARE in row]
    assert rows == [(step, pytest.approx(share)) for step, share in local]


def test_words_become_backends():
    cfg = Config(
        dict(vis_backends='local', visualizer=dict(type='SegLocalVisualizer', vis_backends=[]))
    )
    apply_vis_backends(cfg)
    assert cfg.visualizer.to_dict() == dict(
        type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    own = Config(dict(vis_backends=[dict(type='MyBackend')], visualizer=dict(vis_backends=[1])))
    apply_vis_backends(own)
    assert own.visualizer.vis_backends == [1]


def test_unknown_words_and_missing_packages(monkeypatch):
    with pytest.raises(UserError, match='vis_backends=tensorbord: .*Did you mean tensorboard'):
        apply_vis_backends(Config(dict(vis_backends='tensorbord')))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='needs the package wandb, .*pip install wandb'):
        apply_vis_backends(Config(dict(vis_backends=['local', 'wandb'])))
