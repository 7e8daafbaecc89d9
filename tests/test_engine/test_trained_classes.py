"""A checkpoint is tested on the classes that it was trained on."""

from types import SimpleNamespace

import pytest

from mm_frelu.engine import CheckpointGuardHook, UserError
from mm_frelu.engine.trained_classes import compare_classes


def runner_for(*classes):
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(_test_loop=loop, _train_loop=None)


def compare(trained, used, key='classes'):
    return compare_classes('a.pth', dict(meta=dict(dataset_meta={key: trained})), runner_for(*used))


def test_the_same_classes():
    assert compare(('road', 'sky'), ('road', 'sky')) is None
    assert compare(['road', 'sky'], ('road', 'sky'), key='CLASSES') is None


def test_another_order_is_refused():
    message = r"^class 0 is 'sky' in a\.pth and 'road' in the dataset .* in the order of the checkpoint: \('sky', 'road'\)\.$"
    with pytest.raises(UserError, match=message):
        compare(('sky', 'road'), ('road', 'sky'))


def test_other_names_are_a_warning():
    text = compare(('road', 'sky'), ('street', 'sky'))
    assert text.startswith("class 0 is 'road' in a.pth and 'street' in the dataset of the config.")


def test_nothing_is_said_where_nothing_is_known():
    assert compare_classes('a.pth', {}, runner_for('road')) is None
    assert compare(('road',), ()) is None
    assert compare(('road', 'sky', 'car'), ('road', 'sky')) is None  # the head tells
    nothing_built = SimpleNamespace(_test_loop=dict(type='TestLoop'), _train_loop=None)
    checkpoint = dict(meta=dict(dataset_meta=dict(classes=('road',))))
    assert compare_classes('a.pth', checkpoint, nothing_built) is None


def test_the_hook_asks_in_testing_and_not_in_fine_tuning():
    import torch

    runner = runner_for('road', 'sky')
    runner.model, runner.cfg, runner.work_dir = torch.nn.Linear(1, 1), dict(load_from='a.pth'), '.'
    checkpoint = dict(
        state_dict=torch.nn.Linear(1, 1).state_dict(),
        meta=dict(dataset_meta=dict(classes=('sky', 'road'))),
    )
    with pytest.raises(UserError, match='classes are the same, but in another order'):
        CheckpointGuardHook(strict=True).after_load_checkpoint(runner, checkpoint)
    CheckpointGuardHook(strict=False).after_load_checkpoint(runner, checkpoint)
