"""Preprocessing of weights and config: what counts as different, and where it is read from."""

import pytest

from mm_frelu.engine.preprocessing import from_dict, of_checkpoint, of_config

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def test_different_pixels_are_a_difference_and_rounding_is_not():
    imagenet = from_dict(IMAGENET)
    assert not imagenet.differs(from_dict(dict(IMAGENET, mean=[123.68, 116.28, 103.53])))
    assert imagenet.differs(from_dict(dict(IMAGENET, bgr_to_rgb=False)))
    assert imagenet.differs(from_dict(dict(IMAGENET, std=[1.0, 1.0, 1.0])))
    assert imagenet.differs(from_dict(dict(IMAGENET, mean=[127.0, 116.28, 103.53])))


@pytest.mark.parametrize(
    'same', [dict(to_rgb=True), dict(channel_order='rgb'), dict(channel_order='RGB')]
)
def test_the_libraries_names_of_the_channel_order_mean_the_same(same):
    values = {key: IMAGENET[key] for key in ('mean', 'std')}
    assert from_dict({**values, **same}) == from_dict(IMAGENET)
    assert from_dict(dict(values, channel_order='bgr')) == from_dict(values)


def test_no_mean_and_std_is_raw_pixels():
    raw = from_dict(dict(type='DetDataPreprocessor'))
    assert not raw.differs(from_dict(dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False)))
    assert str(raw) == 'BGR with mean=[0, 0, 0], std=[1, 1, 1]'


@pytest.mark.parametrize(
    'odd', [None, {}, 'imagenet', [1], dict(mean=5), dict(mean='abc'), dict(mean=[1, 2])]
)
def test_what_is_no_preprocessing_is_none(odd):
    """The meta of a checkpoint from elsewhere may have an entry of this name."""
    assert of_checkpoint(dict(meta=dict(preprocessing=odd))) is None


def test_it_is_found_inside_wrapped_models_and_at_the_top_level():
    expected = from_dict(IMAGENET)
    assert (
        of_config(dict(model=dict(module=dict(model=dict(data_preprocessor=IMAGENET))))) == expected
    )
    assert of_config(dict(model=dict(type='X'), data_preprocessor=IMAGENET)) == expected
    assert of_config(dict(model=dict(type='X'))) is None


def test_a_checkpoint_says_it_in_its_config_text_which_is_not_executed(tmp_path):
    trap = tmp_path / 'executed'
    text = f'open({str(trap)!r}, "w")\nmodel = dict(data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6]))'
    found = of_checkpoint(dict(meta=dict(cfg=text)))
    assert found == from_dict(dict(mean=[1, 2, 3], std=[4, 5, 6]))
    assert not trap.exists()


def test_a_converters_record_comes_first_and_nothing_is_nothing():
    meta = dict(
        preprocessing=dict(channel_order='bgr'), cfg=f'data_preprocessor = dict(**{IMAGENET})'
    )
    assert of_checkpoint(dict(meta=meta)) == from_dict(dict(bgr_to_rgb=False))
    assert of_checkpoint(dict(state_dict={})) is None
    assert of_checkpoint(dict(meta=dict(cfg='this is ( no Python'))) is None
