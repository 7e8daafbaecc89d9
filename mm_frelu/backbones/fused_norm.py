"""Call an activation together with the norm before it, so that a fused backend can compute both."""

from typing import Any, List, Optional, Sequence

from mmcv.cnn import ConvModule
from mmengine.model import Sequential
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..activations import FunnelActivation
from ..ops import Branch, sum_of_norms
from ..ops.modules import has_hooks


def activate(act: nn.Module, branches: Sequence[Branch], recompute_norms: bool) -> Tensor:
    """Apply an activation to a sum of norm outputs.

    Args:
        act: The activation.
        branches: Features, each with the norm that follows it, or None.
        recompute_norms: Whether a funnel activation may save the inputs of the norms for backward instead of their outputs.

    Returns:
        The activated features.
    """
    has_norm = any(norm is not None for _, norm in branches)
    if recompute_norms and has_norm and isinstance(act, FunnelActivation):
        return act.after_norms(branches)
    return act(sum_of_norms(branches))


def activate_conv(act: nn.Module, conv: ConvModule, x: Tensor, recompute_norms: bool) -> Tensor:
    """Apply an activation to the output of a convolution and its norm, in a ConvModule without activation.

    Args:
        act: The activation.
        conv: The convolution and its norm.
        x: Input of the convolution.
        recompute_norms: See :func:`activate`.

    Returns:
        The activated features.
    """
    if recompute_norms and isinstance(act, FunnelActivation) and _ends_with_its_norm(conv):
        return activate(act, [(conv(x, norm=False), conv.norm)], recompute_norms)
    return act(conv(x))


def _ends_with_its_norm(conv: ConvModule) -> bool:
    """Whether a module is a convolution followed by a norm, without hooks and without a fused computation of both."""
    return (
        type(conv) is ConvModule
        and not has_hooks(conv)
        and not conv.with_activation
        and conv.order.index('conv') < conv.order.index('norm')
        and conv.efficient_conv_bn_eval_forward is None
    )


def activate_in_row(layers: nn.Module, x: Tensor, recompute_norms: bool) -> Tensor:
    """Run the layers of a Sequential, and pass each norm to the activation that follows it.

    Args:
        layers: The layers, in a Sequential. Any other module, or a Sequential with hooks, is called directly.
        x: Input of the first layer.
        recompute_norms: See :func:`activate`.

    Returns:
        Output of the last layer.
    """
    is_row = type(layers) in (nn.Sequential, Sequential) and not has_hooks(layers)
    if not (recompute_norms and is_row):
        return layers(x)
    row: Any = layers
    norm = None  # a batch norm that is applied together with the next layer
    for layer in row:
        if isinstance(layer, FunnelActivation):
            x, norm = activate(layer, [(x, norm)], recompute_norms), None
        elif isinstance(layer, _BatchNorm) and norm is None:
            norm = layer
        else:
            x, norm = layer(sum_of_norms([(x, norm)])), None
    return sum_of_norms([(x, norm)])


def shortcut_branch(downsample: Optional[nn.Module], x: Tensor) -> Branch:
    """Compute the shortcut of a block up to its final norm.

    Args:
        downsample: The projection, or None for the identity.
        x: Input of the block.

    Returns:
        Features and the norm that follows them, or None if there is none.
    """
    if downsample is None:
        return x, None
    if type(downsample) is not nn.Sequential or has_hooks(downsample):
        return downsample(x), None
    layers: List[nn.Module] = list(downsample)
    for layer in layers[:-1]:
        x = layer(x)
    return x, layers[-1]
