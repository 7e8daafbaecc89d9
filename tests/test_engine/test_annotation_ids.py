"""Ids that pycocotools misreads do not change the AP."""

import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mm_frelu.engine.annotation_ids import number_annotations

BOXES = [[10, 10, 20, 20], [50, 40, 30, 10], [70, 5, 12, 24], [5, 60, 40, 30]]


def evaluator_for(tmp_path, ids):
    from mmdet.evaluation import CocoMetric

    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=128, height=128) for i in range(2)],
        categories=[dict(id=0, name='car')],
        annotations=[
            dict(
                id=number, image_id=i % 2, category_id=0, bbox=box, area=box[2] * box[3], iscrowd=0
            )
            for i, (number, box) in enumerate(zip(ids, BOXES))
        ],
    )
    file = tmp_path / 'annotations.json'
    file.write_text(json.dumps(content))
    metric = CocoMetric(ann_file=str(file), metric='bbox')
    metric.dataset_meta = dict(classes=('car',))
    return Evaluator(metric), file


def ap_of_perfect_predictions(evaluator):
    (metric,) = evaluator.metrics
    for image in range(2):
        boxes = np.array(BOXES[image::2], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        found = dict(bboxes=torch.tensor(boxes), scores=torch.ones(2), labels=torch.zeros(2).long())
        metric.process({}, [dict(pred_instances=found, img_id=image, ori_shape=(128, 128))])
    return metric.evaluate(size=2)['coco/bbox_mAP_50']


def test_pycocotools_really_takes_zero_for_none(tmp_path):
    """This is the reason for the renumbering. If this test fails, it is no longer needed."""
    evaluator, _ = evaluator_for(tmp_path, range(4))
    assert ap_of_perfect_predictions(evaluator) < 0.9


@pytest.mark.parametrize(
    'ids', [range(4), range(1, 5), (7, 0, 3, 2), ('0', '1', '2', '3'), ('a', 'b', 'c', 'd')]
)
def test_perfect_predictions_have_ap_1(ids, tmp_path):
    evaluator, file = evaluator_for(tmp_path, ids)
    before = file.read_bytes()
    number_annotations(evaluator)
    assert ap_of_perfect_predictions(evaluator) == 1
    assert file.read_bytes() == before


def test_metrics_without_a_coco_file_are_left_alone():
    from mmseg.evaluation import IoUMetric

    number_annotations(Evaluator(IoUMetric()))


def test_the_runner_does_it(tmp_path):
    from mm_frelu.engine.runner import GuardedRunner

    evaluator, _ = evaluator_for(tmp_path, range(4))
    built = GuardedRunner.build_evaluator(object.__new__(GuardedRunner), evaluator)
    assert sorted(built.metrics[0]._coco_api.anns) == [1, 2, 3, 4]
