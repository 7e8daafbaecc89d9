"""Checkpoints are written atomically, in an order that always leaves an intact one, with every option of MMEngine's hook."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import tiny_project
import torch
from kill_training import compare
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS

from mm_frelu.engine import UserError
from mm_frelu.engine.checkpoint_hook import CheckpointHook, WholeFileBackend
from mm_frelu.engine.launch import use_safe_checkpoint_hook
from mm_frelu.engine.runner import GuardedRunner
from mm_frelu.engine.safe_load import load_safely
from mm_frelu.engine.train_options import resume


@MODELS.register_module()
class LineModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=(self.weight - 1).square().sum()) if mode == 'loss' else [self.weight]


@DATASETS.register_module()
class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.tensor(float(index)))


@METRICS.register_module()
class Score(BaseMetric):
    """A metric that returns the scores of a list, one for each validation."""

    scores = []

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(score=self.scores.pop(0))


@pytest.fixture(autouse=True)
def _no_survey_of_the_machine(monkeypatch):
    """Skip MMEngine's query of compiler versions in each run, which takes longer than these runs."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def config(folder, scores, by_epoch=False, **hook):
    Score.scores = list(scores)
    loader = dict(batch_size=2, num_workers=0, dataset=dict(type='Numbers'))
    loop = (
        dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=1)
        if by_epoch
        else dict(type='IterBasedTrainLoop', max_iters=6, val_interval=2)
    )
    cfg = Config(
        dict(
            work_dir=str(folder),
            default_scope='mmengine',
            model=dict(type='LineModel'),
            train_dataloader=dict(
                loader,
                sampler=dict(
                    type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True
                ),
            ),
            val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            train_cfg=loop,
            val_cfg=dict(type='ValLoop'),
            val_evaluator=dict(type='Score'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook',
                    by_epoch=by_epoch,
                    **{'interval': 1 if by_epoch else 2, **hook},
                )
            ),
            randomness=dict(seed=0),
            experiment_name='line',
        )
    )
    use_safe_checkpoint_hook(cfg)
    return cfg


def train(cfg):
    tiny_project.forget_runs()
    runner = GuardedRunner.from_cfg(cfg)
    runner.train()
    return runner


def names(folder):
    return sorted(
        file.name for file in Path(folder).iterdir() if file.is_file() and file.suffix != '.py'
    )


@pytest.mark.parametrize(
    'checkpoint',
    [
        None,
        dict(type='CheckpointHook'),
        dict(type='mmengine.CheckpointHook'),
        dict(type=MMEngineCheckpointHook),
    ],
)
def test_it_takes_the_place_of_mmengines_in_any_config(checkpoint):
    cfg = dict() if checkpoint is None else dict(default_hooks=dict(checkpoint=checkpoint))
    use_safe_checkpoint_hook(cfg)
    assert cfg['default_hooks']['checkpoint']['type'] == 'mm_frelu.CheckpointHook'


def test_it_leaves_a_hook_of_the_users_and_no_hook_at_all_alone():
    for checkpoint in (dict(type='MyCheckpointHook'), None):
        cfg = dict(default_hooks=dict(checkpoint=checkpoint))
        use_safe_checkpoint_hook(cfg)
        assert cfg['default_hooks']['checkpoint'] == checkpoint


def test_files_are_those_of_mmengines_hook(tmp_path):
    """With every option that decides on names and numbers of files."""
    for index, (scores, by_epoch, options) in enumerate(
        [
            ([1, 3, 2], False, dict(max_keep_ckpts=1, save_best='score', rule='greater')),
            ([3, 2, 1], False, dict(max_keep_ckpts=2, save_best=['score'], rule='less')),
            ([1, 2, 3], True, dict(max_keep_ckpts=1, save_best='score', rule='greater')),
            ([1, 2, 3], False, dict(interval=4, filename_tmpl='step{}.pt', save_optimizer=False)),
        ]
    ):
        ours, theirs = tmp_path / f'{index} ours', tmp_path / f'{index} theirs'
        train(config(ours, scores, by_epoch, **options))
        cfg = config(theirs, scores, by_epoch, **options)
        cfg.default_hooks.checkpoint.type = 'CheckpointHook'
        train(cfg)
        assert names(ours) == names(theirs), options
        assert (
            Path((ours / 'last_checkpoint').read_text()).name
            == Path((theirs / 'last_checkpoint').read_text()).name
        )
        for file in ours.glob('*.p*t*h*'):
            a, b = load_safely(file), load_safely(theirs / file.name)
            assert a.keys() == b.keys()
            assert torch.equal(a['state_dict']['weight'], b['state_dict']['weight'])


