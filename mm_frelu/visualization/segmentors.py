"""Load segmentation models for inference, with their classes and colours, and predict label maps.

MMSegmentation does the inference. It is imported when a model is loaded, so that drawing needs only NumPy, Pillow and Matplotlib.
"""

import warnings
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import cv2
import mmcv
import numpy as np
from torch import nn

from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.errors import UserError, first_line, listed

from .overlay import nearest_labels
from .test_set import SegmentationTestSet, image_steps
from .trained_model import Change, load_trained

# The logits of a 12 megapixel photograph take gigabytes, and pictures do not need that resolution.
_LONGEST_SIDE = 2048
# Limit at full resolution, which scores need: a panorama may have 28 million pixels, with 19 classes each.
_MOST_LOGITS = 2**29


class Segmentor(NamedTuple):
    """A segmentation model in eval mode.

    Attributes:
        name: Name of the model in pictures.
        model: The model, with its config as ``model.cfg``.
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        test_set: Its test set, which defines how label files are read.
        loader: The step of its test pipeline that reads an image.
    """

    name: str
    model: nn.Module
    classes: Tuple[str, ...]
    palette: Optional[Sequence[Sequence[int]]]
    test_set: SegmentationTestSet
    loader: Dict[str, Any]

    @property
    def renumbering(self) -> Renumbering:
        """Mapping of the test set from ids in label files to class ids."""
        return self.test_set.renumbering(self.classes)

    @property
    def ignore_index(self) -> int:
        """The label that the evaluation ignores."""
        return self.test_set.ignore_index

    def predict(self, image: np.ndarray, full_resolution: bool = True) -> np.ndarray:
        """Predicts a class for every pixel.

        Args:
            image: Result of :func:`~mm_frelu.visualization.image_files.read_image` with ``loader``.
            full_resolution: Give the unchanged image to the test pipeline. If False, an image with a side above 2048 pixels
                is reduced first, and the labels are enlarged to its size by repetition. If True, this happens only if the
                logits would take more than 2 GiB, with a warning.

        Returns:
            Integer array (H, W).

        Raises:
            UserError: If the image has another number of channels than the model expects, or is too narrow for the pipeline.
        """
        from mmseg.apis import inference_model

        size = image.shape[1::-1]
        scale = _LONGEST_SIDE / max(size)
        if full_resolution:
            scale = (_MOST_LOGITS / (size[0] * size[1] * len(self.classes))) ** 0.5
            if scale < 1:
                warnings.warn(
                    f'An image of {size[0]}x{size[1]} pixels is predicted at {scale:.2f} of its size: {len(self.classes)} logits for '
                    'each pixel would take more than 2 GiB. Its scores are those of the enlarged labels.',
                    stacklevel=2,
                )
        if scale < 1:
            smaller = tuple(max(round(side * scale), 1) for side in size)
            image = mmcv.imresize(image, smaller, interpolation='area')
        try:
            result = inference_model(self.model, image)
        except cv2.error as error:  # the pipeline resizes a narrow image to 0 pixels
            raise UserError(
                f'the test pipeline of the model {self.name} cannot process an image of {size[0]}x{size[1]} pixels '
                f'({" ".join(str(error).split())[:160]}). Cut the image into less narrow parts.'
            ) from None
        except (
            RuntimeError
        ) as error:  # raised by the first convolution or by the normalisation before it
            if not any(word in str(error) for word in ('channel', 'size of tensor')):
                raise
            channels = 1 if image.ndim == 2 else image.shape[2]
            raise UserError(
                f'the model {self.name} does not support images of {channels} channels ({first_line(error)}). Give '
                f'images like those that it was trained on, or change {self.loader} of its test pipeline.'
            ) from None
        labels = result.pred_sem_seg.data.squeeze(0).cpu().numpy()
        # Eight times smaller than the int64 result of argmax.
        return nearest_labels(
            labels.astype(np.uint8 if len(self.classes) < 256 else np.uint16), size
        )


def load_segmentor(
    name: str,
    config: str,
    checkpoint: str,
    device: str = 'cpu',
    change: Optional[Change] = None,
) -> Segmentor:
    """Builds a segmentation model and loads its weights.

    Classes and colours come from the checkpoint or, if it does not record them, from the config's test set.

    Args:
        name: Name of the model in pictures.
        config: Config file.
        checkpoint: Checkpoint file, or a URL that MMEngine can download.
        device: PyTorch device.
        change: Function that changes the config before the model is built.

    Returns:
        The model in eval mode.

    Raises:
        UserError: See :func:`load_trained`; or if the config is not a segmentation config, or the classes are unknown.
    """
    cfg, model, loaded = load_trained(name, config, checkpoint, device, change, 'segmentation')
    from mmseg.models import BaseSegmentor

    if not isinstance(model, BaseSegmentor):
        raise UserError(
            f'{name}: the model of {config} is a {type(model).__name__}, not a segmentor of MMSegmentation.'
        )
    test_set = SegmentationTestSet(cfg, config)
    meta = (loaded.get('meta') or {}).get('dataset_meta') or {}
    meta = meta if meta.get('classes') else test_set.metainfo
    classes, palette = meta.get('classes'), meta.get('palette')
    classes = tuple(classes) if classes else None
    outputs = getattr(getattr(model, 'decode_head', None), 'num_classes', None)
    if classes is None:
        raise UserError(
            f'{name}: neither {checkpoint} nor the test set of {config} names the classes. Expected '
            "meta['dataset_meta']['classes'] in the checkpoint or test_dataloader.dataset in the config."
        )
    if outputs is not None and outputs != len(classes):
        raise UserError(
            f'{name}: the model has {outputs} classes (decode_head.num_classes in {config}), but its dataset '
            f'has {len(classes)}: {listed(classes)}.'
        )
    loader, *steps = image_steps(cfg, config)
    cfg.test_pipeline = [dict(type='LoadImageFromNDArray'), *steps]
    model.cfg = cfg
    return Segmentor(name, model, classes, palette, test_set, dict(_scope_='mmseg', **loader))


def check_same_labels(segmentors: Sequence[Segmentor]) -> None:
    """Raises :class:`UserError` unless the test sets of all models read label files in the same way."""
    first = segmentors[0]
    for other in segmentors:
        for key in ('ignore_index', 'renumbering'):
            values = getattr(first, key), getattr(other, key)
            if values[0] != values[1]:
                raise UserError(
                    f'--gt: the test sets of {first.name} and {other.name} read labels differently: {key} is {values[0]} '
                    f'and {values[1]}. Compare models that were trained on the same dataset.'
                )
