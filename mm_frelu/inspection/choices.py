r"""Find the pixels where funnel activations choose the window.

:math:`y = \max(x, T(x))` is larger than :math:`x` exactly where the window was chosen, with every backend: all of them return
:math:`x` unchanged where it is the maximum. Therefore input and output determine the choice, and nothing is computed twice.
"""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple

import torch
from torch import Tensor, nn

from mm_frelu.activations.live import recording_disabled

See = Callable[[str, Tensor, Tensor], None]
"""Callback that gets the name of a layer, its input and its output."""


@contextmanager
def watched(layers: Mapping[str, nn.Module], see: See) -> Iterator[None]:
    """Call a function for each call of some activations. Further calls of a layer are named ``name#2``, ``name#3``, ...

    Args:
        layers: The activations by name.
        see: The function. It is called in the order of the network.
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
            module: Any  # nn.Module declares attributes as tensors or modules
            for name, module in layers.items():
                if hasattr(module, 'inplace'):  # the input is needed after the call
                    inplace[module], module.inplace = module.inplace, False
                handles.append(module.register_forward_hook(hook_of(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module, value in inplace.items():
                module.inplace = value


def chose_window(x: Tensor, y: Tensor) -> Tensor:
    """Return where the window was chosen, as a boolean tensor of the shape of ``x``. In a tie, the pixel is chosen."""
    return y > x


class ChannelCounts(NamedTuple):
    """Number of pixels that chose the window, for each channel of a layer.

    Attributes:
        chosen: Number of pixels that chose the window, of shape (C,), ``int64``.
        pixels: Number of pixels of a channel.
    """

    chosen: Tensor
    pixels: int

    @classmethod
    def of(cls, chosen: Tensor) -> 'ChannelCounts':
        """Count in a boolean tensor of shape (N, C, H, W)."""
        return cls(chosen.sum(dim=(0, 2, 3)).cpu(), chosen[:, 0].numel())

    def __add__(self, other: 'ChannelCounts') -> 'ChannelCounts':  # type: ignore[override]
        """Return the sum of the counts."""
        return ChannelCounts(self.chosen + other.chosen, self.pixels + other.pixels)

    @property
    def shares(self) -> Tensor:
        """Fraction of the pixels that chose the window, for each channel."""
        return self.chosen.double() / self.pixels

    @property
    def share(self) -> float:
        """Fraction of the pixels that chose the window, over all channels."""
        return float(self.shares.mean())

    @property
    def always(self) -> list:
        """Channels in which every pixel chose the window, where the output is always that of the window."""
        return torch.nonzero(self.chosen == self.pixels).flatten().tolist()

    @property
    def never(self) -> list:
        """Channels in which no pixel chose the window, where the activation is the identity."""
        return torch.nonzero(self.chosen == 0).flatten().tolist()
