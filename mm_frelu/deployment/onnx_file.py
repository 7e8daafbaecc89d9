"""Writing a network as ONNX."""

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
"""The first with Resize and NonMaxSuppression as they are today."""


def max_opset() -> int:
    """The newest opset that this PyTorch writes by tracing."""
    from torch.onnx import _constants

    for name in ('ONNX_TORCHSCRIPT_EXPORTER_MAX_OPSET', 'ONNX_MAX_OPSET'):
        if hasattr(_constants, name):
            return getattr(_constants, name)
    return DEFAULT_OPSET


def check_opset(opset: int) -> None:
    """Raise UserError unless this PyTorch can write that version of ONNX."""
    if not MIN_OPSET <= opset <= max_opset():
        raise UserError(
            f'--opset {opset}: PyTorch {torch.__version__} writes opsets {MIN_OPSET} to {max_opset()} of these networks. '
            f'Leave it out for {DEFAULT_OPSET}.'
        )


def to_onnx(
    network: Network, image: Tensor, dynamic: bool, opset: int, description: Dict[str, Any]
) -> bytes:
    """Trace a network into a checked ONNX model.

    Args:
        network: The network.
        image: Pixels of shape (1, 3, H, W) to trace with.
        dynamic: Whether the file takes other heights, widths and batch sizes.
        opset: Version of ONNX's operators.
        description: What goes into the metadata of the file, each value as JSON.

    Returns:
        The content of the file.

    Raises:
        UserError: When onnx is not installed.
        Exception: Whatever the exporter raises.
    """
    onnx = require_package('onnx')
    stream = io.BytesIO()
    # Of the two exporters the newer one needs another package, and its graphs are wrong for other sizes than that of the example.
    # An inlined function leaves what it computes in the graph, beside the operator that stands for it.
    options = dict(dynamo=False, autograd_inlining=False)
    known = inspect.signature(torch.onnx.export).parameters
    options = {name: value for name, value in options.items() if name in known}
    with warnings.catch_warnings(), torch.no_grad(), exportable_pooling():
        # Of a trace that depends on its example; whether it does is seen by --verify.
        warnings.simplefilter('ignore')
        export: Any = torch.onnx.export  # takes a stream and these options, whatever its types say
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
    """Names of the dimensions that change from run to run."""
    axes = dict(network.outputs)
    if not dynamic:
        return {
            name: {k: v for k, v in dims.items() if v == 'boxes'} for name, dims in axes.items()
        }
    image = {2: 'height', 3: 'width'}
    return {'image': image if network.one_image else {0: 'images', **image}, **axes}
