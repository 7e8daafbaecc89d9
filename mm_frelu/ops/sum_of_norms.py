"""What stands before a site in a residual network: the norm of a convolution, plus a shortcut with or without norm."""

from functools import reduce
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

Term = Tuple[Tensor, Optional[nn.Module]]
"""Features and the norm that follows them; None for no norm."""


def sum_of_norms(terms: Sequence[Term]) -> Tensor:
    """The input of a site, op by op.

    Args:
        terms: Features of one shape (N, C, H, W), each with its norm.
    """
    values = [u if norm is None else norm(u) for u, norm in terms]
    return reduce(torch.add, values)