def test_out_dir_gets_the_checkpoints_and_the_work_folder_their_name(tmp_path):
    train(
        config(tmp_path / 'run', [1, 2, 3], out_dir=str(tmp_path / 'large disk'), max_keep_ckpts=1)
    )
    assert names(tmp_path / 'large disk' / 'run') == ['iter_6.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == str(
        tmp_path / 'large disk' / 'run' / 'iter_6.pth'
    )


def test_a_whole_checkpoint_is_there_at_every_step_of_writing(tmp_path, monkeypatch):
    """After the first checkpoint, every disk operation finds an intact one, and last_checkpoint names an intact one."""
    folder, seen = tmp_path / 'run', []

    def look():
        whole = [file for file in folder.glob('iter_*.pth') if torch.load(file, weights_only=False)]
        seen.append([file.name for file in whole])
        pointer = folder / 'last_checkpoint'
        if pointer.exists():
            torch.load(pointer.read_text(), weights_only=False)

    for owner, name in ((os, 'replace'), (os, 'fsync'), (LocalBackend, 'remove')):
        original = getattr(owner, name)

        def watched(*args, original=original, **kwargs):
            look()
            original(*args, **kwargs)
            look()

        monkeypatch.setattr(owner, name, watched)
    train(config(folder, [1, 2, 3], max_keep_ckpts=1, save_best='score', rule='greater'))
    first = seen.index(['iter_2.pth'])
    assert all(seen[first:])
    assert ['iter_2.pth', 'iter_4.pth'] in [sorted(files) for files in seen]
    assert names(folder) == ['best_score_iter_6.pth', 'iter_6.pth', 'last_checkpoint']


def test_a_full_disk_is_one_sentence_and_costs_no_checkpoint(tmp_path, monkeypatch):
    folder = tmp_path / 'run'
    real = os.fsync

    def full(descriptor):
        if (folder / 'last_checkpoint').exists():
            raise OSError(errno.ENOSPC, 'No space left on device')
        real(descriptor)

    monkeypatch.setattr(os, 'fsync', full)
    cfg = config(folder, [1, 2, 3], max_keep_ckpts=1)
    cfg.train_cfg.val_interval = 6
    with pytest.raises(UserError, match='iter_4.pth cannot be written .*No space left.*Free space'):
        train(cfg)
    assert 'iter_2.pth' in names(folder)
    assert not list(folder.glob('*iter_4.pth')) + list(folder.glob('*.partial'))


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path):
    (tmp_path / '.0123456789abcdef.checkpoint.partial').write_bytes(b'PK')
    (tmp_path / '.mine.checkpoint.partial').write_bytes(b'mine')
    train(config(tmp_path, [1, 2, 3], max_keep_ckpts=1))
    assert names(tmp_path) == ['.mine.checkpoint.partial', 'iter_6.pth', 'last_checkpoint']


def test_a_run_that_was_stopped_while_it_validated_validates_when_it_is_resumed(tmp_path):
    """The run ends with the same files as one that was not stopped."""
    options = dict(save_best='score', rule='greater', max_keep_ckpts=1)
    train(config(tmp_path / 'whole', [1, 7, 2], **options))
    folder = tmp_path / 'stopped'
    with pytest.raises(IndexError):  # the second validation has no score
        train(config(folder, [1], **options))
    assert load_safely(folder / 'iter_4.pth')['message_hub']['runtime_info']['validation_due']
    cfg = config(folder, [7, 2], **options)
    resume(cfg, 'auto')
    runner = train(cfg)
    assert runner.message_hub.get_info('best_score') == 7
    assert Score.scores == []
    assert compare(tmp_path / 'whole', folder) == []


def test_what_a_killed_run_could_not_remove_is_removed_when_it_is_resumed(tmp_path, monkeypatch):
    options = dict(save_best='score', rule='greater', max_keep_ckpts=1)
    folder = tmp_path / 'killed'
    with monkeypatch.context() as patched:
        patched.setattr(
            'mm_frelu.engine.checkpoint_hook._RemoveLater.remove_now', lambda self: None
        )
        train(config(folder, [1, 2, 3], **options))
    assert [name for name in names(folder) if name.startswith('best_')] == [
        f'best_score_iter_{step}.pth' for step in (2, 4, 6)
    ]
    cfg = config(folder, [], **options)
    resume(cfg, 'auto')
    train(cfg)
    assert names(folder) == ['best_score_iter_6.pth', 'iter_6.pth', 'last_checkpoint']


