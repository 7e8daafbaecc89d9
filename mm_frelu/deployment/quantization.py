"""Static int8 quantisation by onnxruntime.

Convolutions compute with 8-bit integers. The weights have one scale per output channel, and each feature map has one scale,
which is determined on calibration images. Everything else, in particular the box decoding of a detector, stays in single
precision.
"""

import json
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, init_default_scope
from rich.progress import track

from mm_frelu.analysis.input_shape import test_pipeline
from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.arguments import require_library
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.output_names import image_paths
from mm_frelu.engine.unlabelled import without_labels
from mm_frelu.visualization.image_files import find_images

from .evaluation import quiet, rgb
from .packages import require_package

METHODS = {'minmax': 'MinMax', 'entropy': 'Entropy', 'percentile': 'Percentile'}
"""Methods of onnxruntime to determine the range of a feature map."""

_FIRST_OPSET = 13
"""The first opset that supports one scale per channel."""


def calibration_images(cfg: Config, number: int, files: Sequence[str] = ()) -> List[np.ndarray]:
    """Read calibration images as inputs of an exported network.

    Args:
        cfg: The config, whose test pipeline is applied.
        number: Maximum number of images, evenly spaced in the training set.
        files: Files or folders to use instead of the training set.

    Returns:
        RGB pixels of shape (1, 3, H, W), float32.

    Raises:
        UserError: If there are no images, or one cannot be read.
    """
    require_library(cfg)
    init_default_scope(cfg.default_scope)
    if files:
        paths = [str(image.path) for image in find_images(files)]
    else:
        require_keys(cfg, ('train_dataloader',), 'calibration without --images')
        check_datasets(cfg, ('train_dataloader',))
        with quiet():
            paths = image_paths(DATASETS.build(cfg.train_dataloader.dataset))
    if not paths:
        raise UserError(
            f'{cfg.filename}: the training set does not give the files of its images. Give some with --images PATH ...'
        )
    prepare = Compose(without_labels(test_pipeline(cfg)))
    chosen = np.linspace(0, len(paths) - 1, min(number, len(paths))).round().astype(int)
    return [_read(prepare, paths[index]) for index in track(chosen, 'Reading images')]


def _read(prepare: Compose, path: str) -> np.ndarray:
    try:
        return rgb(prepare(dict(img_path=path, img_id=0))['inputs'])
    except Exception as error:  # decoders raise different errors
        raise UserError(f'{path} cannot be read as an image ({error}).') from error


def quantize(content: bytes, images: Sequence[np.ndarray], method: str = 'minmax') -> bytes:
    """Quantise an ONNX model.

    Args:
        content: Content of a file of export_onnx.py in single precision.
        images: Calibration images.
        method: A key of :data:`METHODS`.

    Returns:
        The content of the int8 file.

    Raises:
        UserError: If the model does not run on the images.
    """
    onnx = require_package('onnx')
    require_package('onnxruntime')
    from onnxruntime import quantization

    model = onnx.load_model_from_string(content)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(track(images, 'Calibrating'))

        def get_next(self) -> Optional[Dict[str, np.ndarray]]:
            image = next(self.left, None)
            return None if image is None else dict(image=image)

    with tempfile.TemporaryDirectory() as folder:
        prepared, target = Path(folder) / 'prepared.onnx', Path(folder) / 'int8.onnx'
        try:
            # Infer the shapes of all tensors. The graph is not optimised, because that may be specific to this machine.
            quantization.quant_pre_process(
                model, prepared, skip_optimization=True, skip_symbolic_shape=True
            )
            quantization.quantize_static(
                prepared,
                target,
                Reader(),
                op_types_to_quantize=['Conv'],
                per_channel=True,
                calibrate_method=getattr(quantization.CalibrationMethod, METHODS[method]),
            )
        except Exception as error:  # onnxruntime has its own error types
            raise UserError(
                f'onnxruntime cannot quantise this model ({first_line(error)}). If the images have other sizes than its input, export '
                'it with --dynamic.'
            ) from error
        quantized = onnx.load(target)
    described = {entry.key: entry.value for entry in model.metadata_props}
    described['precision'] = json.dumps('int8')
    onnx.helper.set_model_props(quantized, described)
    onnx.checker.check_model(quantized)
    return quantized.SerializeToString()


def check_model(content: bytes, task: str) -> None:
    """Reject a model that cannot be quantised and tested, before anything is computed.

    Args:
        content: Content of an ONNX file.
        task: Task of the config that is used for testing.

    Raises:
        UserError: If the model has half precision, an old opset, outputs of another task, or is not of export_onnx.py.
    """
    model = require_package('onnx').load_model_from_string(content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if 'mm_frelu' not in metadata.get('made_by', ''):  # others have a "task" too
        raise UserError('MODEL was not written by export_onnx.py. Export it with that tool.')
    described = {key: json.loads(value) for key, value in metadata.items()}
    if described['task'] != task:
        raise UserError(
            f'MODEL is for {described["task"]}, but the config is for {task}. Both files are tested on the test set of the '
            'config. Give the file of export_onnx.py for the complete model of this config.'
        )
    if described['precision'] != 'float32':
        raise UserError(
            f'MODEL computes in {described["precision"]}, but quantisation needs single precision. Export it without --fp16.'
        )
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    if opset < _FIRST_OPSET:
        raise UserError(
            f'MODEL has opset {opset}, but quantisation needs {_FIRST_OPSET} or later. Export it without --opset.'
        )
