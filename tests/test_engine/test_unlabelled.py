"""Test sets without labels: their config, and errors before the first image."""

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.datasets import check_datasets
from mm_frelu.engine import UserError
from mm_frelu.engine.unlabelled import require_output, take_out_labels


@pytest.fixture
def cfg(street_scenes):
    return Config(tiny_project.segmentation(street_scenes))


def types(steps):
    return [step['type'] for step in steps]


def test_no_path_of_labels_takes_their_steps_out(cfg):
    cfg.test_dataloader.dataset.data_prefix.seg_map_path = None
    cfg.tta_pipeline[1].transforms[1].append(dict(type='mm_frelu.CheckLabelIds', num_classes=19))
    take_out_labels(cfg)
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_prefix.to_dict() == dict(img_path='leftImg8bit/val')
    assert types(dataset.pipeline) == ['LoadImageFromFile', 'PackSegInputs']
    augmented = cfg.tta_pipeline[1].transforms
    assert [types(group) for group in augmented] == [['RandomFlip'] * 2, ['PackSegInputs']]
    # Nothing else changes.
    assert len(cfg.val_dataloader.dataset.pipeline) == 4
    assert cfg.val_dataloader.dataset.data_prefix.seg_map_path == 'gtFine/val'


def test_with_labels_nothing_changes(cfg):
    before = cfg.to_dict()
    take_out_labels(cfg)
    assert cfg.to_dict() == before


def without_labels(cfg, loader, pack='PackSegInputs'):
    cfg[loader].dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type=pack)]


def test_a_metric_with_nothing_to_compare_with(cfg):
    without_labels(cfg, 'test_dataloader')
    with pytest.raises(UserError) as raised:
        check_datasets(cfg, ('test_dataloader',))
    text = str(raised.value)
    assert text.startswith('test_dataloader.dataset.pipeline loads no labels (LoadImageFromFile, ')
    assert 'test_evaluator (IoUMetric) has nothing to compare with' in text
    assert '--out DIR and --cfg-options test_evaluator.format_only=True' in text
    cfg.test_evaluator.format_only = True
    check_datasets(cfg, ('test_dataloader',))


def test_validation_and_training_without_labels(cfg):
    without_labels(cfg, 'val_dataloader')
    with pytest.raises(UserError, match=r'val_evaluator \(IoUMetric\).*val_dataloader=None'):
        check_datasets(cfg, ('val_dataloader',))
    without_labels(cfg, 'train_dataloader')
    with pytest.raises(UserError, match='train_dataloader.*nothing to learn from'):
        check_datasets(cfg, ('train_dataloader',))


def test_a_step_of_the_user_may_load_labels(cfg):
    """Only transforms of the libraries are known not to load labels."""
    from mmengine.registry import TRANSFORMS

    @TRANSFORMS.register_module(force=True)
    class ReadOwnMask:
        """A user's own."""

    without_labels(cfg, 'train_dataloader')
    cfg.train_dataloader.dataset.pipeline.insert(1, dict(type='ReadOwnMask'))
    check_datasets(cfg, ('train_dataloader',))


def test_a_detector_compares_with_the_annotation_file(street_scenes):
    cfg = Config(tiny_project.detection(street_scenes))
    without_labels(cfg, 'val_dataloader', 'PackDetInputs')
    check_datasets(cfg, ('val_dataloader',))
    without_labels(cfg, 'train_dataloader', 'PackDetInputs')
    with pytest.raises(UserError, match='nothing to learn from'):
        check_datasets(cfg, ('train_dataloader',))


@pytest.mark.parametrize(
    ('metric', 'remedy'),
    [
        (dict(type='IoUMetric'), '--out DIR'),
        (dict(type='CocoMetric'), 'outfile_prefix=DIR/NAME'),
        (dict(type='CityscapesMetric', output_dir='new'), 'keep_results=True'),
    ],
)
def test_predictions_that_would_be_written_nowhere(metric, remedy):
    with pytest.raises(UserError, match=remedy):
        require_output(Config(dict(test_evaluator=dict(metric, format_only=True))))
    require_output(Config(dict(test_evaluator=[dict(type='IoUMetric')])))


def test_a_folder_that_the_metric_would_delete(tmp_path):
    metric = dict(type='CityscapesMetric', output_dir=str(tmp_path))
    require_output(Config(dict(test_evaluator=metric)))
    (tmp_path / 'precious.txt').write_text('mine')
    with pytest.raises(UserError, match='CityscapesMetric deletes this folder at the end'):
        require_output(Config(dict(test_evaluator=metric)))
    require_output(Config(dict(test_evaluator=dict(metric, keep_results=True))))
