"""Loading segmentation models for inference, with their classes and colours, and asking them for label maps.

MMSegmentation does the work; it is imported when a model is loaded, so that drawing needs only NumPy, Pillow and Matplotlib.
"""

import warnings
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import CheckpointLoader
from torch import nn

from mm_frelu.engine import preprocessing
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError

from .overlay import enlarge_labels, shrink

# Logits of a 12 megapixel photograph take gigabytes, and a picture for looking at does not need them.
_LONGEST_SIDE = 2048


class Segmentor(NamedTuple):
    """A segmentation model in eval mode.

    Attributes:
        name: What the pictures call it.
        model: The model, with its config as ``model.cfg``.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        reduce_zero_label: Whether label 0 of its dataset's files means "not labelled" and the classes start at 1 (ADE20K).
    """

    name: str
    model: nn.Module
    classes: Tuple[str, ...]
    palette: Optional[Sequence[Sequence[int]]]
    reduce_zero_label: bool

    def predict(self, image: np.ndarray, full_resolution: bool = True) -> np.ndarray:
        """Predicts a class for every pixel.

        Args:
            image: RGB ``uint8`` array (H, W, 3).
            full_resolution: Give the image to the test pipeline as it is. If False, an image with a side above 2048 pixels
                is reduced before, and the labels are repeated to its size.

        Returns:
            Integer array (H, W).
        """
        from mmseg.apis import inference_model

        size = image.shape[1::-1]
        scale = _LONGEST_SIDE / max(size)
        if scale < 1 and not full_resolution:
            image = shrink(image, tuple(max(round(side * scale), 1) for side in size))
        # MMSegmentation's arrays are BGR, as OpenCV reads them.
        result = inference_model(self.model, np.ascontiguousarray(image[..., ::-1]))
        labels = result.pred_sem_seg.data.squeeze(0).cpu().numpy()
        return enlarge_labels(labels, size)


def check_device(device: str) -> None:
    """Raises UserError when PyTorch cannot compute on ``device`` here."""
    try:
        torch.empty(1, device=device)
    except Exception as error:  # each backend has its own exceptions
        found = f'{torch.cuda.device_count()} CUDA devices' if torch.cuda.is_available() else 'none'
        raise UserError(
            f'--device {device} cannot be used here ({str(error).splitlines()[0]}). Accelerators found: {found}. '
            'Use --device cpu, or cuda:N of a device that exists.'
        ) from None


def load_segmentor(
    name: str,
    config: str,
    checkpoint: str,
    device: str = 'cpu',
    change: Optional[Callable[[Config], None]] = None,
) -> Segmentor:
    """Builds a segmentation model and loads its weights.

    Classes and colours are those that the checkpoint was trained with or, if it says nothing, those of the config's test set.

    Args:
        name: What the pictures will call the model.
        config: Config file.
        checkpoint: Checkpoint file, or an address that MMEngine can fetch.
        device: Device of PyTorch.
        change: Changes the config before the model is built.

    Returns:
        The model in eval mode. SyncBN has become BN, which computes the same in eval mode, on any device.

    Raises:
        UserError: No such file, not a segmentation config, a checkpoint that does not fit, or no way to know the classes.
    """
    cfg = read_config(config)
    if change is not None:
        change(cfg)
    task = task_of(cfg)
    if task != 'segmentation':
        raise UserError(
            f'{name}: {config} is a {task} config; pictures of segmentation need a segmentation config.'
        )
    check_checkpoint_file(checkpoint, f'the checkpoint of {name}')
    from mmseg.models import BaseSegmentor
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    with warnings.catch_warnings():
        # Advice about how to train (ignore_index, out_channels, ...) is no news to somebody who looks at results.
        warnings.simplefilter('ignore')
        model = MODELS.build(cfg.model)
    if not isinstance(model, BaseSegmentor):
        raise UserError(
            f'{name}: the model of {config} is a {type(model).__name__}, not a segmentor of MMSegmentation.'
        )
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    load_strictly(model, loaded, f'{name}: {checkpoint}')
    _warn_about_preprocessing(name, cfg, loaded)
    classes, palette = _classes_and_palette(cfg, loaded)
    outputs = getattr(getattr(model, 'decode_head', None), 'num_classes', None)
    if classes is None:
        raise UserError(
            f'{name}: neither {checkpoint} nor the test set of {config} names the classes. Expected '
            "meta['dataset_meta']['classes'] in the checkpoint or test_dataloader.dataset in the config."
        )
    if outputs is not None and outputs != len(classes):
        raise UserError(
            f'{name}: the model tells {outputs} classes apart (decode_head.num_classes in {config}), but its dataset '
            f'has {len(classes)}: {_listed(classes)}.'
        )
    cfg.test_pipeline = _without_labels(cfg, config)
    model = revert_sync_batchnorm(model).to(device).eval()
    model.cfg = cfg
    return Segmentor(name, model, classes, palette, _reduces_zero_label(cfg))


