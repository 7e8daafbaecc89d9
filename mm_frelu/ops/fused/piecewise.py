"""The fused piecewise linear map of DY-ReLU as the layers call it."""

from typing import Optional

from torch import Tensor

from .requirements import WHY_NO_KERNELS, why_not_features

if WHY_NO_KERNELS is None:
    from .launch import dense
    from .piecewise_ops import piecewise_max

MOST_PIECES = 8
"""Beyond this the sums of backward do not fit into registers."""


def why_not_piecewise(x: Tensor, pieces: int) -> Optional[str]:
    """Why :func:`fused_piecewise_max` cannot compute a case; None if it can.

    Args:
        x: Features of shape (N, C, H, W).
        pieces: Number of linear pieces.
    """
    reason = why_not_features(x)
    if reason is None and not 1 <= pieces <= MOST_PIECES:
        return f'{pieces} pieces, the kernels take 1 to {MOST_PIECES}'
    return reason


def fused_piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)` in one pass over memory, and one backward.

    Arithmetic is in single precision. Ties as in the eager form: the last piece gets the gradient. A second derivative does
    not exist.

    Args:
        x: Features of shape (N, C, H, W), for which :func:`why_not_piecewise` has nothing to object.
        slopes: :math:`a`, of shape (K, N, C, 1, 1), or (K, N, 1, 1, 1) where the channels share them.
        intercepts: :math:`b`, of the shape of ``slopes``; none is zero.
        attention: :math:`\pi`, of shape (N, 1, H, W); none is one.

    Returns:
        Features of the shape, type and memory format of x.

    Raises:
        ValueError: If a coefficient has another shape, type or device than the features ask for.
    """
    n, c, h, w = x.shape
    k = len(slopes)
    width = c if slopes.dim() == 5 and slopes.shape[2] == c else 1
    _check('slopes', x, slopes, (k, n, width, 1, 1))
    _check('intercepts', x, intercepts, (k, n, width, 1, 1))
    _check('attention', x, attention, (n, 1, h, w))
    return piecewise_max(dense(x), slopes, intercepts, attention)


def _check(name: str, x: Tensor, values: Optional[Tensor], shape: tuple) -> None:
    """The kernels read memory by the shapes that are due, so others are an error here."""
    if values is None:
        return
    expected, found = (
        f'{tuple(size)}, {like.dtype}, on {like.device}'
        for size, like in ((shape, x), (values.shape, values))
    )
    if found != expected:
        raise ValueError(f'The {name} are expected as {expected}; found {found}.')
