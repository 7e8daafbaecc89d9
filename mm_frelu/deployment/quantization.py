"""int8 networks: static quantisation by onnxruntime.

Convolutions compute with 8-bit integers, the weights of each output channel with a scale of its own, the feature maps with one scale
each, found on calibration images. All else, the box arithmetic of a detector above all, stays in single precision.
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
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.output_names import image_paths
from mm_frelu.visualization.image_files import find_images

from .evaluation import quiet, rgb
from .packages import require_package

METHODS = {'minmax': 'MinMax', 'entropy': 'Entropy', 'percentile': 'Percentile'}
"""How onnxruntime finds the range of a feature map."""

_OF_LABELS = ('LoadAnnotations', 'CheckLabelIds')
_FIRST_OPSET = 13
"""The first in which each channel can have a scale of its own."""


def calibration_images(cfg: Config, number: int, files: Sequence[str] = ()) -> List[np.ndarray]:
    """Images as an exported network of a config takes them.

    Args:
        cfg: The config, whose test pipeline prepares them.
        number: How many, at most; evenly spread over the training set.
        files: Files or folders to take instead of the training set.

    Returns:
        RGB pixels of shape (1, 3, H, W), float32.

    Raises:
        UserError: When there are none.
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
            f'{cfg.filename}: the training set does not say which files its images are. Name some: --images PATH ...'
        )
    steps = [
        step
        for step in test_pipeline(cfg)
        if str(step.get('type')).rsplit('.', 1)[-1] not in _OF_LABELS
    ]
    prepare = Compose(steps)
    chosen = np.linspace(0, len(paths) - 1, min(number, len(paths))).round().astype(int)
    return [_read(prepare, paths[index]) for index in track(chosen, 'Reading images')]


def _read(prepare: Compose, path: str) -> np.ndarray:
    try:
        return rgb(prepare(dict(img_path=path, img_id=0))['inputs'])
    except Exception as error:  # each decoder has its own
        raise UserError(f'{path} cannot be read as an image ({error}).') from error


def quantize(content: bytes, images: Sequence[np.ndarray], method: str = 'minmax') -> bytes:
    """Quantise an ONNX model.

    Args:
        content: Of its file, as export_onnx.py writes it, in single precision.
        images: Calibration images.
        method: A key of :data:`METHODS`.

    Returns:
        The content of the int8 file.

    Raises:
        UserError: When it does not take the images.
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
            # The shapes of all tensors, by onnx. The graph stays: its optimised form may be one for this machine only.
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
        except Exception as error:  # onnxruntime has its own
            reason = str(error).strip().splitlines()[0][:160]
            raise UserError(
                f'onnxruntime cannot quantise this model ({reason}). If the images have other sizes than its input, export '
                'it with --dynamic.'
            ) from error
        quantized = onnx.load(target)
    described = {entry.key: entry.value for entry in model.metadata_props}
    described['precision'] = json.dumps('int8')
    onnx.helper.set_model_props(quantized, described)
    onnx.checker.check_model(quantized)
    return quantized.SerializeToString()


def check_model(content: bytes, task: str) -> None:
    """Refuse what cannot be quantised and tested, before anything is computed.

    Args:
        content: Of an ONNX file.
        task: The task of the config whose test set it is tested on.

    Raises:
        UserError: When the model is of half precision, of an old opset, or gives nothing that the metrics compare.
    """
    model = require_package('onnx').load_model_from_string(content)
    described = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    if described.get('task') != task:
        raise UserError(
            f'MODEL is for {described.get("task", "something unknown")}, the config for {task}, and both files are tested on its '
            'test set. Give the file that export_onnx.py makes of the whole model of this config.'
        )
    if described['precision'] != 'float32':
        raise UserError(
            f'MODEL computes in {described["precision"]}; int8 is made from single precision. Export it without --fp16.'
        )
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    if opset < _FIRST_OPSET:
        raise UserError(
            f'MODEL is of opset {opset}, and quantisation needs {_FIRST_OPSET} or later. Export it without --opset.'
        )
