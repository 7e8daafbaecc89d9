"""The fused piecewise linear map of DY-ReLU as the layers call it."""

from typing import Optional

from torch import Tensor

from .requirements import WHY_NO_KERNELS, why_not_features

if WHY_NO_KERNELS is None:
    from .launch import dense
    from .piecewise_ops import piecewise_max

MOST_PIECES = 8
"""Beyond this the sums of backward do not fit into registers."""


def why_not_piecewise(
    x: Tensor, slopes: Tensor, intercepts: Optional[Tensor] = None
) -> Optional[str]:
    """Why :func:`fused_piecewise_max` cannot compute a case; None if it can. Arguments as there."""
    reason = why_not_features(x)
    if reason is not None:
        return reason
    n, c = x.shape[:2]
    if slopes.dim() != 5 or tuple(slopes.shape[1:]) not in ((n, c, 1, 1), (n, 1, 1, 1)):
        return f'slopes have the shape {tuple(slopes.shape)}, expected (K, {n}, {c} or 1, 1, 1)'
    if not 1 <= len(slopes) <= MOST_PIECES:
        return f'{len(slopes)} pieces, the kernels take 1 to {MOST_PIECES}'
    for name, coefficients in (('slopes', slopes), ('intercepts', intercepts)):
        if coefficients is None:
            continue
        if coefficients.shape != slopes.shape:
            return 'slopes and intercepts differ in shape'
        if coefficients.dtype != x.dtype:
            return f'the input is {x.dtype}, the {name} are {coefficients.dtype}'
        if coefficients.device != x.device:
            return f'the input is on {x.device}, the {name} on {coefficients.device}'
    return None


def fused_piecewise_max(x: Tensor, slopes: Tensor, intercepts: Optional[Tensor] = None) -> Tensor:
    r""":math:`y = \max_k (a^k x + b^k)` in one pass over memory, and one backward.

    Arithmetic is in single precision. Ties as in the eager form: the last piece gets the gradient. A second derivative does
    not exist.

    Args:
        x: Features of shape (N, C, H, W), for which :func:`why_not_piecewise` has nothing to object.
        slopes: :math:`a`, of shape (K, N, C, 1, 1), or (K, N, 1, 1, 1) where the channels share them.
        intercepts: :math:`b`, of the shape of ``slopes``; none is zero.

    Returns:
        Features of the shape, type and memory format of x.
    """
    return piecewise_max(dense(x), slopes, intercepts)
