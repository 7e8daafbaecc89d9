"""Squeeze-and-excitation of MobileNetV3 (Howard et al., ICCV 2019, section 5.3; Hu et al., CVPR 2018)."""

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..activations.dynamic_relu import hard_sigmoid


class HardSqueezeExcitation(nn.Module):
    """Scale each channel by a number between 0 and 1 that depends on the whole input.

    The layers are global average pooling, a 1x1 convolution, ReLU, a 1x1 convolution, and hard sigmoid. Parameter names are
    those of ``SELayer`` in mmseg and mmpretrain.

    Args:
        channels: Channels of the input.
        squeezed: Channels between the two convolutions.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, squeezed, 1, act_cfg=dict(type='ReLU'))
        self.conv2 = ConvModule(squeezed, channels, 1, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels.

        Args:
            x: Features of shape (N, channels, H, W).

        Returns:
            Features of the same shape.
        """
        scale = self.conv2(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        return x * hard_sigmoid(scale)
