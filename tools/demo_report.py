"""Write the report of the demo: tables of results, pictures, and how to read them."""

import datetime
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import mm_frelu  # noqa: F401  isort: skip  (before mmseg: it supplies missing compiled ops)

import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmseg.datasets import CityscapesDataset
from mmseg.evaluation import IoUMetric
from PIL import Image

from mm_frelu.engine.write_file import write_file

SLENDER = ('fence', 'pole', 'traffic light', 'traffic sign', 'motorcycle', 'bicycle')
"""Classes of thin or small objects. Their mean IoU is the report's "slender IoU"."""

CLASSES = CityscapesDataset.METAINFO['classes']


@dataclass
class Model:
    """A model of the demo: its name in tables and pictures, its config and, once trained, its checkpoint."""

    name: str
    config: Path
    checkpoint: Optional[Path] = None

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a segmentor; otherwise it is a detector."""
        return self.config.parent.name == 'pspnet'

    @property
    def folder(self) -> str:
        """Name of its result folder."""
        return self.name.lower().replace(' ', '_').replace('-', '')

    def parameters(self) -> int:
        """Count its parameters."""
        cfg = Config.fromfile(self.config)
        init_default_scope(cfg.default_scope)
        model: BaseModel = MODELS.build(cfg.model)
        return sum(parameter.numel() for parameter in model.parameters())


def class_ious(predictions: List[np.ndarray], labels: List[np.ndarray]) -> np.ndarray:
    """Compute the IoU of every CityScapes class over all images, in per cent; nan for a class that is in neither side."""
    areas = zip(
        *(
            IoUMetric.intersect_and_union(
                torch.from_numpy(prediction), torch.from_numpy(label), len(CLASSES), 255
            )
            for prediction, label in zip(predictions, labels)
        )
    )
    metrics = IoUMetric.total_area_to_metrics(*(sum(area) for area in areas), ['mIoU'])
    return 100 * np.asarray(metrics['IoU'])


def read_labels(data: Path) -> Dict[str, np.ndarray]:
    """Read the ground truth of the test scenes, by image name."""
    end = '_gtFine_labelTrainIds.png'
    files = sorted((data / 'gtFine/val').rglob(f'*{end}'))
    return {file.name[: -len(end)] + '_leftImg8bit': np.array(Image.open(file)) for file in files}


def read_metrics(test_dir: Path) -> Dict[str, float]:
    """Read the metrics that tools/test.py wrote to its work folder."""
    newest = max(test_dir.glob('*/*.json'), key=os.path.getmtime)
    return json.loads(newest.read_text())


def segmentation_rows(
    out: Path, data: Path, models: Sequence[Model], seconds: Dict[str, Dict[str, float]]
) -> List[str]:
    """Create table lines for the segmentors, and a last line for a constant prediction."""
    labels = read_labels(data)
    thin = [CLASSES.index(name) for name in SLENDER]
    counts = sum(
        np.bincount(label.ravel(), minlength=256)[: len(CLASSES)] for label in labels.values()
    )
    most_frequent = int(counts.argmax())
    rows = []
    for model in models:
        folder = out / model.folder / 'predictions'
        predictions = [np.array(Image.open(folder / f'{name}.png')) for name in labels]
        ious = class_ious(predictions, list(labels.values()))
        tested = read_metrics(out / model.folder / 'test')
        rows.append(
            f'| {model.name} | {tested["mIoU"]:.1f} | {np.nanmean(ious[thin]):.1f} | {tested["aAcc"]:.1f} | '
            f'{model.parameters():,} | {seconds[model.name]["train"]:.0f} |'
        )
    constant = [np.full_like(label, most_frequent) for label in labels.values()]
    ious = class_ious(constant, list(labels.values()))
    accuracy = 100 * counts[most_frequent] / counts.sum()
    rows.append(
        f'| always "{CLASSES[most_frequent]}" | {np.nanmean(ious):.1f} | {np.nanmean(ious[thin]):.1f} | '
        f'{accuracy:.1f} | 0 | 0 |'
    )
    return rows


def detection_rows(
    out: Path, models: Sequence[Model], seconds: Dict[str, Dict[str, float]]
) -> List[str]:
    """Create table lines for the detectors."""
    rows = []
    for model in models:
        tested = read_metrics(out / model.folder / 'test')
        # CocoMetric returns no scores if no box was found.
        scores = [
            100 * tested.get(f'coco/{key}', 0.0)
            for key in ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_s')
        ]
        cells = [f'{score:.1f}' for score in scores]
        cells += [f'{model.parameters():,}', f'{seconds[model.name]["train"]:.0f}']
        rows.append(f'| {model.name} | {" | ".join(cells)} |')
    return rows


def write_report(
    out: Path,
    data: Path,
    models: Sequence[Model],
    seconds: Dict[str, Dict[str, float]],
    comparisons: Sequence[Path],
    detections: Sequence[Path],
    total: float,
    seed: int,
) -> Path:
    """Write ``report.md``.

    Args:
        out: Result folder of the demo.
        data: Folder of the scenes.
        models: The trained models.
        seconds: Seconds of training and testing by model name.
        comparisons: Comparison pictures of the segmentors.
        detections: Pictures of the detections.
        total: Seconds of the whole demo.
        seed: Seed of scenes and training.

    Returns:
        The report's path.
    """
    with DefaultScope.overwrite_default_scope('mmengine'):
        segmentors = [model for model in models if model.is_segmentation]
        detectors = [model for model in models if not model.is_segmentation]
        segmentation = segmentation_rows(out, data, segmentors, seconds)
        detection = detection_rows(out, detectors, seconds)
    sections = [
        '# FReLU on generated street scenes',
        f'Seed {seed}, {datetime.date.today().isoformat()}, {os.cpu_count()} CPU cores ({platform.machine()}), '
        f'torch {torch.__version__}, mmseg {mmseg.__version__}. The whole demo took {total:.0f} s.',
        'These are small networks, trained for one or two minutes on drawn scenes. The table shows that everything '
        'works and that the models have learnt. One seed does not show which activation is better.',
        '## Segmentation',
        '\n'.join(
            [
                '| model | mIoU | slender IoU | aAcc | parameters | training, s |',
                '|---|---|---|---|---|---|',
                *segmentation,
            ]
        ),
        f'In per cent, on the test scenes. Slender IoU is the mean over {", ".join(SLENDER)}. The last line is a model '
        f'that always predicts the most frequent class.',
        '## Detection',
        '\n'.join(
            [
                '| model | box AP | AP50 | AP small | parameters | training, s |',
                '|---|---|---|---|---|---|',
                *detection,
            ]
        ),
        'In per cent. AP small is over boxes of less than 32 x 32 pixels, which are the majority in images of this '
        'size.',
        '## Pictures',
        'The segmentors on whole scenes, then on crops where they differ most:',
        *_images(comparisons, out),
        'The detector: true boxes, then the detected boxes with their outcomes. The AP that each type of error costs is in '
        'detections/summary.json and, as tables, in detections.txt.',
        *_images(detections, out),
    ]
    report = out / 'report.md'
    with write_file(report) as stream:
        stream.write('\n\n'.join(sections) + '\n')
    return report


def _images(pictures: Sequence[Path], out: Path) -> List[str]:
    return [f'![{picture.stem}]({picture.relative_to(out).as_posix()})' for picture in pictures]
