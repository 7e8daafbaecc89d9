"""Detections of the demo, drawn large enough to be read: true boxes above, detected boxes below."""

from contextlib import redirect_stdout
from pathlib import Path
from typing import List

import mm_frelu  # noqa: F401  isort: skip  (before mmdet: it stands in for missing compiled ops)

import cv2
import mmengine
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

ENLARGE = 4
SCORE = 0.4
"""Boxes below this score are left out, as in most papers' pictures."""


def _instances(boxes: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> InstanceData:
    return InstanceData(
        bboxes=ENLARGE * torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.as_tensor(labels, dtype=torch.long),
        **{key: torch.as_tensor(value) for key, value in more.items()},
    )


def _true_instances(coco: COCO, image_id: int, categories: List[int]) -> InstanceData:
    found = coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False))
    boxes = np.array([annotation['bbox'] for annotation in found]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # COCO gives width and height
    return _instances(boxes, [categories.index(a['category_id']) for a in found])


def draw_detections(predictions: Path, data: Path, out: Path, number: int) -> List[Path]:
    """Draw the first test scenes with true and detected boxes.

    Args:
        predictions: The file that ``tools/test.py --out`` wrote.
        data: Folder of the scenes.
        out: Folder for the pictures.
        number: How many scenes.

    Returns:
        The pictures.
    """
    with redirect_stdout(None):  # pycocotools reports each step
        coco = COCO(str(data / 'annotations/instances_val.json'))
    categories = coco.getCatIds()
    visualizer = DetLocalVisualizer(line_width=2)
    names = [category['name'] for category in coco.loadCats(categories)]
    visualizer.dataset_meta = dict(classes=names, palette='random')
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for result in mmengine.load(predictions)[:number]:
        image = cv2.cvtColor(cv2.imread(result['img_path']), cv2.COLOR_BGR2RGB)
        image = cv2.resize(image, None, fx=ENLARGE, fy=ENLARGE, interpolation=cv2.INTER_CUBIC)
        found = result['pred_instances']
        sample = DetDataSample()
        sample.gt_instances = _true_instances(coco, result['img_id'], categories)
        sample.pred_instances = _instances(found['bboxes'], found['labels'], scores=found['scores'])
        visualizer.add_datasample('', image, sample, pred_score_thr=SCORE)
        # It draws true boxes left and detected ones right; for a wide image, above each other is larger.
        true, detected = np.split(visualizer.get_image(), 2, axis=1)
        gap = np.full((ENLARGE, image.shape[1], 3), 255, np.uint8)
        picture = out / Path(result['img_path']).name.replace('_leftImg8bit', '')
        stacked = np.concatenate([true, gap, detected])
        cv2.imwrite(str(picture), cv2.cvtColor(stacked, cv2.COLOR_RGB2BGR))
        pictures.append(picture)
    return pictures
