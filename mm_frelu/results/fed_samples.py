"""Samples that a config's pipeline feeds to the model, as images for display."""

from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mm_frelu.datasets.class_colors import class_colors
from mm_frelu.engine.arguments import require_library, task_of
from mm_frelu.engine.errors import UserError
from mm_frelu.evaluation.boxes import TrueBoxes
from mm_frelu.visualization.image_files import as_picture

PHASES = ('train', 'val', 'test')


class FedSample(NamedTuple):
    """An image after the last step of the pipeline, with its labels.

    Attributes:
        path: The image file, or the first one of a mosaic.
        image: RGB ``uint8`` array (H, W, 3).
        boxes: For detection, the boxes. Boxes that training ignores are crowds.
        labels: For segmentation, class numbers (H, W).
        category: For classification, the class number.
    """

    path: str
    image: np.ndarray
    boxes: Optional[TrueBoxes] = None
    labels: Optional[np.ndarray] = None
    category: Optional[int] = None


class FedDataset:
    """A dataset of a config with its pipeline.

    Args:
        cfg: The config.
        config: Its name, for messages.
        phase: One of :data:`PHASES`, which selects the dataloader.

    Attributes:
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        ignore_index: For segmentation, the label that the loss ignores.

    Raises:
        UserError: If the config has no such dataset, or it cannot be built.
    """

    def __init__(self, cfg: Config, config: str, phase: str) -> None:
        self.task = task_of(cfg)
        if self.task == 'keypoints':
            raise UserError(
                f'{config} is a keypoint config; MMPose has a tool for it: python -m mm_frelu.run mmpose '
                'tools/misc/browse_dataset.py.'
            )
        require_library(cfg)
        key = f'{phase}_dataloader.dataset'
        settings = (cfg.get(f'{phase}_dataloader') or {}).get('dataset')
        if not settings:
            raise UserError(f'{config} has no {key}. Choose another --phase.')
        self.key = f'{config}: {key}'
        self._scope = cfg.default_scope
        self.dataset = self._built(settings)
        inner = _without_wrappers(self.dataset)
        self.classes: Tuple[str, ...] = tuple(inner.metainfo.get('classes') or ())
        self.palette: Optional[Sequence[Sequence[int]]] = (
            inner.metainfo.get('palette') if self.task == 'segmentation' else class_colors(inner)
        )
        self.ignore_index = getattr(inner, 'ignore_index', 255)
        # mmcv reads BGR, and the model converts it to RGB, unless a Normalize in the pipeline has done so.
        steps = getattr(getattr(inner, 'pipeline', None), 'transforms', None) or ()
        self._red_first = any(getattr(step, 'to_rgb', False) for step in steps)

    def __len__(self) -> int:
        return len(self.dataset)

    def sample(self, index: int) -> FedSample:
        """Return the sample of one index. A random pipeline gives a different one each time.

        Raises:
            UserError: If a step of the pipeline fails, or a label is not a class.
        """
        try:
            with DefaultScope.overwrite_default_scope(self._scope):
                item = self.dataset[index]
        except UserError:
            raise
        except Exception as error:  # steps raise different errors
            raise UserError(
                f'{self.key}: its pipeline fails on image {index} ({error}).'
            ) from error
        sample = item['data_samples']
        path = str(sample.metainfo.get('img_path', f'image {index}'))
        image = self._picture(item['inputs'])
        if self.task == 'detection':
            return FedSample(path, image, boxes=_boxes(sample))
        if self.task == 'segmentation':
            labels = sample.gt_sem_seg.data.squeeze(0).numpy() if 'gt_sem_seg' in sample else None
            if labels is not None:
                self._require_classes(path, labels)
            return FedSample(path, image, labels=labels)
        category = int(sample.gt_label[0]) if 'gt_label' in sample else None
        return FedSample(path, image, category=category)

    def _require_classes(self, path: str, labels: np.ndarray) -> None:
        strange = labels[(labels >= len(self.classes)) & (labels != self.ignore_index)]
        if strange.size:
            raise UserError(
                f'{self.key}: the labels of {path} have the value {strange[0]} in {strange.size} pixels. Expected 0 to '
                f'{len(self.classes) - 1}, or {self.ignore_index} (ignore_index of the dataset).'
            )

    def _built(self, settings: Dict[str, Any]) -> Any:
        from mmengine.registry import DATASETS

        try:
            with DefaultScope.overwrite_default_scope(self._scope):
                dataset = DATASETS.build(settings)
                if hasattr(dataset, 'full_init'):
                    dataset.full_init()
        except Exception as error:  # dataset classes raise different errors
            raise UserError(f'{self.key} cannot be built ({error}).') from error
        return dataset

    def _picture(self, inputs: Any) -> np.ndarray:
        """Convert a tensor (C, H, W) to RGB. A normalised one is scaled to the range 0 to 255."""
        image = inputs.permute(1, 2, 0).numpy()
        if image.dtype != np.uint8 and image.min() < 0:
            image = (image - image.min()) / max(float(image.max() - image.min()), 1e-12)
        return as_picture(image[..., ::-1] if self._red_first else image)


def samples_of(
    dataset: FedDataset, number: Optional[int], repeat: int
) -> Iterator[Tuple[int, int, FedSample]]:
    """Yield index, repetition and sample of the first ``number`` images, each ``repeat`` times."""
    for index in range(min(number or len(dataset), len(dataset))):
        for turn in range(repeat):
            yield index, turn, dataset.sample(index)


def _without_wrappers(dataset: Any) -> Any:
    """Return the dataset inside wrappers such as RepeatDataset; of ConcatDataset the first one."""
    while hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        dataset = dataset.dataset if hasattr(dataset, 'dataset') else dataset.datasets[0]
    return dataset


def _boxes(sample: Any) -> TrueBoxes:
    parts = [
        (sample.get(name), crowd)
        for name, crowd in (('gt_instances', False), ('ignored_instances', True))
        if sample.get(name) is not None
    ]
    boxes = [
        np.asarray(getattr(part.bboxes, 'tensor', part.bboxes)).reshape(-1, 4) for part, _ in parts
    ]
    labels = [np.asarray(part.labels).reshape(-1) for part, _ in parts]
    crowd = [np.full(len(own), flag) for own, (_, flag) in zip(labels, parts)]
    if not parts:
        return TrueBoxes.of([], [])
    return TrueBoxes.of(np.concatenate(boxes), np.concatenate(labels), np.concatenate(crowd))
