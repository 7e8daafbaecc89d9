"""What every converter refuses: names that do not match one to one, and numbers that no trained network has."""

from typing import Sequence

import torch
from torch import Tensor

from ..engine.errors import UserError


def refuse_names(source: str, network: str, verb: str, names: Sequence[str], advice: str) -> None:
    """Raise when there are names on one side only.

    Args:
        source: Name of the file, for messages.
        network: What the file looks like.
        verb: ``'lacks'`` for names of the network, ``'has'`` for names of the file.
        names: The names; none of them is fine.
        advice: What to do.

    Raises:
        UserError: Naming the first three and telling how many there are.
    """
    if not names:
        return
    shown = ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
    number = '1 tensor' if len(names) == 1 else f'{len(names)} tensors'
    what = {'lacks': 'that the network needs', 'has': 'that the network does not have'}[verb]
    raise UserError(
        f'SRC: {source} looks like {network} but {verb} {number} {what}: {shown}. {advice}'
    )


def require_sane(tensor: Tensor, name: str, source: str) -> Tensor:
    """Return a tensor whose numbers a trained network can have.

    Args:
        tensor: In float32.
        name: Its name in the file.
        source: Name of the file, for messages.

    Raises:
        UserError: When a number is not finite, or a running variance is negative.
    """
    if not torch.isfinite(tensor).all():
        raise UserError(
            f'SRC: {source}: the tensor {name} has numbers that are not finite in float32. Use a checkpoint from before '
            'training diverged, or fetch the file again.'
        )
    if name.endswith('.running_var') and bool((tensor < 0).any()):
        raise UserError(
            f'SRC: {source}: the variance {name} is negative ({tensor.min():g}). The file is damaged; fetch it again.'
        )
    return tensor
