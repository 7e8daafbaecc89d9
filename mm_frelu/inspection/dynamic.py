"""What DY-ReLUs do with many images: output against input, slopes, coefficients, attention (DY-ReLU paper, its figures)."""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mm_frelu.activations import DyReLUC

from .choices import watched
from .layers import is_mmdet_dynamic

Coefficients = Tuple[Tensor, Optional[Tensor]]


def coefficients_of(module: Any, x: Tensor) -> Coefficients:
    """Slopes and intercepts of a dynamic ReLU for an input.

    Args:
        module: A DY-ReLU of ours, or mmdet's.
        x: Features of shape (N, C, H, W).

    Returns:
        Slopes of shape (K, N, C), where C is 1 for channels that share them; intercepts of that shape, or None.
    """
    if is_mmdet_dynamic(module):
        numbers = module.conv2(module.conv1(module.global_avgpool(x))) - 0.5
        a1, b1, a2, b2 = numbers.flatten(1).split(module.channels, dim=1)
        return torch.stack([a1 * 2 + 1, a2 * 2]), torch.stack([b1, b2])
    slopes, intercepts = module.coefficients(x)
    return slopes[..., 0, 0], None if intercepts is None else intercepts[..., 0, 0]


def slope_difference(slopes: Tensor) -> Tensor:
    """How much a piecewise linear map bends: :math:`|a^1 - a^2|`; with more pieces, the largest slope minus the smallest.

    Args:
        slopes: Of shape (K, N, C).

    Returns:
        Differences of shape (N, C); zero is a straight line, 1 a ReLU.
    """
    return slopes.amax(dim=0) - slopes.amin(dim=0)


class Sample(NamedTuple):
    """Values of a layer before and after it, drawn at random from all positions and channels."""

    x: Tensor
    y: Tensor


class DynamicRecord:
    """What one DY-ReLU did, image after image.

    Args:
        per_image: Pairs of input and output that are kept of each image.
        seed: Of the generator that draws them.

    Attributes:
        differences: :func:`slope_difference` of each image, of shape (C,).
        slopes: Slopes of each image, of shape (K, C).
        intercepts: Intercepts of each image, or None.
        attention: Spatial attention of the last image, of shape (H, W), the padding included; None but for variant C.
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
        """Take note of a call with one image.

        Args:
            module: The layer.
            x: What went in, of shape (1, C, H, W).
            y: What came out.
            inside: Cuts padding off.
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
        layers: They, by name.
        records: By name of the call; those that are missing are added in the order of the network.
        inside: Cuts padding off.
        per_image: See :class:`DynamicRecord`.
        seed: Of the generator of the first layer; the next one has the next number.
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
    """The range of outputs at each input: an activation that is not dynamic has one output for one input.

    Args:
        sample: Pairs of input and output.
        bins: Intervals of equal width between the 0.5 % and the 99.5 % quantile of the inputs.
        limits: Quantiles of the outputs.

    Returns:
        Centres of the intervals that hold 20 pairs or more, of shape (B,), and the two quantiles, of shape (2, B).
    """
    low, high = torch.quantile(
        _at_most(sample.x), torch.tensor([0.005, 0.995], dtype=sample.x.dtype)
    )
    edges = torch.linspace(float(low), float(high), bins + 1)
    numbers = torch.bucketize(sample.x, edges) - 1
    centres, ranges = [], []
    for index in range(bins):
        values = sample.y[numbers == index]
        if len(values) >= 20:
            centres.append((edges[index] + edges[index + 1]) / 2)
            ranges.append(torch.quantile(values, torch.tensor(limits, dtype=values.dtype)))
    if not centres:
        return torch.empty(0), torch.empty(2, 0)
    return torch.stack(centres), torch.stack(ranges, dim=1)


def _at_most(values: Tensor, number: int = 2**20) -> Tensor:
    """Evenly chosen values: torch's quantile takes 16 million at most."""
    return values[:: max(len(values) // number, 1)]
