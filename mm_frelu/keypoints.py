"""The keypoint head of the DY-ReLU paper: bilinear upsampling and inverted residual bottleneck blocks.

Chen et al., "Dynamic ReLU", ECCV 2020, section on COCO keypoints. What could be confirmed is this kind of head, and that
DY-ReLU-C is needed in it (A and B can be worse there than ReLU). The number of blocks, their width and their expansion are
ours.

Importing this module imports MMPose; ``import mm_frelu`` does not. Keypoint configs name it in ``custom_imports``.
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
    """Top-down heatmap head that upsamples bilinearly between MobileNetV2's blocks.

    The first block works at the resolution of the features. Each further one follows an upsampling by two. A 1x1
    convolution then gives one heatmap for each keypoint. Loss, decoding and flip test are those of MMPose's ``HeatmapHead``.

    Args:
        in_channels: Channels of the last feature map.
        out_channels: Number of keypoints.
        channels: Output channels of the blocks; one more than there are upsamplings. Four take stride 32 to stride 4.
        expansion: How many times as wide a block is inside as its input.
        act_cfg: Activation at both sites of each block.
        norm_cfg: Norms of the blocks.
        with_cp: Whether blocks are checkpointed: less memory, one more forward run.
        **options: ``final_layer``, ``loss``, ``decoder`` and ``init_cfg`` of ``HeatmapHead``.

    Raises:
        ValueError: Without a block, or for a number that is not positive.

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
                f'UpsamplingHead: channels={channels!r} and expansion={expansion!r} must be positive whole numbers.'
            )
        # HeatmapHead makes its final convolution for what the last block gives.
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
        self.blocks = ModuleList(  # of MMEngine, which initialises what is in it
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
            feats: Feature maps, of which the last of shape (N, in_channels, H, W) is used.

        Returns:
            Heatmaps of shape (N, out_channels, H * 2^k, W * 2^k), k one less than there are blocks.
        """
        first, *others = self.blocks
        x = first(feats[-1])
        for block in others:
            x = block(self.upsample(x))
        return self.final_layer(x)


# The blocks as in the backbone, the heatmaps small at the start, as everywhere in MMPose.
_INIT_CFG = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    dict(type='Normal', std=0.001, override=dict(name='final_layer')),
]
