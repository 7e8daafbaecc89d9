"""The piecewise linear map of DY-ReLU: one entry, whatever computes it."""

from typing import Callable, Dict, Optional

from torch import Tensor

from . import fused
from .eager import eager_piecewise_max
from .implementation import Choice, choose, why_no_custom_gradient
from .recompute import recompute_piecewise_max


def choose_piecewise(x: Tensor, pieces: int, implementation: str = 'auto') -> Choice:
    """Which implementation :func:`piecewise_max` takes, and why.

    It does not ask for the coefficients: a layer knows what pools its input before it has them.

    Args:
        x: Features of shape (N, C, H, W).
        pieces: Number of linear pieces.
        implementation: ``'auto'``, ``'eager'``, ``'recompute'`` or ``'triton'``, see :mod:`.implementation`.

    Raises:
        ValueError: If there is no such implementation.
        RuntimeError: If the one that was asked for cannot compute this case.
    """

    def why_not_triton() -> Optional[str]:
        return why_no_custom_gradient() or fused.why_not_piecewise(x, pieces)

    candidates = [('triton', why_not_triton), ('recompute', why_no_custom_gradient)]
    return choose(implementation, candidates)


def piecewise_max(
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor] = None,
    attention: Optional[Tensor] = None,
    implementation: str = 'auto',
) -> Tensor:
    r""":math:`y = \pi \max_k (a^k x + b^k)` (DY-ReLU paper, equation 2 and figure 2).

    Where several pieces are equal the last of them gets the whole gradient. So ``a = (1, 0)``, ``b = (0, 0)`` is ReLU in
    its gradient too, which is zero at zero; and pieces that start equal do not stay equal for ever, as they would if they
    shared the gradient.

    Args:
        x: Features of shape (N, C, H, W).
        slopes: :math:`a`, of shape (K, N, C, 1, 1), or (K, N, 1, 1, 1) where the channels share them; of the type of
            ``x``.
        intercepts: :math:`b`, of the shape of ``slopes``; none is zero.
        attention: :math:`\pi`, of shape (N, 1, H, W) and of the type of ``x``; none is one.
        implementation: ``'auto'``, ``'eager'``, ``'recompute'`` or ``'triton'``, see :mod:`.implementation`.

    Returns:
        Features of the shape of ``x``.

    Raises:
        ValueError: If there is no such implementation, or the coefficients do not fit to the features.
        RuntimeError: If the one that was asked for cannot compute this case.
    """
    choice = choose_piecewise(x, len(slopes), implementation)
    return compute_piecewise_max(choice, x, slopes, intercepts, attention)


def compute_piecewise_max(
    choice: Choice,
    x: Tensor,
    slopes: Tensor,
    intercepts: Optional[Tensor],
    attention: Optional[Tensor] = None,
) -> Tensor:
    """Compute the map with the implementation that was chosen."""
    return _ways()[choice.name](x, slopes, intercepts, attention)


def _ways() -> Dict[str, Callable[..., Tensor]]:
    return {
        'eager': eager_piecewise_max,
        'recompute': recompute_piecewise_max,
        'triton': fused.fused_piecewise_max,
    }