def check_same_classes(segmentors: Sequence[Segmentor]) -> None:
    """Raises UserError unless all models have the same classes in the same order."""
    first = segmentors[0]
    for other in segmentors[1:]:
        if other.classes == first.classes:
            continue
        if len(other.classes) != len(first.classes):
            found = f'{first.name} has {len(first.classes)} classes ({_listed(first.classes)}), '
            found += f'{other.name} {len(other.classes)} ({_listed(other.classes)})'
        else:
            number, pair = next(
                (number, pair)
                for number, pair in enumerate(zip(first.classes, other.classes))
                if pair[0] != pair[1]
            )
            found = (
                f'class {number} is {pair[0]!r} for {first.name} and {pair[1]!r} for {other.name}'
            )
        raise UserError(
            f'The models do not have the same classes: {found}. Compare models that were trained on the same dataset.'
        )


def _warn_about_preprocessing(name: str, cfg: Config, checkpoint: Dict[str, Any]) -> None:
    trained = preprocessing.of_checkpoint(checkpoint)
    current = preprocessing.of_config(cfg)
    if trained and current and trained.differs(current):
        warnings.warn(
            f'{name}: the weights were trained on {trained}, the config feeds {current}. The predictions will be poor.',
            stacklevel=3,
        )


def _classes_and_palette(
    cfg: Config, checkpoint: Dict[str, Any]
) -> Tuple[Optional[Tuple[str, ...]], Optional[Sequence[Sequence[int]]]]:
    """From the checkpoint's ``dataset_meta``, else from the class of the test set and its ``metainfo``."""
    meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    if not meta.get('classes'):
        from mmseg.registry import DATASETS

        dataset = _test_set(cfg)
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        meta = dict(getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {}))
    classes = meta.get('classes')
    return (tuple(classes) if classes else None), meta.get('palette')


def _test_set(cfg: Config) -> Dict[str, Any]:
    """Config of the test set; of several, the first; without its wrappers."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset


def _pipeline(cfg: Config) -> Sequence[Dict[str, Any]]:
    return cfg.get('test_pipeline') or _test_set(cfg).get('pipeline') or ()


def _without_labels(cfg: Config, config: str) -> Sequence[Dict[str, Any]]:
    """The test pipeline without the steps that read or check label files: images here may have none."""
    steps = [
        dict(step)
        for step in _pipeline(cfg)
        if str(step['type']).rsplit('.', 1)[-1] not in ('LoadAnnotations', 'CheckLabelIds')
    ]
    if not steps:
        raise UserError(
            f'{config} has no test pipeline: expected test_pipeline, or test_dataloader.dataset.pipeline.'
        )
    return steps


def _reduces_zero_label(cfg: Config) -> bool:
    if _test_set(cfg).get('reduce_zero_label'):
        return True
    return any(step.get('reduce_zero_label') for step in _pipeline(cfg))


def _listed(classes: Sequence[str]) -> str:
    return ', '.join(classes[:4]) + (', ...' if len(classes) > 4 else '')
