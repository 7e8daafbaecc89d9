"""What the tests of DY-ReLU share: its layers, parameters as after training, features."""

import torch

from mm_frelu import DyReLUA, DyReLUB, DyReLUC

LAYERS = [DyReLUA, DyReLUB, DyReLUC]


def randomise(layer):
    """Random parameters, as after training; returns the layer."""
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return layer


def image(*shape, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), **options)
