"""The keypoint head of the DY-ReLU paper: bilinear upsampling and inverted residual bottleneck blocks.

Chen et al., "Dynamic ReLU", ECCV 2020, section on COCO keypoints. We could confirm that the paper uses this kind of head, and
that the head needs DY-ReLU-C (with A and B, it can be worse than with ReLU). The number of blocks, their width and their
expansion are our choice.

Importing this module imports MMPose; ``import mm_frelu`` does not. Keypoint configs list this module in ``custom_imports``.
"""

from typing import Any, Optional, Sequence, Tuple, Union

from mmengine.model import ModuleList
from torch import Tensor, nn

from .backbones.mobilenet_v2 import InvertedResidual
from .compat import import_mmpose
from .registry import MODELS

import_mmpose()

from mmpose.models.heads import HeatmapHead  # noqa: E402


@MODELS.register_module()
class UpsamplingHead(HeatmapHead):
    """Top-down heatmap head that consists of MobileNetV2 blocks with bilinear upsampling between them.

    The first block works at the resolution of the features. Each of the other blocks follows an upsampling by a factor of 2.
    After the last block, a 1x1 convolution computes one heatmap for each keypoint. The loss, the decoding and the flip test
    are those of MMPose's ``HeatmapHead``.

    Args:
        in_channels: Channels of the last feature map.
        out_channels: Number of keypoints.
        channels: Output channels of each block. There is one upsampling less than there are blocks: four blocks lead from
            stride 32 to stride 4.
        expansion: Factor between the input channels and the channels inside a block.
        act_cfg: Config of the activation at both sites of each block.
        norm_cfg: Config of the norms in the blocks.
        with_cp: Whether to checkpoint the blocks, which saves memory but computes their forward pass twice.
        init_cfg: Initialisation config. None means that of the backbone's blocks, with small weights in the last convolution.
        **options: Arguments of ``HeatmapHead``: ``final_layer``, ``loss`` and ``decoder``.

    Raises:
        ValueError: If ``channels`` is empty, or if a number is not positive.

    Examples:
        >>> import torch
        >>> head = UpsamplingHead(320, 17, act_cfg=dict(type='DyReLUC'))
        >>> head((torch.rand(2, 320, 8, 6),)).shape
        torch.Size([2, 17, 64, 48])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (128, 128, 128, 128),
        expansion: int = 6,
        act_cfg: dict = dict(type='ReLU'),
        norm_cfg: dict = dict(type='BN'),
        with_cp: bool = False,
        init_cfg: Optional[Union[dict, list]] = None,
        **options: Any,
    ) -> None:
        if not channels or min(channels) < 1 or expansion < 1:
            raise ValueError(
                'UpsamplingHead: channels must be one or more positive integers, and expansion a positive integer; got '
                f'channels={channels!r} and expansion={expansion!r}.'
            )
        # HeatmapHead builds its final convolution for the output of the last block.
        super().__init__(
            channels[-1],
            out_channels,
            deconv_out_channels=None,
            init_cfg=init_cfg or _INIT_CFG,
            **options,
        )
        self.in_channels = in_channels
        self.upsample = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False)
        widths = (in_channels, *channels)
        self.blocks = ModuleList(  # MMEngine's, which initialises its children
            InvertedResidual(
                before,
                after,
                stride=1,
                dilation=1,
                expansion=expansion,
                act_cfgs=dict(act1=act_cfg, act2=act_cfg),
                norm_cfg=norm_cfg,
                with_cp=with_cp,
            )
            for before, after in zip(widths, widths[1:])
        )

    def forward(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """Predict heatmaps.

        Args:
            feats: Feature maps. Only the last one is used; its shape is (N, in_channels, H, W).

        Returns:
            Heatmaps of shape (N, out_channels, H * 2^k, W * 2^k), where k is the number of blocks minus one.
        """
        first, *others = self.blocks
        x = first(feats[-1])
        for block in others:
            x = block(self.upsample(x))
        return self.final_layer(x)


# The blocks start as in the backbone. The last convolution starts with small weights, as in all heads of MMPose.
_INIT_CFG = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    dict(type='Normal', std=0.001, override=dict(name='final_layer')),
]
