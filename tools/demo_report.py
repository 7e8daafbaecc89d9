"""The report of the demo: tables of what was measured, pictures, and how to read them."""

import datetime
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import mm_frelu  # noqa: F401  isort: skip  (before mmseg: it stands in for missing compiled ops)

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
"""Classes of thin or small things; their mean IoU is the report's "slender IoU"."""

CLASSES = CityscapesDataset.METAINFO['classes']


@dataclass
class Model:
    """A model of the demo: its name in tables and pictures, its config and, once trained, its checkpoint."""

    name: str
    config: Path
    checkpoint: Optional[Path] = None

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a segmentor; else it is a detector."""
        return self.config.parent.name == 'pspnet'

    @property
    def folder(self) -> str:
        """Name of its folder of results."""
        return self.name.lower().replace(' ', '_').replace('-', '')

    def parameters(self) -> int:
        """Number of its parameters."""
        cfg = Config.fromfile(self.config)
        init_default_scope(cfg.default_scope)
        model: BaseModel = MODELS.build(cfg.model)
        return sum(parameter.numel() for parameter in model.parameters())


def class_ious(predictions: List[np.ndarray], labels: List[np.ndarray]) -> np.ndarray:
    """IoU of every CityScapes class over a set, in per cent; nan for a class that neither side has."""
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
    """Ground truth of the test scenes by image name."""
    end = '_gtFine_labelTrainIds.png'
    files = sorted((data / 'gtFine/val').rglob(f'*{end}'))
    return {file.name[: -len(end)] + '_leftImg8bit': np.array(Image.open(file)) for file in files}


def read_metrics(test_dir: Path) -> Dict[str, float]:
    """The metrics that tools/test.py left in its work dir."""
    newest = max(test_dir.glob('*/*.json'), key=os.path.getmtime)
    return json.loads(newest.read_text())


def segmentation_rows(
    out: Path, data: Path, models: Sequence[Model], seconds: Dict[str, Dict[str, float]]
) -> List[str]:
    """Table lines for the segmentors, with the constant answer below them."""
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
    """Table lines for the detectors."""
    rows = []
    for model in models:
        tested = read_metrics(out / model.folder / 'test')
        # CocoMetric gives nothing at all where not one box was found.
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
        models: What was trained.
        seconds: Seconds of training and testing by model name.
        comparisons: Pictures of the segmentors beside each other.
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
        'These are small networks, trained for about a minute or two on drawn scenes. The table shows that everything '
        'works and that the models have learnt; one seed of it says nothing about which activation is better.',
        '## Segmentation',
        '\n'.join(
            [
                '| model | mIoU | slender IoU | aAcc | parameters | training, s |',
                '|---|---|---|---|---|---|',
                *segmentation,
            ]
        ),
        f'In per cent, on the test scenes. Slender IoU is the mean over {", ".join(SLENDER)}. The last line is what a '
        f'model gets that always gives the most frequent class.',
        '## Detection',
        '\n'.join(
            [
                '| model | box AP | AP50 | AP small | parameters | training, s |',
                '|---|---|---|---|---|---|',
                *detection,
            ]
        ),
        'In per cent. AP small is over boxes of less than 32 x 32 pixels, which is most of them in pictures of this '
        'size.',
        '## Pictures',
        'The segmentors on whole scenes, then where they differ most:',
        *_images(comparisons, out),
        'The detector: true boxes, then the detected ones with what became of each. What its errors cost in AP is in '
        'detections/summary.json and, as tables, in detections.txt.',
        *_images(detections, out),
    ]
    report = out / 'report.md'
    with write_file(report) as stream:
        stream.write('\n\n'.join(sections) + '\n')
    return report


def _images(pictures: Sequence[Path], out: Path) -> List[str]:
    return [f'![{picture.stem}]({picture.relative_to(out).as_posix()})' for picture in pictures]
