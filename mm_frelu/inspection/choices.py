r"""Where funnel activations choose the window.

:math:`y = \max(x, T(x))` is larger than :math:`x` exactly where the window was chosen, whatever computed it: every backend
gives :math:`x` itself where that is the maximum. So input and output tell the choice, and nothing is computed twice.
"""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple

import torch
from torch import Tensor, nn

from mm_frelu.activations.live import recording_disabled

See = Callable[[str, Tensor, Tensor], None]
"""Is told a layer's name, its input and its output."""


@contextmanager
def watched(layers: Mapping[str, nn.Module], see: See) -> Iterator[None]:
    """Tell of each call of some activations. A layer that is called again is told as ``name#2``, ``name#3``, ...

    Args:
        layers: The activations by name.
        see: Called in the order of the network.
    """
    calls: Dict[str, int] = {}
    handles, inplace = [], {}

    def hook_of(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, out: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            see(name if calls[name] == 1 else f'{name}#{calls[name]}', args[0], out)

        return hook

    with recording_disabled():
        try:
            module: Any  # nn.Module says that an attribute is a tensor or a module
            for name, module in layers.items():
                if hasattr(module, 'inplace'):  # the input has to be there after the call
                    inplace[module], module.inplace = module.inplace, False
                handles.append(module.register_forward_hook(hook_of(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module, value in inplace.items():
                module.inplace = value


def chose_window(x: Tensor, y: Tensor) -> Tensor:
    """Where the window is the larger, a boolean tensor of the shape of ``x``. A tie is the pixel's."""
    return y > x


class ChannelCounts(NamedTuple):
    """How often the channels of a layer chose the window.

    Attributes:
        chosen: Pixels that chose it, for each channel, of shape (C,), ``int64``.
        pixels: Pixels of a channel.
    """

    chosen: Tensor
    pixels: int

    @classmethod
    def of(cls, chosen: Tensor) -> 'ChannelCounts':
        """Count in a boolean tensor of shape (N, C, H, W)."""
        return cls(chosen.sum(dim=(0, 2, 3)).cpu(), chosen[:, 0].numel())

    def __add__(self, other: 'ChannelCounts') -> 'ChannelCounts':  # type: ignore[override]
        """The counts of both."""
        return ChannelCounts(self.chosen + other.chosen, self.pixels + other.pixels)

    @property
    def shares(self) -> Tensor:
        """Share of the pixels that chose the window, for each channel."""
        return self.chosen.double() / self.pixels

    @property
    def share(self) -> float:
        """Share of the pixels of all channels."""
        return float(self.shares.mean())

    @property
    def always(self) -> list:
        """Channels in which every pixel chose the window: there the activation is the window alone."""
        return torch.nonzero(self.chosen == self.pixels).flatten().tolist()

    @property
    def never(self) -> list:
        """Channels in which no pixel chose it: there the activation is the identity."""
        return torch.nonzero(self.chosen == 0).flatten().tolist()
