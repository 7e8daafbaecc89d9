"""Errors of the libraries are explained with config keys, and the images of the last batch are named."""

from types import SimpleNamespace

import pytest
import tiny_project
from mmengine.config import Config

from mm_frelu.engine import UserError
from mm_frelu.engine.launch import train
from mm_frelu.engine.library_errors import explained


@pytest.fixture
def cfg(street_scenes, tmp_path):
    settings = tiny_project.segmentation(street_scenes)
    return Config(dict(settings, work_dir=str(tmp_path / 'run'), launcher='none'))


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        (
            'model.type',
            'EncodrDecoder',
            "model.type='EncodrDecoder' is not registered in mmseg::model",
        ),
        (
            'train_dataloader.sampler.type',
            'InfinitSampler',
            "train_dataloader.sampler.type='InfinitSampler' is not registered in mmseg::data sampler",
        ),
        (
            'model.decode_head.chanels',
            8,
            r"model.decode_head.chanels: \w+ has no argument 'chanels'",
        ),
        (
            'train_cfg.max_iter',
            8,
            "train_cfg.max_iter: IterBasedTrainLoop has no argument 'max_iter'",
        ),
        ('train_dataloader.batchsize', 2, 'train_dataloader.batchsize: DataLoader has no argument'),
        ('default_hooks.own', dict(type='Own'), "default_hooks.own.type='Own' is not registered"),
        ('model.backbone.depth', 19, 'config None: ResNet has no depth 19; use one of [^.]*[.]$'),
    ],
)
def test_words_that_the_libraries_do_not_know(cfg, key, value, said):
    cfg.merge_from_dict({key: value})
    with pytest.raises(UserError, match=f'^{said}'):
        train(cfg)


@pytest.mark.parametrize('key', ['default_hooks', 'default_hooks.checkpoint', 'visualizer'])
def test_a_default_that_is_switched_off(cfg, key):
    """MMEngine accepts None."""
    tiny_project.forget_runs()
    cfg.merge_from_dict({key: None})
    assert train(cfg).iter == 2


def fail(cfg, error, *runners):
    with explained(cfg, 'train_dataloader') as built:
        built.extend(runners)
        raise error


@pytest.mark.parametrize(
    'error', [KeyError('a bug'), TypeError("A.__init__() got an unexpected keyword argument 'x'")]
)
def test_other_errors_keep_their_kind_and_the_log_names_the_pictures(error, cfg, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.engine.library_errors.print_log', lambda text, *_: said.append(text)
    )
    sample = SimpleNamespace(img_path='a/b.png')
    with pytest.raises(type(error)):
        fail(cfg, error, SimpleNamespace(batch=dict(data_samples=[sample, [sample]])))
    assert said == ['The last batch before the error: a/b.png.']


def test_a_wrong_scope_makes_every_type_unknown(cfg):
    cfg.default_scope = 'mmsge'
    error = KeyError('EncoderDecoder is not in the mmengine::model registry. Please check ...')
    with pytest.raises(
        UserError, match=r"^model\.type='EncoderDecoder' .* default_scope='mmsge'\."
    ):
        fail(cfg, error)


def test_one_value_for_a_norm(cfg):
    message = 'Expected more than 1 value per channel when training, got input size [1, 8, 1, 1]'
    with pytest.raises(UserError, match=r'train_dataloader\.batch_size=2.*drop_last=True'):
        fail(cfg, ValueError(message))
