"""MobileNetV1 (Howard et al., 2017, table 1) with FReLU or another activation at the sites given in the config.

Placement: FReLU paper, table 2 (MobileNet 0.75), and the ablation on the convolutions of a block. There, FReLU at both
sites performs best: 28.5 % top-1 error, compared with 29.2 % after the 1x1 only and 29.0 % after the depthwise 3x3 only.
"""

from typing import Any, Sequence

from torch import Tensor

from ..registry import MODELS
from .mobilenet import MobileNet, make_divisible
from .mobilenet_block import MobileBlock
from .options import check_per_stage, check_widen_factor

STEM_CHANNELS = 32
STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
"""Channels and number of blocks of each stage, before widening."""


class SeparableBlock(MobileBlock):
    """Depthwise 3x3, then 1x1. Sites: ``act1`` after the depthwise convolution, ``act2`` after the 1x1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the depthwise convolution.
        dilation: Its dilation.
        **options: Arguments of :class:`.mobilenet_block.MobileBlock`.
    """

    partial_sites = ('act1',)

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, **options: Any
    ) -> None:
        super().__init__(**options)
        self.depthwise_conv = self._conv(
            in_channels,
            self._width('act1', in_channels),
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            groups=in_channels,
        )
        self._add_activation('act1', in_channels)
        self.pointwise_conv = self._conv(in_channels, self._width('act2', out_channels), 1)
        self._add_activation('act2', out_channels)

    def _block(self, x: Tensor) -> Tensor:
        x = self._activate(self.act1, self.depthwise_conv, x)
        return self._activate(self.act2, self.pointwise_conv, x)


@MODELS.register_module()
class MobileNetV1(MobileNet):
    """MobileNetV1 backbone. By default it has FReLU at both sites of all 13 blocks, and ReLU in the stem.

    OpenMMLab has no MobileNetV1 and no checkpoints of it.

    Args:
        widen_factor: Factor for the channel counts; the results are rounded to multiples of 8.
        strides: Stride of the first block of each stage. The stem has stride 2.
        dilations: Dilation of the depthwise convolutions of each stage. Windows are not dilated.
        out_indices: Indices of the stages to return, 0 to 4; their strides are 2, 4, 8, 16, 32.
        act_cfg: Config of the activation under study.
        base_act_cfg: Config of the activation everywhere else.
        **options: Arguments of :class:`.mobilenet.MobileNet`: ``act_stages``, ``act_sites``, ``act_stem``, ``frozen_stages``,
            ``norm_cfg``, ``norm_eval``, ``act_norm_eval``, ``with_cp``, ``conv_cfg``, ``in_channels``, ``init_cfg``,
            ``recompute_norms``.

    Examples:
        >>> import torch
        >>> features = MobileNetV1(0.25)(torch.rand(1, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features]
        [(1, 32, 16, 16), (1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2)]
    """

    block = SeparableBlock
    has_last = False

    def __init__(
        self,
        widen_factor: float = 1.0,
        strides: Sequence[int] = (1, 2, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1, 1),
        out_indices: Sequence[int] = (1, 2, 3, 4),
        act_cfg: dict = dict(type='FReLU'),
        base_act_cfg: dict = dict(type='ReLU'),
        **options: Any,
    ) -> None:
        super().__init__(
            num_stages=len(STAGES),
            act_cfg=act_cfg,
            base_act_cfg=base_act_cfg,
            out_indices=out_indices,
            **options,
        )
        check_widen_factor(widen_factor)
        check_per_stage(len(STAGES), strides=strides, dilations=dilations)
        channels = make_divisible(STEM_CHANNELS * widen_factor)
        self._add_stem(channels)
        for stage, (width, num_blocks) in enumerate(STAGES):
            out_channels = make_divisible(width * widen_factor)
            self._add_stage(
                stage, channels, out_channels, strides[stage], [dilations[stage]] * num_blocks
            )
            channels = out_channels
        self._freeze_stages()
