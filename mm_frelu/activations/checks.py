"""Checks of arguments that the activation layers share, so that their messages agree."""

import math
from numbers import Integral, Real
from typing import Any, Optional, Tuple

from torch import Tensor

from ..ops.context import is_exporting


def check_channels(name: str, num_channels: Optional[int]) -> int:
    """Check the channel count, which configs often omit.

    Args:
        name: Class name of the layer.
        num_channels: The argument that the layer was given.

    Returns:
        The channel count.

    Raises:
        TypeError: If it is missing.
        ValueError: If it is not a positive integer.
    """
    if num_channels is None:
        raise TypeError(
            f'{name} needs the number of channels of its input. Write '
            f"act_cfg=dict(type='{name}', num_channels=64), or build it with "
            f'mm_frelu.build_activation(act_cfg, num_channels), which fills it in.'
        )
    check_positive(name, 'num_channels', num_channels)
    return num_channels


def check_input(name: str, x: Any, num_channels: int) -> None:
    """Check the input of a layer.

    Args:
        name: Class name of the layer.
        x: Its input.
        num_channels: Channels that the layer was built for.

    Raises:
        TypeError: If ``x`` is not a tensor.
        ValueError: If the shape of ``x`` is not (N, num_channels, H, W).
    """
    if is_exporting():  # shapes are not plain numbers there
        return
    if not isinstance(x, Tensor):
        raise TypeError(
            f'{name} takes a tensor of shape (N, {num_channels}, H, W), got {type(x).__name__}. Convert it with '
            f'torch.as_tensor.'
        )
    if x.dim() != 4 or x.shape[1] != num_channels:
        raise ValueError(
            f'{name} was built for {num_channels} channels and takes (N, {num_channels}, H, W), got an input of shape '
            f'{tuple(x.shape)}. Set num_channels to the number of channels of the input.'
        )


def check_positive(name: str, key: str, value: int) -> None:
    """Raise ValueError unless the argument ``key`` of the layer ``name`` is a positive integer."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{name}: {key} must be a positive integer, got {value!r}.')


def check_positive_number(name: str, key: str, value: float) -> None:
    """Raise ValueError unless the argument is a finite number above zero."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f'{name}: {key} must be a positive number, got {value!r}.')


def check_flag(name: str, key: str, value: bool) -> None:
    """Raise ValueError unless the argument is a bool. The string 'no' from a command line would count as True."""
    if not isinstance(value, bool):
        raise ValueError(f'{name}: {key} must be True or False, got {value!r}.')


def check_choice(name: str, key: str, value: Any, choices: Tuple[str, ...]) -> None:
    """Raise ValueError unless the argument is one of ``choices``."""
    if value not in choices:
        raise ValueError(f'{name}: {key} must be one of {", ".join(choices)}; got {value!r}.')
