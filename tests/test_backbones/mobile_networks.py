"""The small MobileNets that the tests build, and weights for them."""

import torch

from mm_frelu import MobileNetV1, MobileNetV2, MobileNetV3

SMALL = {
    MobileNetV1: dict(widen_factor=0.25, out_indices=(0, 1, 2, 3, 4)),
    MobileNetV2: dict(widen_factor=0.25, out_indices=(1, 2, 4, 7)),
    MobileNetV3: dict(arch='small', out_indices=(0, 3, 8, 12)),
}
NETWORKS = list(SMALL)


def small(network, **options):
    """The network at its smallest, options as given."""
    return network(**{**SMALL[network], **options})


def randomise(model):
    """Give every parameter and statistic a random value, as after training; returns the model."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith('running_var') else -0.5
            tensor.uniform_(low, low + 1.0, generator=generator)
    return model
