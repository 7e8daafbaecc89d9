"""ResNet (v1, v1c, v1d) with FReLU or another activation at the sites given in the config.

With ReLU everywhere, its output and state dict are the same as those of ResNet in mmdet and mmseg.
"""

import warnings
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple, Type, Union

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import Sequential
from torch import Tensor, nn

from ..activations import build_activation
from ..registry import MODELS
from .freezing import FreezableBackbone, freeze
from .fused_norm import activate, activate_in_row
from .options import check_frozen_stages, check_out_indices, check_per_stage, check_switches
from .placement import Sites, block_act_cfgs, resolve_sites, resolve_stages
from .resnet_blocks import BasicBlock, Bottleneck

BlockClass = Union[Type[BasicBlock], Type[Bottleneck]]


@MODELS.register_module()
class ResNet(FreezableBackbone):
    """ResNet backbone with FReLU or another activation at the sites given in the config.

    The default placement is the official one: FReLU at all sites of layer1 to layer3, ReLU in the stem and in layer4. At
    depth 50 these are 39 windows in 13 blocks. They add 161,280 parameters with biases in the windows, and 147,840 without.
    (The paper's table 1 shows 25.5M parameters with and without FReLU, and its +0.01G FLOPs would correspond to one window
    per block. Either the numbers are rounded or the model is not the released one.)

    Args:
        depth: 10 (in the DY-ReLU paper), 18, 34, 50, 101 or 152.
        in_channels: Channels of the image.
        stem_channels: Output channels of the stem; ``base_channels`` if None.
        base_channels: Width of layer1; each stage doubles it.
        num_stages: Number of stages, 1 to 4.
        strides: Stride of the first block of each stage.
        dilations: Dilation of each stage. The activations' windows are not dilated, as in the official code.
        out_indices: Stages whose output is returned.
        style: Where a bottleneck has its stride: ``'pytorch'`` on the 3x3, ``'caffe'`` on the first 1x1.
        deep_stem: Three 3x3 convolutions in the stem instead of one 7x7 (v1c, v1d).
        avg_down: Average pooling and a 1x1 of stride 1 in the shortcut instead of a strided 1x1 (v1d).
        frozen_stages: 0 freezes the stem; k freezes the stem and layer1 to layerk; -1 freezes nothing. Activations are
            frozen with their stage.
        conv_cfg: Config of the convolutions; plain Conv2d if None.
        norm_cfg: Config of the norms, and of the activations' norms unless ``act_cfg`` has a ``norm_cfg``.
        norm_eval: Whether batch norms stay in eval mode during training, so that their statistics are fixed.
        act_norm_eval: The same for the norms inside activations; None follows ``norm_eval``. False lets untrained
            windows gather statistics while the network's own norms stay fixed.
        dcn: Config of a deformable convolution for the 3x3 of bottlenecks. With ``fallback_on_stride=True`` the first one
            of each stage stays a plain convolution, as in mmdet.
        stage_with_dcn: Which stages use it.
        plugins: mmcv plugin layers, each ``dict(cfg=..., position=..., stages=(bool, ...))``.
        multi_grid: Dilation of each block of the last stage.
        contract_dilation: Whether the first block of a dilated stage has half the dilation.
        with_cp: Whether to checkpoint the blocks, which saves memory and runs their forward twice.
        zero_init_residual: Whether the last norm of a block starts at zero.
        pretrained: Deprecated; use ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        init_cfg: Initialisation config.
        act_cfg: Config of the activation under study.
        act_stages: Stages that get it; 0 is layer1.
        act_sites: Sites of a block that get it: ``'all'``, ``'partial'`` (after the first 3x3 only) or a tuple of ``act1``,
            ``act2``, ``act3``.
        act_stem: Whether the stem gets it too.
        base_act_cfg: Config of the activation everywhere else.
        recompute_norms: Whether a funnel activation saves the input of the preceding batch norm for backward, instead of
            the norm's output. The norm saves its input anyway. Values, gradients and state dict keys do not change. The
            option takes effect only where the result is exact.

    Raises:
        ValueError: If a depth, stage, site or style does not exist, or another value is out of range.

    Examples:
        >>> import torch
        >>> features = ResNet(50, base_channels=8)(torch.rand(1, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features]
        [(1, 32, 16, 16), (1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2)]
    """

    arch_settings: ClassVar[Dict[int, Tuple[BlockClass, Tuple[int, ...]]]] = {
        10: (BasicBlock, (1, 1, 1, 1)),
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        stem_channels: Optional[int] = None,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        style: str = 'pytorch',
        deep_stem: bool = False,
        avg_down: bool = False,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN', requires_grad=True),
        norm_eval: bool = False,
        act_norm_eval: Optional[bool] = None,
        dcn: Optional[dict] = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        plugins: Optional[List[dict]] = None,
        multi_grid: Optional[Sequence[int]] = None,
        contract_dilation: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        pretrained: Optional[str] = None,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
        act_cfg: dict = dict(type='FReLU'),
        act_stages: Sequence[int] = (0, 1, 2),
        act_sites: Sites = 'all',
        act_stem: bool = False,
        base_act_cfg: dict = dict(type='ReLU'),
        recompute_norms: bool = True,
    ) -> None:
        super().__init__(_resolve_init(pretrained, init_cfg))
        if depth not in self.arch_settings:
            raise ValueError(
                f'ResNet has no depth {depth!r}; use one of {tuple(self.arch_settings)}.'
            )
        if num_stages not in range(1, 5):
            raise ValueError(f'num_stages must be 1, 2, 3 or 4; got {num_stages!r}.')
        dcn = None if dcn is None else dict(dcn)
        per_stage = dict(strides=strides, dilations=dilations)
        if dcn is not None:
            per_stage['stage_with_dcn'] = stage_with_dcn
        check_per_stage(num_stages, **per_stage)
        check_out_indices(out_indices, num_stages)
        check_frozen_stages(frozen_stages, num_stages)
        act_norm_eval = norm_eval if act_norm_eval is None else act_norm_eval
        check_switches(
            norm_eval=norm_eval,
            act_norm_eval=act_norm_eval,
            with_cp=with_cp,
            act_stem=act_stem,
            recompute_norms=recompute_norms,
        )

        self.block, blocks_per_stage = self.arch_settings[depth]
        self.depth = depth
        self.out_indices = out_indices
        self.style = style
        self.deep_stem = deep_stem
        self.avg_down = avg_down
        self.frozen_stages = frozen_stages
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.norm_eval = norm_eval
        self.act_norm_eval = act_norm_eval
        self.contract_dilation = contract_dilation
        self.with_cp = with_cp
        self.recompute_norms = recompute_norms

        stages = resolve_stages(act_stages, num_stages)
        sites = resolve_sites(act_sites, self.block)
        self._make_stem(
            in_channels, stem_channels or base_channels, act_cfg if act_stem else base_act_cfg
        )
        # A block starts as its shortcut unless another initialisation is given.
        starts_as_shortcut = zero_init_residual and not (init_cfg or pretrained)
        self.inplanes = stem_channels or base_channels
        self.res_layers = []
        for stage, num_blocks in enumerate(blocks_per_stage[:num_stages]):
            layer = self._make_stage(
                num_blocks,
                planes=base_channels * 2**stage,
                stride=strides[stage],
                dilation=dilations[stage],
                grid=multi_grid if stage == num_stages - 1 else None,
                dcn=dcn if dcn is not None and stage_with_dcn[stage] else None,
                plugins=_stage_plugins(plugins, stage, num_stages),
                act_cfgs=block_act_cfgs(
                    self.block, sites if stage in stages else (), act_cfg, base_act_cfg
                ),
                starts_as_shortcut=starts_as_shortcut,
            )
            self.res_layers.append(f'layer{stage + 1}')
            self.add_module(self.res_layers[-1], layer)
        self._freeze_stages()

    def _make_stem(self, in_channels: int, channels: int, act_cfg: dict) -> None:
        def activation(width: int) -> nn.Module:
            return build_activation(act_cfg, width, norm_cfg=self.norm_cfg, inplace=True)

        if self.deep_stem:
            layers, width = [], in_channels
            for out, stride in ((channels // 2, 2), (channels // 2, 1), (channels, 1)):
                layers += [
                    build_conv_layer(
                        self.conv_cfg, width, out, 3, stride=stride, padding=1, bias=False
                    ),
                    build_norm_layer(self.norm_cfg, out)[1],
                    activation(out),
                ]
                width = out
            self.stem = Sequential(*layers)
        else:
            self.conv1 = build_conv_layer(
                self.conv_cfg, in_channels, channels, 7, stride=2, padding=3, bias=False
            )
            self.norm1_name, norm = build_norm_layer(self.norm_cfg, channels, postfix=1)
            self.add_module(self.norm1_name, norm)
            self.act1 = activation(channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    @property
    def norm1(self) -> nn.Module:
        """The norm of the 7x7 stem."""
        return getattr(self, self.norm1_name)

    def _make_stage(
        self,
        num_blocks: int,
        planes: int,
        stride: int,
        dilation: int,
        grid: Optional[Sequence[int]],
        starts_as_shortcut: bool,
        **block_options,
    ) -> Sequential:
        if grid is None:
            first = dilation // 2 if self.contract_dilation and dilation > 1 else dilation
            grid = (first, *[dilation] * (num_blocks - 1))
        elif len(grid) != num_blocks:
            raise ValueError(
                f'multi_grid={grid!r} must have one entry for each of the {num_blocks} blocks of the last stage.'
            )
        init_cfg = None
        if starts_as_shortcut:
            last_norm = 'norm2' if self.block is BasicBlock else 'norm3'
            init_cfg = dict(type='Constant', val=0, override=dict(name=last_norm))
        blocks = []
        for index in range(num_blocks):
            blocks.append(
                self.block(
                    self.inplanes,
                    planes,
                    stride=stride if index == 0 else 1,
                    dilation=grid[index],
                    downsample=self._make_shortcut(planes, stride) if index == 0 else None,
                    style=self.style,
                    with_cp=self.with_cp,
                    recompute_norms=self.recompute_norms,
                    conv_cfg=self.conv_cfg,
                    norm_cfg=self.norm_cfg,
                    init_cfg=init_cfg,
                    **block_options,
                )
            )
            self.inplanes = planes * self.block.expansion
        return Sequential(*blocks)

    def _make_shortcut(self, planes: int, stride: int) -> Optional[nn.Sequential]:
        channels = planes * self.block.expansion
        if stride == 1 and self.inplanes == channels:
            return None
        pool = []
        if self.avg_down:
            pool = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)]
            stride = 1
        conv = build_conv_layer(
            self.conv_cfg, self.inplanes, channels, 1, stride=stride, bias=False
        )
        return nn.Sequential(*pool, conv, build_norm_layer(self.norm_cfg, channels)[1])

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images of shape (N, in_channels, H, W).

        Returns:
            The outputs of the stages in ``out_indices``.
        """
        if self.deep_stem:
            x = activate_in_row(self.stem, x, self.recompute_norms)
        else:
            x = activate(self.act1, [(self.conv1(x), self.norm1)], self.recompute_norms)
        x = self.maxpool(x)
        outs = []
        for index, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def _freeze_stages(self) -> None:
        if self.frozen_stages >= 0:
            stem = [self.stem] if self.deep_stem else [self.conv1, self.norm1, self.act1]
            for module in stem:
                freeze(module)
        for stage in range(1, self.frozen_stages + 1):
            freeze(getattr(self, f'layer{stage}'))

    def _activations(self) -> List[nn.Module]:
        stem = list(self.stem[2::3]) if self.deep_stem else [self.act1]
        blocks = [block for name in self.res_layers for block in getattr(self, name)]
        return stem + [getattr(block, site) for block in blocks for site in block.sites]


def _resolve_init(
    pretrained: Optional[str], init_cfg: Optional[Union[dict, List[dict]]]
) -> Union[dict, List[dict]]:
    if pretrained is not None:
        if init_cfg:
            raise ValueError(
                'init_cfg and pretrained both define the initial weights. Set only one of them.'
            )
        warnings.warn(
            "pretrained is deprecated, use init_cfg=dict(type='Pretrained', checkpoint=...)",
            DeprecationWarning,
            stacklevel=3,
        )
        return dict(type='Pretrained', checkpoint=pretrained)
    return init_cfg or [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
    ]


def _stage_plugins(plugins: Optional[List[dict]], stage: int, num_stages: int) -> List[dict]:
    chosen = []
    for plugin in plugins or []:
        stages = plugin.get('stages')
        if stages is not None and len(stages) != num_stages:
            raise ValueError(
                f'plugins: stages={stages!r} must have one entry for each of {num_stages} stages.'
            )
        if stages is None or stages[stage]:
            chosen.append(dict(cfg=plugin['cfg'], position=plugin['position']))
    return chosen


@MODELS.register_module()
class ResNetV1c(ResNet):
    """ResNet with a deep stem (He et al., "Bag of Tricks for Image Classification", 2019).

    Args:
        **kwargs: Arguments of :class:`ResNet`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(deep_stem=True, avg_down=False, **kwargs)


@MODELS.register_module()
class ResNetV1d(ResNet):
    """ResNet with a deep stem and pooled shortcuts (same source as :class:`ResNetV1c`).

    Args:
        **kwargs: Arguments of :class:`ResNet`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(deep_stem=True, avg_down=True, **kwargs)