def test_a_checkpoint_cannot_have_other_files_removed(tmp_path):
    train(config(tmp_path, [1, 2, 3]))
    outside = tmp_path.parent / 'best_score_iter_2.pth'
    kept = [tmp_path / 'best_of_mine.pth', tmp_path / 'notes', outside]
    for file in kept:
        file.write_text('mine')
    last = load_safely(tmp_path / 'iter_6.pth')
    last['message_hub']['runtime_info']['checkpoints_to_remove'] = [str(file) for file in kept]
    torch.save(last, tmp_path / 'iter_6.pth')
    cfg = config(tmp_path, [])
    resume(cfg, 'auto')
    train(cfg)
    assert all(file.is_file() for file in kept)


def test_comparing_runs_notices_one_bit(tmp_path):
    """Test the comparison that this file and the tests with SIGKILL use."""
    train(config(tmp_path / 'a', [1, 1, 1]))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    assert compare(tmp_path / 'a', tmp_path / 'b') == []
    changed = load_safely(tmp_path / 'b' / 'iter_4.pth')
    changed['state_dict']['weight'].view(torch.int32).bitwise_xor_(1)
    changed['message_hub']['log_scalars']['val/score'].update(1)
    torch.save(changed, tmp_path / 'b' / 'iter_4.pth')
    assert compare(tmp_path / 'a', tmp_path / 'b') == [
        'iter_4.pth/state_dict/weight',
        'iter_4.pth/message_hub/log_scalars/val/score',
        'iter_4.pth/message_hub/log_scalars/val/score',
    ]


def test_the_best_checkpoint_of_another_folder_stays(tmp_path):
    options = dict(save_best='score', rule='greater')
    train(config(tmp_path / 'old', [1, 1, 1], **options))
    cfg = config(tmp_path / 'new', [5], **options)
    cfg.train_cfg.max_iters = 8
    resume(cfg, str(tmp_path / 'old' / 'iter_6.pth'))
    train(cfg)
    assert (tmp_path / 'old' / 'best_score_iter_2.pth').is_file()
    assert (tmp_path / 'new' / 'best_score_iter_8.pth').is_file()


def test_the_backend_writes_through_a_link_and_replaces_whole(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'disk' / 'a.pth').write_bytes(b'old')
    (tmp_path / 'a.pth').symlink_to(tmp_path / 'disk' / 'a.pth')
    WholeFileBackend().put(b'new', tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth').is_symlink()
    assert (tmp_path / 'disk' / 'a.pth').read_bytes() == b'new'
    WholeFileBackend().put(b'new', tmp_path / 'made' / 'b.pth')
    assert (tmp_path / 'made' / 'b.pth').read_bytes() == b'new'


def test_it_is_the_hook_that_the_scope_names():
    assert HOOKS.get('mm_frelu.CheckpointHook') is CheckpointHook
    assert HOOKS.get('CheckpointHook') is MMEngineCheckpointHook


def test_a_best_metric_that_is_not_computed_is_named(tmp_path):
    cfg = config(tmp_path, [0.1], save_best='Score', rule='greater')
    message = "save_best='Score': validation computes no such metric, but score. Use one of them"
    with pytest.raises(UserError, match=message):
        train(cfg)
    assert (tmp_path / 'iter_2.pth').is_file()  # to resume from
    cfg = config(tmp_path, [0.1, 0.2, 0.3], save_best='score', rule='greater')
    resume(cfg, 'auto')
    train(cfg)
    assert 'best_score_iter_6.pth' in names(tmp_path)


def test_it_knows_its_names_with_leading_zeros():
    hook = CheckpointHook(filename_tmpl='iter_{:06d}.pth')
    for name in ('iter_000020.pth', 'best_score_iter_000020.pth', 'iter_1234567.pth'):
        assert hook._is_own_name(name)
    for name in ('iter_.pth', 'iter_{:06d}.pth', 'notes.txt'):
        assert not hook._is_own_name(name)


def test_a_plain_state_dict_can_be_averaged(tmp_path):
    """MMEngine's EMAHook looks for the key state_dict."""
    torch.save(dict(weight=torch.tensor([0.5])), tmp_path / 'plain.pth')
    cfg = config(tmp_path / 'run', [1, 2, 3])
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type='mm_frelu.CheckpointGuardHook')]
    cfg.load_from = str(tmp_path / 'plain.pth')
    cfg.optim_wrapper.optimizer.lr = 0.0
    train(cfg)
    saved = load_safely(tmp_path / 'run/iter_6.pth')
    assert saved['state_dict']['weight'].item() == 0.5
    assert saved['ema_state_dict']['module.weight'].item() == 0.5
