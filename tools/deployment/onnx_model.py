"""Run a file of export_onnx.py with onnxruntime: from an image of any size to labels, boxes or scores for that size.

This module does not import torch or OpenMMLab. Together with run_onnx.py and onnx_pictures.py, it can be copied to a machine that has
only numpy, OpenCV, Pillow and onnxruntime.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import cv2
import numpy as np

Result = Dict[str, np.ndarray]


class OnnxError(ValueError):
    """Error in the user's input: a file, an image or a missing package. The message says what to do."""


class OnnxModel:
    """An exported network with its classes and colours.

    Args:
        path: The ONNX file.

    Raises:
        OnnxError: When onnxruntime is missing, or the file was not written by export_onnx.py.

    Attributes:
        task: ``'segmentation'``, ``'detection'``, ``'classification'`` or ``'features'``.
        classes: Names of the classes; empty for features.
        palette: One RGB colour for each class, ``uint8`` (classes, 3), for segmentation and detection.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise OnnxError(
                f"onnxruntime cannot be imported ({error}). Install it: pip install 'mm_frelu[export]', or onnxruntime alone."
            ) from error
        self.path = Path(path)
        if not self.path.is_file():
            raise OnnxError(
                f'MODEL {path}: there is no such file (looked for {self.path.absolute()}). Give images first, the model last.'
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime raises its own types
            raise OnnxError(
                f'MODEL {path} cannot be read as ONNX ({first_line(error)}). Give images first, the model last.'
            ) from None
        described = self.session.get_modelmeta().custom_metadata_map
        if 'mm_frelu' not in described.get('made_by', ''):  # others have a "task" too
            raise OnnxError(
                f'MODEL {path} was not written by tools/deployment/export_onnx.py: its metadata have no made_by="mm_frelu ...". '
                'Export it with tools/deployment/export_onnx.py.'
            )
        self._described = {key: json.loads(value) for key, value in described.items()}
        self.task: str = self._described['task']
        self.classes: List[str] = self._described.get('classes', [])
        self.palette = np.array(self._described.get('palette', []), dtype=np.uint8).reshape(-1, 3)
        height, width = self.session.get_inputs()[0].shape[2:]
        self._fixed = (width, height) if isinstance(width, int) else None

    def predict(self, image: np.ndarray) -> Result:
        """Run the network on an image.

        Args:
            image: RGB ``uint8`` array (H, W, 3).

        Returns:
            Segmentation: ``labels`` (H, W). Detection: ``boxes`` (K, 4) as x1, y1, x2, y2 in pixels of the image, ``scores`` and
            ``labels`` (K,). Classification: ``scores`` (classes,). Backbones: feature maps by name.

        Raises:
            OnnxError: When the network does not support an image of this size.
        """
        size = image.shape[1::-1]
        resized, inside = self._resize(image)
        try:
            names = [output.name for output in self.session.get_outputs()]
            pixels = resized.transpose(2, 0, 1)[None].astype(np.float32)
            found = dict(zip(names, self.session.run(names, {'image': pixels})))
        except Exception as error:  # onnxruntime raises its own types
            shape = f'{resized.shape[0]}x{resized.shape[1]}'
            raise OnnxError(
                f'{self.path} does not run on {shape} pixels ({first_line(error)}).'
            ) from None
        if self.task == 'segmentation':
            return dict(labels=self._labels(found, inside, size))
        if self.task == 'detection':
            return self._boxes(found, inside, size)
        return found if self.task == 'features' else dict(scores=found['scores'][0])

    def _resize(self, image: np.ndarray) -> Tuple[np.ndarray, Tuple[int, int]]:
        """Return the input of the network, and width and height of the image inside it."""
        for step in self._described['resize']:
            image = _STEPS[step['type']](image, step)
        if self._fixed is None or self._fixed == image.shape[1::-1]:
            return image, image.shape[1::-1]
        # A file of fixed size: resize the image to fit, and pad it with the mean colour, which normalisation maps to 0.
        ratio = min(self._fixed[0] / image.shape[1], self._fixed[1] / image.shape[0])
        width, height = (max(int(side * ratio + 0.5), 1) for side in image.shape[1::-1])
        canvas = np.empty((self._fixed[1], self._fixed[0], 3), np.uint8)
        canvas[:] = np.round(self._described['mean'])
        canvas[:height, :width] = cv2.resize(image, (width, height))
        return canvas, (width, height)

    def _labels(self, found: Result, inside: Tuple[int, int], size: Tuple[int, int]) -> np.ndarray:
        if 'labels' in found:
            labels = found['labels'][0, : inside[1], : inside[0]]
            rows = ((np.arange(size[1]) + 0.5) * inside[1] / size[1]).astype(int)
            columns = ((np.arange(size[0]) + 0.5) * inside[0] / size[0]).astype(int)
            return labels[rows[:, None], columns]
        logits = found['logits'][0, :, : inside[1], : inside[0]]
        if inside != size:
            logits = np.stack([cv2.resize(plane, size) for plane in logits])
        return logits.argmax(0)

    @staticmethod
    def _boxes(found: Result, inside: Tuple[int, int], size: Tuple[int, int]) -> Result:
        ratio = np.array([size[0] / inside[0], size[1] / inside[1]] * 2)
        boxes = np.clip(found['boxes'] * ratio, 0, [*size, *size])
        return dict(found, boxes=boxes.astype(np.float32))


def read_image(path: Path) -> np.ndarray:
    """Read an image like OpenMMLab's pipelines: three channels, with the EXIF orientation applied.

    Returns:
        RGB ``uint8`` array (H, W, 3).

    Raises:
        OnnxError: When it is not an image.
    """
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise OnnxError(f'{path} cannot be read as an image ({first_line(error)}).') from None
    if image is None:
        raise OnnxError(
            f'{path} cannot be read as an image (its format is unknown, or it is damaged).'
        )
    return np.ascontiguousarray(image[..., ::-1])


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]


def _within(image: np.ndarray, scale: Tuple[int, int]) -> Tuple[int, int]:
    """Return the largest width and height of the same aspect ratio within a long and a short side, rounded like in mmcv."""
    height, width = image.shape[:2]
    ratio = min(max(scale) / max(height, width), min(scale) / min(height, width))
    return int(width * ratio + 0.5), int(height * ratio + 0.5)


def _resize(image: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    scale = step['scale']
    scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
    return cv2.resize(image, _within(image, scale) if step.get('keep_ratio') else scale)


def _resize_edge(image: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    height, width = image.shape[:2]
    edges = dict(short=min(height, width), long=max(height, width), width=width, height=height)
    ratio = step['scale'] / edges[step.get('edge', 'short')]
    return cv2.resize(image, (int(width * ratio + 0.5), int(height * ratio + 0.5)))


def _center_crop(image: np.ndarray, step: Dict[str, Any]) -> np.ndarray:
    size = step['crop_size']
    width, height = (size, size) if isinstance(size, int) else size
    top, left = (max(round((a - b) / 2), 0) for a, b in zip(image.shape, (height, width)))
    return np.ascontiguousarray(image[top : top + height, left : left + width])


_STEPS = {'Resize': _resize, 'ResizeEdge': _resize_edge, 'CenterCrop': _center_crop}
