"""The windows that funnel activations have learned."""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_frelu.activations import FunnelActivation


def effective_windows(module: FunnelActivation) -> Dict[str, Tensor]:
    r"""Compute the weights of the window's pixels in a condition, including the norm.

    A batch norm in eval mode scales by :math:`\gamma / \sqrt{\sigma^2 + \epsilon}`. Norms that compute their statistics from the
    input only have the fixed scale :math:`\gamma`.

    Args:
        module: The activation, deployed or not.

    Returns:
        Windows of shape (C, k, k) by name. If the condition is linear, there is one window with the name ``''`` (the sum of a row
        and a column is a cross). Otherwise there is one for each convolution, such as ``'1x3'``. Empty for pooling.
    """
    side = module.kernel_size
    found = {}
    for conv, norm in module.windows:
        height, width = conv.kernel_size
        window = conv.weight.detach()[:, 0] * _scale(norm, conv.out_channels)[:, None, None]
        room = (side - width) // 2, (side - height) // 2
        found[f'{height}x{width}'] = F.pad(window, (room[0], room[0], room[1], room[1])).cpu()
    if not found:
        return {}
    if len(found) == 1 or module.combine == 'sum':
        return {'': torch.stack(list(found.values())).sum(dim=0)}
    return found


def _scale(norm: nn.Module, channels: int) -> Tensor:
    weight = getattr(norm, 'weight', None)
    scale = torch.ones(channels) if weight is None else weight.detach()
    variance = getattr(norm, 'running_var', None)
    return scale if variance is None else scale / (variance + norm.eps).sqrt()
