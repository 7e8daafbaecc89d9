"""The block of ShuffleNetV2 in the channel order of the authors' code (Ma et al., ECCV 2018, figures 3c and 3d)."""

from typing import List

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import Sequential
from torch import Tensor, nn

from ..activations import build_activation
from .block_checkpoint import CheckpointedBlock
from .fused_norm import activate_in_row


def pointwise(
    in_channels: int, out_channels: int, norm_cfg: dict, act_cfg: dict
) -> List[nn.Module]:
    """Build a 1x1 convolution, its norm and its activation."""
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        build_norm_layer(norm_cfg, out_channels)[1],
        # In place is safe: the layer before it is a norm, whose backward needs no output.
        build_activation(act_cfg, out_channels, norm_cfg=norm_cfg, inplace=True),
    ]


def depthwise(channels: int, stride: int, norm_cfg: dict) -> List[nn.Module]:
    """Build a depthwise 3x3 convolution and its norm. No activation follows it in this network."""
    return [
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
        build_norm_layer(norm_cfg, channels)[1],
    ]


class ShuffleBlock(CheckpointedBlock):
    """Block whose first branch passes half of the channels, and whose second branch is 1x1, depthwise 3x3, 1x1.

    At stride 1 the even channels pass unchanged and the odd ones go through the second branch; this split is the channel
    shuffle of the previous block. At stride 2 all channels go through both branches. In either case the output of the first
    branch comes first. (torchvision and mmpretrain split into a first and a second half and shuffle at the end. Their
    weights need a permutation.)

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, an even number.
        stride: 1 (then ``in_channels == out_channels``) or 2.
        norm_cfg: Config of the norms, and of the activations' norms unless ``act_cfg`` has a ``norm_cfg``.
        act_cfg: Config of the activation at all sites: two at stride 1, three at stride 2.
        with_cp: Whether to checkpoint the block, which saves memory and runs forward twice.
        recompute_norms: Whether a funnel activation saves the input of the preceding norm for backward, not its output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        norm_cfg: dict,
        act_cfg: dict,
        with_cp: bool = False,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.recompute_norms = recompute_norms
        width = out_channels // 2
        passed = in_channels if stride == 2 else in_channels // 2
        self.branch_main = Sequential(
            *pointwise(passed, width, norm_cfg, act_cfg),
            *depthwise(width, stride, norm_cfg),
            *pointwise(width, out_channels - passed, norm_cfg, act_cfg),
        )
        self.branch_proj = None
        if stride == 2:
            self.branch_proj = Sequential(
                *depthwise(in_channels, stride, norm_cfg),
                *pointwise(in_channels, in_channels, norm_cfg, act_cfg),
            )

    def activations(self) -> List[nn.Module]:
        """Return the activation modules."""
        projected = [] if self.branch_proj is None else [self.branch_proj[4]]
        return [self.branch_main[2], self.branch_main[7], *projected]

    def _block(self, x: Tensor) -> Tensor:
        if self.branch_proj is not None:
            return torch.cat(
                (self._branch(self.branch_proj, x), self._branch(self.branch_main, x)), 1
            )
        return torch.cat((x[:, 0::2], self._branch(self.branch_main, x[:, 1::2])), 1)

    def _branch(self, layers: nn.Module, x: Tensor) -> Tensor:
        return activate_in_row(layers, x, self.recompute_norms)
