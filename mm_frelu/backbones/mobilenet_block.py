"""What the blocks of MobileNetV1, V2 and V3 share: activations by site, checkpointing."""

from typing import ClassVar, Dict, List, Optional, Tuple

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..activations import build_activation
from ..activations.maxout import maps_before
from .block_checkpoint import CheckpointedBlock
from .fused_norm import activate_conv


class MobileBlock(CheckpointedBlock):
    """Base of the blocks. Their sites are modules of the block, beside the convolutions.

    So the convolutions keep the names that OpenMMLab's checkpoints give them, whatever the activations are.

    Args:
        act_cfgs: Config of the activation at each site.
        conv_cfg: Config of the convolutions; plain Conv2d if None.
        norm_cfg: Config of the norms; also of the activations' norms, unless their config has one.
        with_cp: Whether to trade a second forward run for memory.
        recompute_norms: Whether a funnel activation keeps what goes into the norm before it, not what comes out.
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
        """A convolution and its norm; the activation is a module of its own."""
        options = {'conv_cfg': self.conv_cfg, **options}
        return ConvModule(
            in_channels, out_channels, kernel_size, norm_cfg=self.norm_cfg, act_cfg=None, **options
        )

    def _add_activation(self, site: str, channels: int) -> None:
        # In place is safe at every site: what stands before it is a norm or a convolution, whose backward needs no output.
        activation = build_activation(
            self.act_cfgs[site], channels, norm_cfg=self.norm_cfg, inplace=True
        )
        self.add_module(site, activation)

    def _width(self, site: str, channels: int) -> int:
        """Channels of the convolution before a site: those of the site, except where Maxout takes K maps from it."""
        return channels * maps_before(self.act_cfgs[site])

    def _activate(self, act: nn.Module, conv: nn.Module, x: Tensor) -> Tensor:
        """The activation of a convolution and its norm."""
        return activate_conv(act, conv, x, self.recompute_norms)

    def activations(self) -> List[nn.Module]:
        """The activation modules. A block without expansion has none after it."""
        return [getattr(self, site) for site in self.sites if hasattr(self, site)]
