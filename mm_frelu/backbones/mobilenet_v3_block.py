"""The block of MobileNetV3 (Howard et al., ICCV 2019, figure 4), with or without squeeze-and-excitation."""

from typing import Optional

from torch import Tensor

from .hard_squeeze_excitation import HardSqueezeExcitation
from .mobilenet import make_divisible
from .mobilenet_block import MobileBlock

SE_RATIO = 4
"""Factor that divides the width inside squeeze-and-excitation."""


class InvertedResidualV3(MobileBlock):
    """1x1 expansion, depthwise convolution, squeeze-and-excitation, and 1x1 projection without activation.

    Sites: ``act1`` after the expansion; ``act2`` after the depthwise convolution, before squeeze-and-excitation. The
    expansion is omitted if it would not change the width.

    Args:
        in_channels: Channels of the input.
        hidden: Channels inside the block.
        out_channels: Channels of the output.
        kernel_size: Size of the depthwise convolution.
        stride: Its stride.
        dilation: Its dilation.
        with_se: Whether squeeze-and-excitation follows it.
        depthwise_cfg: Config of the depthwise convolution; plain Conv2d if None.
        **options: Arguments of :class:`.mobilenet_block.MobileBlock`.
    """

    partial_sites = ('act2',)

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        dilation: int,
        with_se: bool,
        depthwise_cfg: Optional[dict],
        **options,
    ) -> None:
        super().__init__(**options)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv = None
        if in_channels != hidden:
            self.expand_conv = self._conv(in_channels, self._width('act1', hidden), 1)
            self._add_activation('act1', hidden)
        self.depthwise_conv = self._conv(
            hidden,
            self._width('act2', hidden),
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=hidden,
            conv_cfg=depthwise_cfg,
        )
        self._add_activation('act2', hidden)
        self.se = None
        if with_se:
            self.se = HardSqueezeExcitation(hidden, make_divisible(hidden // SE_RATIO))
        self.linear_conv = self._conv(hidden, out_channels, 1)

    def _block(self, x: Tensor) -> Tensor:
        out = x
        if self.expand_conv is not None:
            out = self._activate(self.act1, self.expand_conv, out)
        out = self._activate(self.act2, self.depthwise_conv, out)
        if self.se is not None:
            out = self.se(out)
        out = self.linear_conv(out)
        return x + out if self.has_shortcut else out
