"""Open exported files as functions from an image to named outputs."""

import io
from typing import Callable, Dict, List

import numpy as np
import torch

from .packages import require_package

Run = Callable[[np.ndarray], Dict[str, np.ndarray]]
"""Function of float32 pixels of shape (N, 3, H, W)."""


def open_onnx(content: bytes) -> Run:
    """Open an ONNX file, which onnxruntime runs on the CPU.

    Raises:
        UserError: If onnxruntime is not installed.
    """
    onnxruntime = require_package('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of shapes that the exporter guessed
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]

    def run(image: np.ndarray) -> Dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {'image': image})))

    return run


def open_torchscript(content: bytes, names: List[str]) -> Run:
    """Open a TorchScript file."""
    return _run_module(torch.jit.load(io.BytesIO(content)), names)


def open_exported(content: bytes, names: List[str]) -> Run:
    """Open a file of ``torch.export``."""
    return _run_module(torch.export.load(io.BytesIO(content)).module(), names)


def _run_module(module: Callable, names: List[str]) -> Run:
    def run(image: np.ndarray) -> Dict[str, np.ndarray]:
        with torch.no_grad():
            outputs = module(torch.from_numpy(image))
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        return {name: output.numpy() for name, output in zip(names, outputs)}

    return run
