"""Load a trained model of any task, and prepare images with its test pipeline."""

import copy
import functools
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS
from torch import Tensor

from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.model_builder import recorded_tensors
from mm_frelu.engine.output_names import image_paths

from .image_files import ImageFile, as_picture
from .test_set import image_steps
from .trained_model import Change, load_trained

LONGEST_SIDE = 2048
"""Longer images are reduced to this size before the pipeline. The features of a large panorama would not fit into memory."""


class Prepared(NamedTuple):
    """An image, prepared as the input of a model.

    Attributes:
        tensor: Normalised and padded input of the network, of shape (1, C, H, W).
        picture: The same pixels for display, RGB ``uint8`` (h, w, 3), without the padding on the right and at the bottom.
        original: Width and height of the image file.
        note: What was done to the image before the pipeline; may be empty.
    """

    tensor: Tensor
    picture: np.ndarray
    original: Tuple[int, int]
    note: str

    def inside(self, features: Tensor) -> Tensor:
        """Crops features (..., H, W) to the positions whose centre is inside the picture, not in the padding."""
        rows, columns = (
            slice(0, max(round(size * seen / fed), 1))
            for size, seen, fed in zip(
                features.shape[-2:], self.picture.shape, self.tensor.shape[-2:]
            )
        )
        return features[..., rows, columns]


class LoadedModel:
    """A model in eval mode with its weights.

    Args:
        name: Name of the model in pictures and messages.
        config: Config file.
        checkpoint: Checkpoint file, or a URL that MMEngine can download.
        device: PyTorch device.
        change: Function that changes the config before the model is built.

    Raises:
        UserError: If a file is missing, the config has no model or test pipeline, or the checkpoint does not fit.
    """

    def __init__(
        self,
        name: str,
        config: str,
        checkpoint: str,
        device: str = 'cpu',
        change: Optional[Change] = None,
    ) -> None:
        self.name, self.config, self.device = name, config, device
        self.cfg, self.model, _ = load_trained(name, config, checkpoint, device, change)
        self.task = task_of(self.cfg)
        self.steps = image_steps(self.cfg, config)

    @functools.cached_property
    def _transforms(self) -> List[Callable[[dict], dict]]:
        return [TRANSFORMS.build(step) for step in self.steps]

    def prepare(self, path: Path) -> Prepared:
        """Reads an image and applies the test pipeline.

        If the pipeline's output has a side above :data:`LONGEST_SIDE` pixels, the image is reduced before the pipeline.

        Raises:
            UserError: If the file is not an image or is damaged, or the pipeline fails.
        """
        load, *others = self._transforms
        try:
            read = load(dict(img_path=str(path), img_id=0, sample_idx=0))
            if read is None:
                raise ValueError('the loading step returns nothing')
        except Exception as error:  # each decoder raises its own types
            raise UserError(f'{path} cannot be read as an image ({error}).') from None
        height, width = read['img'].shape[:2]
        packed, note = self._pipeline(path, others, read), ''
        longest = max(packed['inputs'].shape[-2:])
        if longest > LONGEST_SIDE:
            scale = LONGEST_SIDE / longest
            smaller = tuple(max(round(side * scale), 1) for side in (width, height))
            read['img'] = mmcv.imresize(read['img'], smaller, interpolation='area')
            read['img_shape'] = read['ori_shape'] = read['img'].shape[:2]
            packed = self._pipeline(path, others, read)
            note = (
                f'{path}: {width}x{height} pixels, reduced to {smaller[0]}x{smaller[1]} before the test pipeline (the longest '
                f'side that is drawn is {LONGEST_SIDE}).'
            )
        inputs = packed['inputs']
        batch = dict(inputs=[inputs], data_samples=[packed['data_samples']])
        preprocess: Any = self.model.data_preprocessor
        try:
            tensor = preprocess(batch, False)['inputs']
        except (RuntimeError, AssertionError) as error:
            raise self._wrong_channels(path, inputs, error) from None
        picture = as_picture(inputs.permute(1, 2, 0).numpy())
        return Prepared(tensor.to(self.device), picture, (width, height), note)

    @staticmethod
    def _pipeline(path: Path, steps: Sequence[Callable], read: Dict[str, Any]) -> Dict[str, Any]:
        results = copy.copy(read)
        try:
            for step in steps:
                results = step(results)
            if not isinstance(results['inputs'], Tensor):
                raise KeyError('inputs')
            return results
        except Exception as error:  # a pipeline may run any code
            raise UserError(
                f'{path}: the test pipeline of the config needs annotations, or does not return a single image '
                f'({type(error).__name__}: {error}). Change test_dataloader.dataset.pipeline.'
            ) from error

    def forward(self, prepared: Prepared, path: Any = '') -> None:
        """Runs the network up to the raw outputs of its heads. Gradients are recorded unless the caller disables them.

        Raises:
            UserError: If the image has another number of channels than the model expects.
        """
        try:
            recorded_tensors(self.model, prepared.tensor, self.task)
        except RuntimeError as error:
            if 'channels' not in str(error):
                raise
            raise self._wrong_channels(path, prepared.tensor[0], error) from None

    def _wrong_channels(self, path: Any, image: Tensor, error: Exception) -> UserError:
        return UserError(
            f'{path}: the model {self.name} does not support images of {image.shape[0]} channels ({first_line(error)}). '
            'Give images like those that it was trained on, or change the loading step of its test pipeline.'
        )

    def dataset_images(self, number: int) -> List[ImageFile]:
        """Returns evenly spaced images of the config's test set.

        Raises:
            UserError: If the config has no test set, or its files are missing.
        """
        key = 'test_dataloader' if self.cfg.get('test_dataloader') else 'val_dataloader'
        if not _test_dataset(self.cfg):
            raise UserError(
                f'{self.config} has no test_dataloader.dataset to take images from. Give --images PATH.'
            )
        check_datasets(self.cfg, (key,))
        paths = image_paths(DATASETS.build(_test_dataset(self.cfg)))
        if not paths:
            raise UserError(f'{self.config}: {key}.dataset names no image files. Give --images.')
        number = min(number, len(paths))
        chosen = [paths[index * len(paths) // number] for index in range(number)]
        return [ImageFile(Path(path), Path(Path(path).name)) for path in chosen]


def _test_dataset(cfg: Config) -> Dict[str, Any]:
    return (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
