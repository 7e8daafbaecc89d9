"""Features of one layer for one image: means of the channels, and the effective receptive field of a position.

Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS 2016.
"""

from contextlib import suppress
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from mm_frelu.activations.live import recording_disabled
from mm_frelu.engine.errors import UserError

from .layers import StopForward


class Features(NamedTuple):
    """Output of a layer for one image.

    Attributes:
        maps: Feature maps of shape (C, H, W).
        gradient: Absolute gradient with respect to the input, summed over the colours, of shape (h, w). The gradient is that
            of the sum over all channels at one position of the maps.
        position: Row and column of that position.
    """

    maps: Tensor
    gradient: Tensor
    position: Tuple[int, int]

    @property
    def means(self) -> Tensor:
        """Mean of each channel over all positions, of shape (C,)."""
        return self.maps.mean(dim=(1, 2))


def features_at(
    module: nn.Module,
    name: str,
    image: Tensor,
    run: Callable[[Tensor], Any],
    pixel: Tuple[float, float],
) -> Features:
    """Run a model up to a layer, and compute the gradient from one position.

    Args:
        module: The layer. Only its first call is used.
        name: Its name, for messages.
        image: Input of the network, of shape (1, C, h, w).
        run: Function that runs the model on the image.
        pixel: Row and column of a pixel of ``image``. The position of the maps whose cell contains it is used.

    Returns:
        The features.

    Raises:
        UserError: If the layer did not run, or its output is not a feature map.
    """
    found: Dict[str, Tensor] = {}

    def hook(layer: nn.Module, args: tuple, out: Any) -> None:
        if not isinstance(out, Tensor) or out.dim() != 4:
            raise UserError(
                f'The output of {name} is not a feature map of shape (N, C, H, W). Choose another layer.'
            )
        found['maps'] = out
        raise StopForward

    image = image.detach().clone().requires_grad_()
    handle = module.register_forward_hook(hook)
    try:
        with suppress(StopForward), recording_disabled(), torch.enable_grad():
            run(image)
    finally:
        handle.remove()
    if not found:
        raise UserError(
            f'{name} does not run when the model is tested (like an auxiliary head). Choose another layer.'
        )
    maps = found['maps']
    row, column = (
        min(int(place * size / length), size - 1)
        for place, size, length in zip(pixel, maps.shape[-2:], image.shape[-2:])
    )
    (gradient,) = torch.autograd.grad(maps[0, :, row, column].sum(), image)
    return Features(
        maps[0].detach().cpu(), gradient[0].abs().sum(dim=0).detach().cpu(), (row, column)
    )


def side_that_holds(gradient: Tensor, pixel: Tuple[float, float], share: float) -> int:
    """Compute the side of the smallest square around a pixel that contains a given fraction of the gradient.

    Args:
        gradient: Non-negative gradient of shape (h, w).
        pixel: Row and column of the centre.
        share: The fraction, between 0 and 1.

    Returns:
        The side in pixels, an odd number; 0 if the gradient is zero everywhere.
    """
    total = gradient.sum().double()
    if not total:
        return 0
    rows = (torch.arange(gradient.shape[0]) - int(pixel[0])).abs()
    columns = (torch.arange(gradient.shape[1]) - int(pixel[1])).abs()
    distance = torch.maximum(rows[:, None], columns[None])
    rings = torch.zeros(int(distance.max()) + 1, dtype=torch.double)
    rings.scatter_add_(0, distance.flatten(), gradient.double().flatten())
    radius = int(torch.searchsorted(rings.cumsum(0), share * total - 1e-12 * total))
    return 2 * min(radius, len(rings) - 1) + 1


def most_different(first: Tensor, second: Tensor, number: int) -> List[int]:
    """Return the channels whose means differ most between two layers, in descending order of the difference."""
    channels = min(len(first), len(second))
    differences = (first[:channels] - second[:channels]).abs()
    return torch.topk(differences, min(number, channels)).indices.tolist()
