"""MobileNetV2 (Sandler et al., CVPR 2018, table 2) with FReLU, DY-ReLU or another activation at the sites given in the config.

With ReLU6 everywhere, its output and state dict are the same as those of MobileNetV2 in mmseg, mmdet and mmpretrain.
"""

from typing import Any, Sequence

from torch import Tensor, nn

from ..registry import MODELS
from .mobilenet import MobileNet, make_divisible, warn_of_another_start
from .mobilenet_block import MobileBlock
from .options import check_per_stage, check_widen_factor

STEM_CHANNELS = 32
LAST_CHANNELS = 1280
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
"""Expansion, channels before widening, and number of blocks of each stage."""
MMDET_NAMES = ('expand_conv', 'depthwise_conv', 'linear_conv')
"""Names of a block's convolutions in mmdet. mmseg and mmpretrain number them: ``conv.0``, ``conv.1``, ``conv.2``."""


class InvertedResidual(MobileBlock):
    """1x1 expansion, depthwise 3x3, and 1x1 projection without activation (the linear bottleneck).

    Sites: ``act1`` after the expansion, ``act2`` after the depthwise convolution. The blocks of layer1 have no expansion,
    and only ``act2``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the depthwise convolution.
        dilation: Its dilation.
        expansion: Factor between the input channels and the channels inside the block.
        **options: Arguments of :class:`.mobilenet_block.MobileBlock`.
    """

    partial_sites = ('act2',)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        expansion: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        hidden = in_channels * expansion
        convs = []
        if expansion != 1:
            convs.append(self._conv(in_channels, self._width('act1', hidden), 1))
            self._add_activation('act1', hidden)
        convs.append(
            self._conv(
                hidden,
                self._width('act2', hidden),
                3,
                stride=stride,
                padding=dilation,
                dilation=dilation,
                groups=hidden,
            )
        )
        self._add_activation('act2', hidden)
        convs.append(self._conv(hidden, out_channels, 1))
        self.conv = nn.Sequential(*convs)

    def _block(self, x: Tensor) -> Tensor:
        *convs, project = self.conv
        out = x
        for conv, activation in zip(convs, self.activations()):
            out = self._activate(activation, conv, out)
        out = project(out)
        return x + out if self.has_shortcut else out

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for index, name in enumerate(MMDET_NAMES[-len(self.conv) :]):
            mmdet_prefix = f'{prefix}{name}.'
            for key in [key for key in state_dict if key.startswith(mmdet_prefix)]:
                rest = key[len(mmdet_prefix) :]
                state_dict[f'{prefix}conv.{index}.{rest}'] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class MobileNetV2(MobileNet):
    """MobileNetV2 backbone. By default it has FReLU at both sites of all 17 blocks, and ReLU6 in the stem.

    Parameters have the names of mmseg and mmpretrain. Checkpoints with mmdet's names load too.

    With ``init='identity'`` FReLU and DY-ReLU start as ReLU, which is not limited to 6 like ReLU6. With a checkpoint that
    was trained with ReLU6, the output at the start is the same only if no activation exceeds 6. A warning says so.

    Args:
        widen_factor: Factor for the channel counts; the results are rounded to multiples of 8.
        strides: Stride of the first block of each stage. The stem has stride 2.
        dilations: Dilation of the first block's depthwise convolution in each stage, as in mmseg. Windows are not dilated.
        out_indices: Indices of the outputs to return. 0 to 6 are the stages, with strides 2, 4, 8, 16, 16, 32, 32. 7 is the
            last 1x1 convolution with 1280 channels (more if ``widen_factor`` exceeds 1.0), which is built only if requested.
        act_cfg: Config of the activation under study.
        act_last: Whether the last 1x1 convolution gets it too.
        base_act_cfg: Config of the activation everywhere else.
        **options: Arguments of :class:`.mobilenet.MobileNet`: ``act_stages``, ``act_sites``, ``act_stem``, ``frozen_stages``,
            ``norm_cfg``, ``norm_eval``, ``act_norm_eval``, ``with_cp``, ``conv_cfg``, ``in_channels``, ``init_cfg``,
            ``recompute_norms``.

    Examples:
        >>> import torch
        >>> features = MobileNetV2(0.25)(torch.rand(1, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features]
        [(1, 8, 16, 16), (1, 8, 8, 8), (1, 24, 4, 4), (1, 80, 2, 2)]
    """

    block = InvertedResidual

    def __init__(
        self,
        widen_factor: float = 1.0,
        strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1),
        dilations: Sequence[int] = (1, 1, 1, 1, 1, 1, 1),
        out_indices: Sequence[int] = (1, 2, 4, 6),
        act_cfg: dict = dict(type='FReLU'),
        act_last: bool = False,
        base_act_cfg: dict = dict(type='ReLU6'),
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
        warn_of_another_start('MobileNetV2', act_cfg, [base_act_cfg['type']])
        channels = make_divisible(STEM_CHANNELS * widen_factor)
        self._add_stem(channels)
        for stage, (expansion, width, num_blocks) in enumerate(STAGES):
            out_channels = make_divisible(width * widen_factor)
            # The other blocks of a dilated stage are not dilated, as in mmseg's checkpoints.
            dilated = [dilations[stage], *[1] * (num_blocks - 1)]
            self._add_stage(
                stage, channels, out_channels, strides[stage], dilated, expansion=expansion
            )
            channels = out_channels
        last_channels = int(LAST_CHANNELS * max(widen_factor, 1.0))
        self._add_last('conv2', channels, last_channels, act_last)
        self._freeze_stages()
