"""Files such as tools/test.py --out writes, made by hand on the generated scenes."""

import pickle
from pathlib import Path

import numpy as np
import tiny_project
import torch
from mmengine.config import Config
from PIL import Image

CLASSES_OF_SCENES = 19


def segmentation_config(scenes: Path, tmp_path: Path, **changes) -> Config:
    settings = tiny_project.segmentation(scenes)
    settings.update(changes)
    return Config.fromfile(tiny_project.write_config(tmp_path / 'seg.py', settings))


def detection_config(scenes: Path, tmp_path: Path, **changes) -> Config:
    settings = tiny_project.detection(scenes)
    settings.update(changes)
    return Config.fromfile(tiny_project.write_config(tmp_path / 'det.py', settings))


def label_files(scenes: Path):
    return sorted((scenes / 'gtFine/val').rglob('*_gtFine_labelTrainIds.png'))


def write_predictions(scenes: Path, folder: Path, change=lambda label: label):
    """One PNG for each image: the labels, changed, with class 0 where there is no label."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in label_files(scenes):
        label = np.array(Image.open(file))
        name = file.name.replace('_gtFine_labelTrainIds', '_leftImg8bit')
        Image.fromarray(change(np.where(label == 255, 0, label)).astype(np.uint8)).save(
            folder / name
        )
    return folder


def write_detections(path: Path, entries) -> Path:
    """A pickle of what mmdet dumps: dicts with tensors."""
    results = [
        dict(
            img_id=image,
            img_path=str(file),
            pred_instances=dict(
                bboxes=torch.as_tensor(np.asarray(boxes, np.float32).reshape(-1, 4)),
                labels=torch.as_tensor(np.asarray(labels, np.int64)),
                scores=torch.as_tensor(np.asarray(scores, np.float32)),
            ),
        )
        for image, file, boxes, labels, scores in entries
    ]
    path.write_bytes(pickle.dumps(results))
    return path
