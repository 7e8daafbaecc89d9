"""A site with the norm before it, which is part of what the site costs."""

from typing import List, Optional, Sequence

from torch import Tensor, nn

from ..activations import FunnelActivation
from ..ops import Term, sum_of_norms
from ..ops.implementation import has_hooks


def activate(act: nn.Module, terms: Sequence[Term], recompute_norms: bool) -> Tensor:
    """Activation of a sum of norms.

    Args:
        act: The site's activation.
        terms: Features and the norm behind each, or None.
        recompute_norms: Whether a funnel activation may keep what goes into the norms instead of what comes out.

    Returns:
        The activated features.
    """
    if recompute_norms and isinstance(act, FunnelActivation):
        return act.after_norms(terms)
    return act(sum_of_norms(terms))


def shortcut_term(downsample: Optional[nn.Module], x: Tensor) -> Term:
    """The shortcut of a block, its norm apart if it ends with one.

    Args:
        downsample: The projection, or None for the identity.
        x: The block's input.
    """
    if downsample is None:
        return x, None
    if type(downsample) is not nn.Sequential or has_hooks(downsample):
        return downsample(x), None
    layers: List[nn.Module] = list(downsample)
    for layer in layers[:-1]:
        x = layer(x)
    return x, layers[-1]
