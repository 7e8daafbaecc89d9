"""What stands before a site in a residual network: the norm of a convolution, plus a shortcut with or without norm."""

from typing import Optional, Sequence, Tuple

from torch import Tensor, nn

Term = Tuple[Tensor, Optional[nn.Module]]
"""Features and the norm that follows them; None for no norm."""


def sum_of_norms(terms: Sequence[Term]) -> Tensor:
    """The input of a site, op by op.

    Args:
        terms: Features of one shape (N, C, H, W), each with its norm. The output of the first norm is overwritten, as
            no norm needs its output in backward.
    """
    (u, first), *others = terms
    x = u if first is None else first(u)
    for u, norm in others:
        value = u if norm is None else norm(u)
        if first is None:
            x = x + value
        else:
            x += value
    return x
