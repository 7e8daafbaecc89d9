"""Base class of the blocks of MobileNetV1, V2 and V3: activations by site, checkpointing."""

from typing import ClassVar, Dict, List, Optional, Tuple

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..activations import build_activation
from ..activations.maxout import maps_before
from .block_checkpoint import CheckpointedBlock
from .fused_norm import activate_conv


class MobileBlock(CheckpointedBlock):
    """Base class of the blocks. The activations are modules of the block, next to the convolutions.

    The convolutions therefore keep the names that they have in OpenMMLab's checkpoints, with any activation.

    Args:
        act_cfgs: Config of the activation at each site.
        conv_cfg: Config of the convolutions; plain Conv2d if None.
        norm_cfg: Config of the norms, and of the activations' norms unless their config has one.
        with_cp: Whether to checkpoint the block, which saves memory and runs forward twice.
        recompute_norms: Whether a funnel activation saves the input of the preceding norm for backward, not its output.
    """

    sites: ClassVar[Tuple[str, ...]] = ('act1', 'act2')
    partial_sites: ClassVar[Tuple[str, ...]]

    def __init__(
        self,
        act_cfgs: Dict[str, dict],
        conv_cfg: Optional[dict] = None,
        norm_cfg: Optional[dict] = dict(type='BN'),
        with_cp: bool = False,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__()
        self.act_cfgs = act_cfgs
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.with_cp = with_cp
        self.recompute_norms = recompute_norms

    def _conv(self, in_channels: int, out_channels: int, kernel_size: int, **options) -> ConvModule:
        """Build a convolution and its norm. The activation is a separate module."""
        options = {'conv_cfg': self.conv_cfg, **options}
        return ConvModule(
            in_channels, out_channels, kernel_size, norm_cfg=self.norm_cfg, act_cfg=None, **options
        )

    def _add_activation(self, site: str, channels: int) -> None:
        # In place is safe at every site: the layer before it is a norm or a convolution, whose backward needs no output.
        activation = build_activation(
            self.act_cfgs[site], channels, norm_cfg=self.norm_cfg, inplace=True
        )
        self.add_module(site, activation)

    def _width(self, site: str, channels: int) -> int:
        """Channels of the convolution before a site: those of the site, except where Maxout takes K maps from it."""
        return channels * maps_before(self.act_cfgs[site])

    def _activate(self, act: nn.Module, conv: nn.Module, x: Tensor) -> Tensor:
        """Run a convolution, its norm and an activation."""
        return activate_conv(act, conv, x, self.recompute_norms)

    def activations(self) -> List[nn.Module]:
        """Return the activation modules. A block without expansion has no ``act1``."""
        return [getattr(self, site) for site in self.sites if hasattr(self, site)]
