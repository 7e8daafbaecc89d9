"""Boxes of an exported detector are those of mmdet's own post-processing, for the settings of a test_cfg that change them."""

from types import SimpleNamespace

import numpy as np
import pytest
import random_checkpoints
import tiny_project
import torch
from mmcv.ops import nms

from mm_frelu.deployment.boxes import greedy_nms, read_suppression
from mm_frelu.deployment.comparison import TOLERANCES, compare, expected_of, pictures
from mm_frelu.deployment.networks import network_of
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.model_builder import build_model


def test_nms_is_that_of_mmcv():
    generator = torch.Generator().manual_seed(0)
    for count in (0, 1, 60):
        corners = torch.rand(count, 2, generator=generator) * 60
        boxes = torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * 30], 1)
        scores = torch.rand(count, generator=generator)
        keep = greedy_nms(boxes, scores, 0.4, 1000)
        assert keep.tolist() == (nms(boxes, scores, 0.4)[1].tolist() if count else [])
        assert greedy_nms(boxes, scores, 0.4, 5).tolist() == keep[:5].tolist()


def equal_to_mmdet(files):
    """Compare the network to export, run by torch, with the detector; return how many boxes there are."""
    model = build_model(files.cfg)
    load_strictly(model, torch.load(files.checkpoint), str(files.checkpoint))
    images = pictures([(64, 128), (71, 95)])
    expected = [expected_of(model, image, 'detection', 'model') for image in images]
    network = network_of(model, files.cfg, 'model', 'labels')

    def run(image):
        with torch.no_grad():
            outputs = network(torch.from_numpy(image))
        return {name: value.numpy() for name, value in zip(network.outputs, outputs)}

    rows = compare(run, images, expected, TOLERANCES['float32'])
    assert all(row.agrees for row in rows), rows
    return [len(result['boxes']) for result in expected]


@pytest.mark.parametrize(
    'test_cfg',
    [
        dict(),
        dict(nms=dict(type='nms', iou_threshold=0.3, class_agnostic=True), max_per_img=100),
        dict(nms_pre=7, max_per_img=1000, min_bbox_size=12),
        dict(score_thr=0.0101, max_per_img=-1, nms_pre=50),
    ],
    ids=['as trained', 'class agnostic', 'small boxes left out', 'no limit'],
)
def test_settings(test_cfg, tmp_path):
    counts = equal_to_mmdet(random_checkpoints.detector(tmp_path, 'ReLU', **test_cfg))
    assert all(counts)


def test_an_image_without_a_box(tmp_path):
    assert equal_to_mmdet(random_checkpoints.detector(tmp_path, 'ReLU', score_thr=1.0)) == [0, 0]


def test_scores_with_a_factor(tmp_path):
    """FCOS: points in place of anchors, distances in place of deltas, scores times centerness."""
    settings = tiny_project.detection(tmp_path, 'ReLU')
    model = settings['model']
    model['type'] = 'FCOS'
    model['neck'].update(start_level=1, add_extra_convs='on_output')
    model['bbox_head'] = dict(
        type='FCOSHead',
        num_classes=10,
        in_channels=8,
        stacked_convs=1,
        feat_channels=8,
        norm_cfg=None,
        strides=[8, 16, 32, 64, 128],
    )
    assert all(equal_to_mmdet(random_checkpoints.write(tmp_path, 'fcos', settings)))


def test_other_kinds_of_nms_and_heads_are_refused(tmp_path):
    files = random_checkpoints.detector(tmp_path, 'ReLU', nms=dict(type='soft_nms'))
    model = build_model(files.cfg)
    with pytest.raises(UserError, match='supports plain NMS only'):
        network_of(model, files.cfg, 'model', 'labels')

    class OwnWay(type(model.bbox_head)):
        def predict_by_feat(self):
            """Something else."""

    head = OwnWay.__new__(OwnWay)
    torch.nn.Module.__init__(head)
    with pytest.raises(UserError, match='OwnWay has its own post-processing'):
        read_suppression(head)


def test_two_stages_are_refused(tmp_path):
    files = random_checkpoints.detector(tmp_path, 'ReLU')
    model = SimpleNamespace(data_preprocessor=build_model(files.cfg).data_preprocessor)
    for part in ('model', 'heads'):
        with pytest.raises(UserError, match='not a SingleStageDetector.*--part backbone'):
            network_of(model, files.cfg, part, 'labels')


def test_comparison_sees_what_differs():
    """A box of another class, a missing one, one too many, one that moved: each is told."""
    wanted = dict(
        boxes=np.float32([[0, 0, 10, 10], [20, 20, 40, 40]]),
        scores=np.float32([0.9, 0.8]),
        labels=np.array([1, 2]),
    )
    image = np.zeros((64, 64, 3), np.uint8)

    def agrees(**changed):
        found = {**wanted, **changed}
        return compare(lambda _: found, [image], [wanted], TOLERANCES['float32'])[0].agrees

    assert agrees()
    assert agrees(**{name: values[::-1] for name, values in wanted.items()})
    assert not agrees(labels=np.array([1, 3]))
    assert not agrees(boxes=wanted['boxes'] + 0.1)
    assert not agrees(scores=np.float32([0.9, 0.7]))
    assert not agrees(**{name: values[:1] for name, values in wanted.items()})
    more = {name: np.concatenate([values, values[:1]]) for name, values in wanted.items()}
    assert not agrees(**more)
