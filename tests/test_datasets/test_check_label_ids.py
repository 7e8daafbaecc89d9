"""CheckLabelIds: legal ids, and errors for all others."""

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from mm_frelu.datasets import CheckLabelIds
from mm_frelu.engine import UserError


def check(values, path='a.png', dtype=np.uint8, **settings):
    results = dict(gt_seg_map=np.array([values], dtype), seg_map_path=path)
    assert CheckLabelIds(**{'num_classes': 19, **settings})(results) is results


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_classes_and_the_ignored_id_pass(dtype):
    check([0, 18, 255], dtype=dtype)
    check([0, 7], dtype=dtype, num_classes=5, ignore_index=7)


def test_every_other_id_is_refused():
    """All 256 values of a byte, one at a time."""
    for value in range(256):
        if value < 19 or value == 255:
            check([value])
        else:
            with pytest.raises(ValueError, match=f'ids {value} in 1 of 1 pixels'):
                check([value])
    with pytest.raises(ValueError, match='ids -1 '):
        check([-1], dtype=np.int64)


def test_the_message_names_file_ids_range_and_cause():
    with pytest.raises(ValueError, match='are not classes') as error:
        check([0, 33, 33, 26, 255], path='x/town_gtFine_labelIds.png')
    text = str(error.value)
    assert text.startswith('seg_map_path x/town_gtFine_labelIds.png: ids 26, 33 in 3 of 5 pixels')
    assert 'expected 0 to 18 or 255 (ignored)' in text
    assert 'csCreateTrainIdLabelImgs' in text
    with pytest.raises(ValueError, match='reduce_zero_label=True'):
        check([1, 150], num_classes=150)


def test_it_builds_under_the_scopes_of_the_libraries():
    for scope in ('mmengine', 'mmseg'):
        with TRANSFORMS.switch_scope_and_registry(scope) as registry:
            built = registry.build(dict(type='mm_frelu.CheckLabelIds', num_classes=19))
        assert repr(built) == 'CheckLabelIds(num_classes=19, ignore_index=255)'


def test_a_label_map_of_another_size_is_refused():
    transform = CheckLabelIds(num_classes=19)
    results = dict(
        img_path='a.jpg',
        seg_map_path='a.png',
        gt_seg_map=np.zeros((2, 3), np.uint8),
        ori_shape=(2, 3),
    )
    assert transform(results) is results
    results['ori_shape'] = (4, 6)
    with pytest.raises(UserError, match=r'a\.png: 3x2 pixels .* image a\.jpg has 6x4'):
        transform(results)
