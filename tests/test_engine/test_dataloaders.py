"""A dataloader that has nothing to load says so, instead of failing inside numpy or training on nothing."""

import pytest
import tiny_project
from mmengine.registry import DefaultScope

from mm_frelu.engine import UserError
from mm_frelu.engine.runner import GuardedRunner


@pytest.fixture
def loader(street_scenes):
    import mmdet.datasets  # noqa: F401

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield tiny_project.detection(street_scenes)['train_dataloader']


def test_images_that_are_all_too_small(loader, street_scenes):
    loader['dataset']['filter_cfg'] = dict(min_size=1000)
    with pytest.raises(UserError) as raised:
        GuardedRunner.build_dataloader(loader)
    text = str(raised.value)
    assert text.startswith(
        f'CocoDataset {street_scenes} annotations/instances_train.json: no image'
    )
    assert 'min_size' in text


def test_fewer_images_than_a_batch(loader):
    loader.update(batch_size=8, drop_last=True)
    loader['sampler'] = dict(type='DefaultSampler', shuffle=True)
    with pytest.raises(UserError, match='6 images do not fill a batch of 8, and drop_last=True'):
        GuardedRunner.build_dataloader(loader)
