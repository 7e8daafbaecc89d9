"""Record DY-ReLUs over many images: output against input, slopes, coefficients, attention (figures of the DY-ReLU paper)."""

from contextlib import contextmanager
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from torch import Tensor, nn

from mm_frelu.activations import DyReLUC

from .choices import watched
from .layers import is_mmdet_dynamic

Coefficients = Tuple[Tensor, Optional[Tensor]]


def coefficients_of(module: Any, x: Tensor) -> Coefficients:
    """Compute slopes and intercepts of a dynamic ReLU for an input.

    Args:
        module: A DY-ReLU of this package or of mmdet.
        x: Features of shape (N, C, H, W).

    Returns:
        Slopes of shape (K, N, C), where C is 1 if the channels share them; intercepts of the same shape, or None.
    """
    if is_mmdet_dynamic(module):
        numbers = module.conv2(module.conv1(module.global_avgpool(x))) - 0.5
        a1, b1, a2, b2 = numbers.flatten(1).split(module.channels, dim=1)
        return torch.stack([a1 * 2 + 1, a2 * 2]), torch.stack([b1, b2])
    slopes, intercepts = module.coefficients(x)
    return slopes[..., 0, 0], None if intercepts is None else intercepts[..., 0, 0]


def slope_difference(slopes: Tensor) -> Tensor:
    """Compute the nonlinearity of a piecewise linear map as the largest slope minus the smallest, :math:`|a^1 - a^2|`.

    Args:
        slopes: Slopes of shape (K, N, C).

    Returns:
        Differences of shape (N, C). The difference of a linear map is 0, that of ReLU is 1.
    """
    return slopes.amax(dim=0) - slopes.amin(dim=0)


class Sample(NamedTuple):
    """Inputs and outputs of a layer, sampled from all positions and channels."""

    x: Tensor
    y: Tensor


class DynamicRecord:
    """Record of one DY-ReLU over several images.

    Args:
        per_image: Number of pairs of input and output that are kept per image.
        seed: Seed of the generator that samples the pairs.

    Attributes:
        differences: :func:`slope_difference` of each image, of shape (C,).
        slopes: Slopes of each image, of shape (K, C).
        intercepts: Intercepts of each image, or None.
        attention: Spatial attention of the last image, of shape (H, W), including padding. None except for variant C.
    """

    def __init__(self, per_image: int = 2000, seed: int = 0) -> None:
        self.per_image = per_image
        self._generator = torch.Generator().manual_seed(seed)
        self._x: List[Tensor] = []
        self._y: List[Tensor] = []
        self.differences: List[Tensor] = []
        self.slopes: List[Tensor] = []
        self.intercepts: List[Optional[Tensor]] = []
        self.attention: Optional[Tensor] = None

    def add(
        self,
        module: nn.Module,
        x: Tensor,
        y: Tensor,
        inside: Callable[[Tensor], Tensor] = lambda features: features,
    ) -> None:
        """Record a call with one image.

        Args:
            module: The layer.
            x: Its input, of shape (1, C, H, W).
            y: Its output.
            inside: Function that removes padding.
        """
        slopes, intercepts = coefficients_of(module, x)
        self.slopes.append(slopes[:, 0].float().cpu())
        self.intercepts.append(None if intercepts is None else intercepts[:, 0].float().cpu())
        self.differences.append(slope_difference(slopes)[0].float().cpu())
        if isinstance(module, DyReLUC):
            self.attention = module.attention(x)[0, 0].float().cpu()
        x, y = inside(x).flatten().cpu(), inside(y).flatten().cpu()
        drawn = torch.randint(len(x), (min(self.per_image, len(x)),), generator=self._generator)
        self._x.append(x[drawn].float())
        self._y.append(y[drawn].float())

    @property
    def sample(self) -> Sample:
        """Pairs of input and output over all images."""
        return Sample(torch.cat(self._x), torch.cat(self._y))


@contextmanager
def recording(
    layers: Mapping[str, nn.Module],
    records: Dict[str, DynamicRecord],
    inside: Callable[[Tensor], Tensor] = lambda features: features,
    per_image: int = 2000,
    seed: int = 0,
) -> Iterator[None]:
    """Record the calls of some DY-ReLUs.

    Args:
        layers: The layers by name.
        records: Records by name of the call. Missing ones are added in the order of the network.
        inside: Function that removes padding.
        per_image: See :class:`DynamicRecord`.
        seed: Seed for the first layer. It is increased by 1 for each further layer.
    """

    def see(name: str, x: Tensor, y: Tensor) -> None:
        if name not in records:
            records[name] = DynamicRecord(per_image, seed + len(records))
        records[name].add(layers[name.partition('#')[0]], x, y, inside)

    with watched(layers, see):
        yield


def band(
    sample: Sample, bins: int = 40, limits: Tuple[float, float] = (0.01, 0.99)
) -> Tuple[Tensor, Tensor]:
    """Compute the range of outputs for each input. A static activation has a single output for each input.

    Args:
        sample: Pairs of input and output.
        bins: Number of intervals of equal width between the 0.5 % and the 99.5 % quantile of the inputs.
        limits: Quantiles of the outputs.

    Returns:
        Centres of the intervals with at least 20 pairs, of shape (B,), and the two quantiles, of shape (2, B).
    """
    low, high = quantiles(sample.x, (0.005, 0.995)).tolist()
    edges = torch.linspace(low, high, bins + 1)
    numbers = torch.bucketize(sample.x, edges) - 1
    centres, ranges = [], []
    for index in range(bins):
        values = sample.y[numbers == index]
        if len(values) >= 20:
            centres.append((edges[index] + edges[index + 1]) / 2)
            ranges.append(quantiles(values, limits))
    if not centres:
        return torch.empty(0), torch.empty(2, 0)
    return torch.stack(centres), torch.stack(ranges, dim=1)


def quantiles(values: Tensor, shares: Union[float, Sequence[float]]) -> Tensor:
    """Compute quantiles of any number of values. ``torch.quantile`` supports at most 16 million."""
    return torch.as_tensor(np.quantile(values.numpy(), shares), dtype=values.dtype)
