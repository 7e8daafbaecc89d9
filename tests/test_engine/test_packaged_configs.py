"""Configs of installed libraries as library::path."""

import pytest

from mm_frelu.engine import UserError
from mm_frelu.engine.arguments import read_config


@pytest.mark.parametrize(
    ('path', 'scope', 'model'),
    [
        ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'mmdet', 'RetinaNet'),
        ('mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024', 'mmseg', 'EncoderDecoder'),
    ],
)
def test_both_libraries_are_found(path, scope, model):
    cfg = read_config(path)
    assert cfg.default_scope == scope
    assert cfg.model.type == model


def test_a_wrong_name_is_answered_with_the_nearest():
    expected = r'mmseg has no such config .* Did you mean mmseg::pspnet/pspnet_r50-d8_4xb2-40k_city'
    with pytest.raises(UserError, match=expected):
        read_config('mmseg::pspnt/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py')


def test_a_library_that_is_not_there():
    with pytest.raises(UserError, match=r"no library 'mmpose' .* Installed: mmdet, mmseg"):
        read_config('mmpose::some/config.py')
