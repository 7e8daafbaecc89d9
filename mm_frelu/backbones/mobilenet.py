"""Base class of MobileNetV1, V2 and V3: a stem, stages of blocks, an optional last 1x1 convolution, and the activations."""

import logging
from typing import Any, Callable, ClassVar, Dict, List, Optional, Sequence, Tuple, Type, Union

from mmcv.cnn import ConvModule
from mmengine.logging import print_log
from mmengine.model import Sequential
from torch import Tensor, nn

from ..activations import build_activation
from ..activations.maxout import maps_before
from .freezing import FreezableBackbone, freeze
from .fused_norm import activate_conv
from .mobilenet_block import MobileBlock
from .options import check_frozen_stages, check_out_indices, check_switches
from .placement import Sites, block_act_cfgs, resolve_sites, resolve_stages


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round a channel count to the nearest multiple of ``divisor``, but not below 90 % of the count or below ``divisor``.

    Source: the reference code of MobileNetV2. All ports follow its rule, and checkpoints depend on it.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class MobileNet(FreezableBackbone):
    """Base class of the MobileNets. A subclass adds the stem, its stages and, if it has one, the last convolution.

    Args:
        num_stages: Number of stages, ``layer1`` to ``layerN``.
        act_cfg: Config of the activation under study.
        base_act_cfg: Config of the activation everywhere else.
        out_indices: Indices of the outputs to return, in ascending order.
        in_channels: Channels of the image.
        frozen_stages: 0 freezes the stem; k freezes the stem and layer1 to layerk; ``num_stages + 1`` also freezes the last
            convolution; -1 freezes nothing. Activations are frozen with their stage.
        conv_cfg: Config of the convolutions; plain Conv2d if None.
        norm_cfg: Config of the norms, and of the activations' norms unless ``act_cfg`` has a ``norm_cfg``.
        norm_eval: Whether batch norms stay in eval mode during training, so that their statistics are fixed.
        act_norm_eval: The same for the norms inside activations; None follows ``norm_eval``. False lets untrained
            windows gather statistics while the network's own norms stay fixed.
        with_cp: Whether to checkpoint the blocks, which saves memory and runs their forward twice.
        act_stages: Stages that get ``act_cfg``; 0 is layer1. None means all stages, as in the authors' light networks.
        act_sites: Sites of a block that get it: ``'all'``, ``'partial'`` (after the depthwise convolution only), or a tuple
            of ``act1`` and ``act2``, which are named in the order of computation.
        act_stem: Whether the stem gets it too.
        init_cfg: Initialisation config.
        recompute_norms: Whether a funnel activation saves the input of the preceding batch norm for backward, instead of
            the norm's output. The norm saves its input anyway. Values, gradients and state dict keys do not change. The
            option takes effect only where the result is exact.

    Raises:
        ValueError: If a stage, site or output does not exist, or another value is out of range.
    """

    block: ClassVar[Type[MobileBlock]]
    stem_name: ClassVar[str] = 'conv1'
    stem_output: ClassVar[int] = -1
    """Index of the stem's output; layer1 is the next. With -1 the stem is not an output."""
    has_last: ClassVar[bool] = True
    """Whether a last convolution follows the stages. It is built only if its output is requested."""

    def __init__(
        self,
        num_stages: int,
        act_cfg: dict,
        base_act_cfg: dict,
        out_indices: Sequence[int],
        in_channels: int = 3,
        frozen_stages: int = -1,
        conv_cfg: Optional[dict] = None,
        norm_cfg: dict = dict(type='BN'),
        norm_eval: bool = False,
        act_norm_eval: Optional[bool] = None,
        with_cp: bool = False,
        act_stages: Optional[Sequence[int]] = None,
        act_sites: Sites = 'all',
        act_stem: bool = False,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__(
            init_cfg
            or [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        )
        check_out_indices(out_indices, self.stem_output + 1 + num_stages + self.has_last)
        check_frozen_stages(frozen_stages, num_stages + self.has_last)
        act_norm_eval = norm_eval if act_norm_eval is None else act_norm_eval
        check_switches(
            norm_eval=norm_eval,
            act_norm_eval=act_norm_eval,
            with_cp=with_cp,
            act_stem=act_stem,
            recompute_norms=recompute_norms,
        )
        self.out_indices = out_indices
        self.in_channels = in_channels
        self.frozen_stages = frozen_stages
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.norm_eval = norm_eval
        self.act_norm_eval = act_norm_eval
        self.with_cp = with_cp
        self.recompute_norms = recompute_norms
        self.act_cfg = act_cfg
        self.base_act_cfg = base_act_cfg
        self.act_stem = act_stem
        self.act_sites = resolve_sites(act_sites, self.block)
        stages = range(num_stages) if act_stages is None else act_stages
        self.act_stages = resolve_stages(stages, num_stages)
        self.stage_names = [f'layer{stage + 1}' for stage in range(num_stages)]
        self.last_name: Optional[str] = None

    def _add_stem(self, channels: int, conv_cfg: Optional[dict] = None) -> None:
        width = channels * maps_before(self._act_cfg(self.act_stem))
        conv = self._conv(
            self.in_channels, width, 3, stride=2, padding=1, conv_cfg=conv_cfg or self.conv_cfg
        )
        self.add_module(self.stem_name, conv)
        self.stem_act = self._activation(self.act_stem, channels)

    def _add_last(self, name: str, in_channels: int, out_channels: int, act_last: bool) -> None:
        """Add the 1x1 convolution after the last stage, if its output is requested."""
        check_switches(act_last=act_last)
        self._last_prefixes = (f'{name}.', 'last_act.')
        if self.stem_output + 1 + len(self.stage_names) in self.out_indices:
            self.last_name = name
            width = out_channels * maps_before(self._act_cfg(act_last))
            self.add_module(name, self._conv(in_channels, width, 1, conv_cfg=self.conv_cfg))
            self.last_act = self._activation(act_last, out_channels)

    def _add_stage(
        self,
        stage: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilations: Sequence[int],
        **options,
    ) -> None:
        """Add a stage with one block for each entry of ``dilations``. The first block has the stride."""
        build: Callable[..., MobileBlock] = self.block  # subclasses take more arguments
        blocks = []
        for index, dilation in enumerate(dilations):
            blocks.append(
                build(
                    in_channels if index == 0 else out_channels,
                    out_channels,
                    stride=stride if index == 0 else 1,
                    dilation=dilation,
                    **options,
                    **self._block_options(stage),
                )
            )
        self.add_module(self.stage_names[stage], Sequential(*blocks))

    def _conv(self, *args, **options) -> ConvModule:
        return ConvModule(*args, norm_cfg=self.norm_cfg, act_cfg=None, **options)

    def _act_cfg(self, studied: bool) -> dict:
        return self.act_cfg if studied else self.base_act_cfg

    def _activation(self, studied: bool, channels: int) -> nn.Module:
        act_cfg = self._act_cfg(studied)
        return build_activation(act_cfg, channels, norm_cfg=self.norm_cfg, inplace=True)

    def _block_options(self, stage: int, base_act_cfg: Optional[dict] = None) -> Dict[str, Any]:
        """Return the options that all blocks of a stage share."""
        base_act_cfg = base_act_cfg or self.base_act_cfg
        sites = self.act_sites if stage in self.act_stages else ()
        return dict(
            act_cfgs=block_act_cfgs(self.block, sites, self.act_cfg, base_act_cfg),
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            with_cp=self.with_cp,
            recompute_norms=self.recompute_norms,
        )

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images of shape (N, in_channels, H, W).

        Returns:
            The outputs in ``out_indices``.
        """
        x = self._activate(self.stem_act, self.stem_name, x)
        outs = [x] if self.stem_output in self.out_indices else []
        for index, name in enumerate(self.stage_names, start=self.stem_output + 1):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        if self.last_name is not None:  # its output was requested
            outs.append(self._activate(self.last_act, self.last_name, x))
        return tuple(outs)

    def _activate(self, act: nn.Module, conv_name: str, x: Tensor) -> Tensor:
        return activate_conv(act, getattr(self, conv_name), x, self.recompute_norms)

    def _freeze_stages(self) -> None:
        if self.frozen_stages >= 0:
            freeze(getattr(self, self.stem_name))
            freeze(self.stem_act)
        for name in self.stage_names[: max(self.frozen_stages, 0)]:
            freeze(getattr(self, name))
        if self.frozen_stages > len(self.stage_names) and self.last_name is not None:
            freeze(getattr(self, self.last_name))
            freeze(self.last_act)

    def _activations(self) -> List[nn.Module]:
        blocks = [block for block in self.modules() if isinstance(block, MobileBlock)]
        last = [] if self.last_name is None else [self.last_act]
        return [self.stem_act, *(act for block in blocks for act in block.activations()), *last]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # A detector has no last convolution, but the classifier that it starts from has one: the keys are dropped silently.
        if self.has_last and self.last_name is None:
            prefixes = tuple(prefix + last for last in self._last_prefixes)
            for key in [key for key in state_dict if key.startswith(prefixes)]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)


def warn_of_another_start(network: str, act_cfg: dict, base_types: Sequence[str]) -> None:
    """Warn that ``init='identity'`` starts as ReLU, in a network whose checkpoints were trained with another activation.

    Args:
        network: Name of the network.
        act_cfg: Config of the activation under study.
        base_types: Types of the activations that it replaces.
    """
    others = sorted({str(kind) for kind in base_types} - {'ReLU'})
    if act_cfg.get('init') == 'identity' and others:
        names = ' and '.join(others)
        print_log(
            f"{network}: init='identity' starts {act_cfg['type']} as ReLU, but the usual checkpoints of this network were "
            f'trained with {names}. With such a checkpoint the output changes at step 0, and fine-tuning has to recover. '
            "To keep the output, use weights trained with ReLU and base_act_cfg=dict(type='ReLU').",
            logger='current',
            level=logging.WARNING,
        )
