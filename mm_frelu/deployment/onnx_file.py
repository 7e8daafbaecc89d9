"""Export a network to ONNX."""

import inspect
import io
import json
import warnings
from typing import Any, Dict

import torch
from torch import Tensor

from mm_frelu.engine.errors import UserError

from .networks import Network
from .packages import require_package
from .pooling import exportable_pooling

DEFAULT_OPSET = 17
MIN_OPSET = 11
"""The first opset with the current Resize and NonMaxSuppression."""


def max_opset() -> int:
    """Return the newest opset that the tracing exporter of this PyTorch supports."""
    from torch.onnx import _constants

    for name in ('ONNX_TORCHSCRIPT_EXPORTER_MAX_OPSET', 'ONNX_MAX_OPSET'):
        if hasattr(_constants, name):
            return getattr(_constants, name)
    return DEFAULT_OPSET


def check_opset(opset: int) -> None:
    """Raise UserError unless this PyTorch supports the opset."""
    if not MIN_OPSET <= opset <= max_opset():
        raise UserError(
            f'--opset {opset}: PyTorch {torch.__version__} supports opsets {MIN_OPSET} to {max_opset()} for these networks. '
            f'Omit the option for {DEFAULT_OPSET}.'
        )


def to_onnx(
    network: Network, image: Tensor, dynamic: bool, opset: int, description: Dict[str, Any]
) -> bytes:
    """Export a network to a checked ONNX model by tracing.

    Args:
        network: The network.
        image: Pixels of shape (1, 3, H, W) for tracing.
        dynamic: Whether the file supports other heights, widths and batch sizes.
        opset: ONNX opset version.
        description: Metadata of the file. Each value is stored as JSON.

    Returns:
        The content of the file.

    Raises:
        UserError: If onnx is not installed.
        Exception: Any error of the exporter.
    """
    onnx = require_package('onnx')
    stream = io.BytesIO()
    # The newer of the two exporters needs another package, and its graphs are only correct for the size of the example.
    # An inlined function would leave its computation in the graph, in addition to the operator that replaces it.
    options = dict(dynamo=False, autograd_inlining=False)
    known = inspect.signature(torch.onnx.export).parameters
    options = {name: value for name, value in options.items() if name in known}
    with warnings.catch_warnings(), torch.no_grad(), exportable_pooling():
        # Ignore warnings that the trace may depend on the example; --verify checks that.
        warnings.simplefilter('ignore')
        export: Any = torch.onnx.export  # its type annotations lack the stream and these options
        export(
            network,
            (image,),
            stream,
            input_names=['image'],
            output_names=list(network.outputs),
            dynamic_axes=dynamic_axes(network, dynamic),
            opset_version=opset,
            **options,
        )
    model = onnx.load_model_from_string(stream.getvalue())
    for key, value in description.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def dynamic_axes(network: Network, dynamic: bool) -> Dict[str, Dict[int, str]]:
    """Return the names of the dynamic dimensions."""
    axes = dict(network.outputs)
    if not dynamic:
        return {
            name: {k: v for k, v in dims.items() if v == 'boxes'} for name, dims in axes.items()
        }
    image = {2: 'height', 3: 'width'}
    return {'image': image if network.one_image else {0: 'images', **image}, **axes}
