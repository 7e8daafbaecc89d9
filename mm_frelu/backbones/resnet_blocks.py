"""The residual blocks of ResNet, with one activation module per site.

Parameter names are those of torchvision's and mmdet's blocks, plus ``act1``, ``act2``, ``act3`` for the activations.
"""

from typing import ClassVar, Dict, List, Optional, Tuple

from mmcv.cnn import build_conv_layer, build_norm_layer, build_plugin_layer
from torch import Tensor, nn

from ..activations import build_activation
from ..ops import Branch
from .block_checkpoint import CheckpointedBlock
from .fused_norm import activate, shortcut_branch

PLUGIN_POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')


class ResidualBlock(CheckpointedBlock):
    """Base class of both blocks: norms and activations by name, the shortcut, checkpointing.

    Args:
        act_cfgs: Config of the activation at each site.
        norm_cfg: Config of the norms, and of the activations' norms unless their config has one.
        downsample: The shortcut's projection, or None for the identity.
        with_cp: Whether to checkpoint the block, which saves memory and runs forward twice.
        init_cfg: Initialisation config.
        recompute_norms: Whether a funnel activation saves the input of the preceding norm for backward, not its output.
    """

    expansion: ClassVar[int]
    sites: ClassVar[Tuple[str, ...]]
    partial_sites: ClassVar[Tuple[str, ...]]

    def __init__(
        self,
        act_cfgs: Dict[str, dict],
        norm_cfg: dict,
        downsample: Optional[nn.Module],
        with_cp: bool,
        init_cfg: Optional[dict],
        recompute_norms: bool,
    ) -> None:
        super().__init__(init_cfg)
        self.act_cfgs = act_cfgs
        self.norm_cfg = norm_cfg
        self.downsample = downsample
        self.with_cp = with_cp
        self.recompute_norms = recompute_norms

    def _add_norm(self, index: int, channels: int) -> None:
        name, norm = build_norm_layer(self.norm_cfg, channels, postfix=index)
        self.add_module(name, norm)
        setattr(self, f'norm{index}_name', name)

    def _add_activation(self, index: int, channels: int) -> None:
        # In place is safe at every site: the layer before it is a norm or a sum, whose backward needs no output.
        site = f'act{index}'
        activation = build_activation(
            self.act_cfgs[site], channels, norm_cfg=self.norm_cfg, inplace=True
        )
        self.add_module(site, activation)

    @property
    def norm1(self) -> nn.Module:
        """The norm after the first convolution."""
        return getattr(self, self.norm1_name)

    @property
    def norm2(self) -> nn.Module:
        """The norm after the second convolution."""
        return getattr(self, self.norm2_name)

    def _activated(self, index: int, x: Tensor) -> Tensor:
        """Run a convolution of the residual branch, its norm and its activation."""
        branch = getattr(self, f'conv{index}')(x), getattr(self, f'norm{index}')
        return activate(getattr(self, f'act{index}'), [branch], self.recompute_norms)

    def _residual(self, x: Tensor) -> Branch:
        """Compute the residual branch up to its last norm, which is returned with it unless a plugin follows."""
        raise NotImplementedError

    def _block(self, x: Tensor) -> Tensor:
        branches = [self._residual(x), shortcut_branch(self.downsample, x)]
        return activate(getattr(self, self.sites[-1]), branches, self.recompute_norms)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions (ResNet-18 and -34). Sites: ``act1`` after the first, ``act2`` after the addition.

    Args:
        inplanes: Input channels.
        planes: Width; also the output channels.
        act_cfgs: Config of the activation at each site.
        stride: Stride of the first convolution.
        dilation: Dilation of the first convolution.
        downsample: The shortcut's projection.
        style: Accepted for a common signature with Bottleneck. It has no effect.
        with_cp: Whether to checkpoint the block.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
        dcn: Not supported here, as in mmdet.
        plugins: Not supported here, as in mmdet.
        init_cfg: Initialisation config.
        recompute_norms: Whether a funnel activation saves the input of the preceding norm for backward, not its output.
    """

    expansion = 1
    sites = ('act1', 'act2')
    partial_sites = ('act1',)

    def __init__(
        self,
        inplanes: int,
        planes: int,
        act_cfgs: Dict[str, dict],
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        style: str = 'pytorch',
        with_cp: bool = False,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN'),
        dcn: Optional[dict] = None,
        plugins: Optional[List[dict]] = None,
        init_cfg: Optional[dict] = None,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__(act_cfgs, norm_cfg, downsample, with_cp, init_cfg, recompute_norms)
        for key, value in dict(dcn=dcn, plugins=plugins).items():
            if value:
                raise ValueError(f'{key} needs bottleneck blocks. Use depth 50, 101 or 152.')
        self.conv1 = build_conv_layer(
            conv_cfg,
            inplanes,
            planes,
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            bias=False,
        )
        self._add_norm(1, planes)
        self._add_activation(1, planes)
        self.conv2 = build_conv_layer(conv_cfg, planes, planes, 3, padding=1, bias=False)
        self._add_norm(2, planes)
        self._add_activation(2, planes)

    def _residual(self, x: Tensor) -> Branch:
        return self.conv2(self._activated(1, x)), self.norm2


class Bottleneck(ResidualBlock):
    """1x1, 3x3, 1x1 (ResNet-50, -101, -152).

    Sites: ``act1`` after the first 1x1, ``act2`` after the 3x3, ``act3`` after the addition.

    Args:
        inplanes: Input channels.
        planes: Width; the output has four times as many channels.
        act_cfgs: Config of the activation at each site.
        stride: Stride of the block.
        dilation: Dilation of the 3x3 convolution.
        downsample: The shortcut's projection.
        style: Where the stride is: ``'pytorch'`` on the 3x3, ``'caffe'`` on the first 1x1.
        with_cp: Whether to checkpoint the block.
        conv_cfg: Config of the convolutions.
        norm_cfg: Config of the norms.
        dcn: Config of a deformable convolution that replaces the 3x3. ``fallback_on_stride`` is removed from it.
        plugins: mmcv plugin layers, each ``dict(cfg=..., position='after_conv1' | 'after_conv2' | 'after_conv3')``.
            They come after the activation (``after_conv3``: before the addition), as in mmdet.
        init_cfg: Initialisation config.
        recompute_norms: Whether a funnel activation saves the input of the preceding norm for backward, not its output.
    """

    expansion = 4
    sites = ('act1', 'act2', 'act3')
    partial_sites = ('act2',)

    def __init__(
        self,
        inplanes: int,
        planes: int,
        act_cfgs: Dict[str, dict],
        stride: int = 1,
        dilation: int = 1,
        downsample: Optional[nn.Module] = None,
        style: str = 'pytorch',
        with_cp: bool = False,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN'),
        dcn: Optional[dict] = None,
        plugins: Optional[List[dict]] = None,
        init_cfg: Optional[dict] = None,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__(act_cfgs, norm_cfg, downsample, with_cp, init_cfg, recompute_norms)
        if style not in ('pytorch', 'caffe'):
            raise ValueError(f"style must be 'pytorch' or 'caffe', got {style!r}.")
        conv1_stride, conv2_stride = (1, stride) if style == 'pytorch' else (stride, 1)
        self.conv1 = build_conv_layer(
            conv_cfg, inplanes, planes, 1, stride=conv1_stride, bias=False
        )
        self._add_norm(1, planes)
        self._add_activation(1, planes)
        self.conv2 = build_conv_layer(
            self._conv2_cfg(conv_cfg, dcn),
            planes,
            planes,
            3,
            stride=conv2_stride,
            padding=dilation,
            dilation=dilation,
            bias=False,
        )
        self._add_norm(2, planes)
        self._add_activation(2, planes)
        self.conv3 = build_conv_layer(conv_cfg, planes, planes * self.expansion, 1, bias=False)
        self._add_norm(3, planes * self.expansion)
        self._add_activation(3, planes * self.expansion)
        self._add_plugins(plugins or [], planes)

    @staticmethod
    def _conv2_cfg(conv_cfg: Optional[dict], dcn: Optional[dict]) -> Optional[dict]:
        if dcn is None:
            return conv_cfg
        if conv_cfg is not None:
            raise ValueError(
                'conv_cfg and dcn both define the 3x3 convolution. Set only one of them.'
            )
        # Removed from the config that all blocks of a stage share, so that only the first one falls back. mmdet does the
        # same, and the keys of its checkpoints depend on it.
        return None if dcn.pop('fallback_on_stride', False) else dcn

    def _add_plugins(self, plugins: List[dict], planes: int) -> None:
        self.plugin_names: Dict[str, List[str]] = {position: [] for position in PLUGIN_POSITIONS}
        for plugin in plugins:
            position, cfg = plugin['position'], dict(plugin['cfg'])
            if position not in PLUGIN_POSITIONS:
                raise ValueError(
                    f'plugins: position must be one of {PLUGIN_POSITIONS}, got {position!r}.'
                )
            channels = planes * self.expansion if position == 'after_conv3' else planes
            name, layer = build_plugin_layer(
                cfg, in_channels=channels, postfix=cfg.pop('postfix', '')
            )
            if hasattr(self, name):
                raise ValueError(
                    f"plugins: two have the name {name}. Give one of them a 'postfix'."
                )
            self.add_module(name, layer)
            self.plugin_names[position].append(name)

    def _plug(self, x: Tensor, position: str) -> Tensor:
        for name in self.plugin_names[position]:
            x = getattr(self, name)(x)
        return x

    @property
    def norm3(self) -> nn.Module:
        """The norm after the third convolution."""
        return getattr(self, self.norm3_name)

    def _residual(self, x: Tensor) -> Branch:
        x = self._plug(self._activated(1, x), 'after_conv1')
        x = self.conv3(self._plug(self._activated(2, x), 'after_conv2'))
        if self.plugin_names['after_conv3']:
            return self._plug(self.norm3(x), 'after_conv3'), None
        return x, self.norm3
