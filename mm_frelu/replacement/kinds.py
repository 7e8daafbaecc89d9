"""Which modules and functions are activations of hidden layers and may be replaced.

Gates (sigmoid, hard sigmoid, tanh) and softmax are not among them. They scale or normalise, and replacing them would change
the network.
"""

import torch
import torch.nn.functional as F
from torch import nn

from mm_frelu.activations.builder import is_activation

REPLACEABLE = frozenset(
    [
        *('ReLU', 'ReLU6', 'LeakyReLU', 'PReLU', 'RReLU', 'ELU', 'CELU', 'SELU'),
        *('GELU', 'SiLU', 'Swish', 'Mish', 'Hardswish', 'HSwish'),
    ]
)
"""Names of the activation classes of torch and mmcv that follow hidden layers. All classes of mm_frelu do."""

FUNCTIONS = {
    function: name
    for name, functions in {
        'relu': (F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_),
        'relu6': (F.relu6,),
        'leaky_relu': (F.leaky_relu, F.leaky_relu_),
        'prelu': (F.prelu, torch.prelu, torch.Tensor.prelu),
        'rrelu': (F.rrelu, F.rrelu_, torch.rrelu, torch.rrelu_),
        'elu': (F.elu, F.elu_),
        'celu': (F.celu, F.celu_, torch.celu, torch.celu_),
        'selu': (F.selu, F.selu_, torch.selu, torch.selu_),
        'gelu': (F.gelu,),
        'silu': (F.silu,),
        'mish': (F.mish,),
        'hardswish': (F.hardswish,),
    }.items()
    for function in functions
}
"""The same activations as functions, and their names."""


def is_replaceable(module: nn.Module) -> bool:
    """Whether a module is the activation of a hidden layer."""
    kind = type(module)
    ours = kind.__module__.startswith('mm_frelu.activations')
    return ours or (is_activation(module) and kind.__name__ in REPLACEABLE)
