"""Squeeze-and-excitation as a plugin for residual blocks: Hu, Shen, Sun, CVPR 2018, section 3."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class SqueezeExcitation(BaseModule):
    """Scale each channel by a weight between 0 and 1 that depends on the means of all channels.

    ``SELayer`` of mmdet and mmseg cannot be used as a plugin, because it does not take the argument ``in_channels``. With
    ``position='after_conv3'`` the plugin comes before the addition, as in SENet:
    ``plugins=[dict(cfg=dict(type='mm_frelu.SqueezeExcitation'), position='after_conv3')]``.

    Args:
        in_channels: Channels of the input; the backbone fills it in.
        reduction: Factor that divides the width between the two layers; 16 in SENet.

    Raises:
        ValueError: If ``reduction`` is not an integer from 1 to ``in_channels``.

    Examples:
        >>> SqueezeExcitation(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    _abbr_ = 'se'

    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__()
        if reduction not in range(1, in_channels + 1):
            raise ValueError(
                f'SqueezeExcitation: reduction must be an integer from 1 to in_channels={in_channels}; got {reduction!r}.'
            )
        self.fc1 = nn.Conv2d(in_channels, in_channels // reduction, 1)
        self.fc2 = nn.Conv2d(in_channels // reduction, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels.

        Args:
            x: Features of shape (N, in_channels, H, W).

        Returns:
            Features of the same shape.
        """
        squeezed = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(squeezed))))
