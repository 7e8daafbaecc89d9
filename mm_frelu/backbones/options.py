"""Checks of the options that the backbones share, so that a wrong value is told in one sentence."""

from typing import Any, Sequence


def check_out_indices(out_indices: Sequence[int], num_outputs: int) -> None:
    """Refuse an index of an output that the network does not have.

    Raises:
        ValueError: If an index is out of range.
    """
    if not isinstance(out_indices, (list, tuple)):
        raise ValueError(f'out_indices={out_indices!r} must be a tuple of numbers.')
    if not all(index in range(num_outputs) for index in out_indices):
        raise ValueError(f'out_indices={out_indices!r} must lie in 0..{num_outputs - 1}.')


def check_frozen_stages(frozen_stages: int, num_stages: int) -> None:
    """Refuse a number of frozen stages that the network does not have.

    Raises:
        ValueError: If it is out of range.
    """
    if frozen_stages not in range(-1, num_stages + 1):
        raise ValueError(f'frozen_stages must lie in -1..{num_stages}; got {frozen_stages!r}.')


def check_switches(**switches: Any) -> None:
    """Refuse what is neither True nor False; the word 'no' from a command line would count as True.

    Raises:
        ValueError: Naming the first such option.
    """
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f'{key} must be True or False; got {value!r}.')


def check_widen_factor(widen_factor: float) -> None:
    """Refuse a factor that is no positive number.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(widen_factor, (int, float)) or widen_factor <= 0:
        raise ValueError(f'widen_factor must be a positive number; got {widen_factor!r}.')


def check_per_stage(num_stages: int, **values: Sequence[int]) -> None:
    """Refuse a list that does not have one entry for each stage.

    Raises:
        ValueError: Naming the first such option.
    """
    for key, value in values.items():
        if len(value) != num_stages:
            raise ValueError(
                f'{key}={value!r} must have one entry for each of {num_stages} stages.'
            )
