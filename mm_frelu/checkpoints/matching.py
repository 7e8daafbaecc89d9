"""Checks of all converters: names must match one to one, and values must be those of a trained network."""

from typing import Sequence

import torch
from torch import Tensor

from ..engine.errors import UserError, listed


def refuse_names(source: str, network: str, verb: str, names: Sequence[str], advice: str) -> None:
    """Raise an error if a tensor exists only in the file or only in the network.

    Args:
        source: Name of the file, for messages.
        network: Network that the file seems to belong to.
        verb: ``'lacks'`` for names of the network, ``'has'`` for names of the file.
        names: Names of these tensors. If empty, the check passes.
        advice: What the user can do.

    Raises:
        UserError: If there are such names. The message has the first three and their number.
    """
    if not names:
        return
    number = '1 tensor' if len(names) == 1 else f'{len(names)} tensors'
    what = {'lacks': 'that the network needs', 'has': 'that the network does not have'}[verb]
    raise UserError(
        f'SRC: {source} looks like {network} but {verb} {number} {what}: {listed(names, 3)}. {advice}'
    )


def require_sane(tensor: Tensor, name: str, source: str) -> Tensor:
    """Check that the values of a tensor are possible in a trained network, and return the tensor.

    Args:
        tensor: A float32 tensor.
        name: Its name in the file.
        source: Name of the file, for messages.

    Raises:
        UserError: If a value is not finite, or a running variance is negative.
    """
    if not torch.isfinite(tensor).all():
        raise UserError(
            f'SRC: {source}: the tensor {name} has values that are not finite in float32. Use a checkpoint from before '
            'the training diverged, or download the file again.'
        )
    if name.endswith('.running_var') and bool((tensor < 0).any()):
        raise UserError(
            f'SRC: {source}: the variance {name} is negative ({tensor.min():g}). The file is damaged. Download it again.'
        )
    return tensor
