"""Checks of the options that the backbones share."""

from typing import Any, Sequence


def check_out_indices(out_indices: Sequence[int], num_outputs: int) -> None:
    """Reject the index of an output that the network does not have.

    Raises:
        ValueError: If an index is out of range.
    """
    if not isinstance(out_indices, (list, tuple)):
        raise ValueError(f'out_indices={out_indices!r} must be a tuple of numbers.')
    if not all(index in range(num_outputs) for index in out_indices):
        raise ValueError(f'out_indices={out_indices!r} must lie in 0..{num_outputs - 1}.')


def check_frozen_stages(frozen_stages: int, num_stages: int) -> None:
    """Reject a number of frozen stages that the network does not have.

    Raises:
        ValueError: If it is out of range.
    """
    if frozen_stages not in range(-1, num_stages + 1):
        raise ValueError(f'frozen_stages must lie in -1..{num_stages}; got {frozen_stages!r}.')


def check_switches(**switches: Any) -> None:
    """Reject values other than True and False. The string 'no' from a command line would count as True.

    Raises:
        ValueError: If there is such a value. The message names the first one.
    """
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f'{key} must be True or False; got {value!r}.')


def check_widen_factor(widen_factor: float) -> None:
    """Reject a factor that is not a positive number.

    Raises:
        ValueError: If it is not positive.
    """
    if not isinstance(widen_factor, (int, float)) or widen_factor <= 0:
        raise ValueError(f'widen_factor must be a positive number; got {widen_factor!r}.')


def check_per_stage(num_stages: int, **values: Sequence[int]) -> None:
    """Reject a list that does not have one entry for each stage.

    Raises:
        ValueError: If there is such a list. The message names the first one.
    """
    for key, value in values.items():
        if len(value) != num_stages:
            raise ValueError(
                f'{key}={value!r} must have one entry for each of {num_stages} stages.'
            )
