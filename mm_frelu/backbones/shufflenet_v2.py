"""ShuffleNetV2 with the light funnel activation at every site, as released by the FReLU authors.

Network: Ma et al., "ShuffleNet V2", ECCV 2018, table 5. Placement: FReLU paper, table 2 (ImageNet) and table 3 (RetinaNet).
"""

from typing import ClassVar, Dict, List, Optional, Sequence, Tuple, Union

from mmcv.cnn import build_norm_layer
from mmengine.model import Sequential
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..activations import FunnelActivation, build_activation
from ..registry import MODELS
from .freezing import FreezableBackbone, freeze
from .fused_norm import activate_in_row
from .options import check_frozen_stages, check_out_indices, check_switches
from .shufflenet_v2_block import ShuffleBlock, pointwise

STAGE_BLOCKS = (4, 8, 4)
STEM_CHANNELS = 24
NORM_SHIFT = 1e-4
"""Initial value of the shift of every norm in the official code."""


@MODELS.register_module()
class ShuffleNetV2(FreezableBackbone):
    """ShuffleNetV2 backbone with light FReLU or another activation at all of its 37 sites.

    Parameter names and channel order are those of the authors' code (FunnelAct, ShuffleNet-Series): ``first_conv``,
    ``features.0`` to ``features.15``, ``conv_last``. So is the initialisation: the weights of convolutions have the standard
    deviation 1 / in_channels_per_group, or 0.01 in the stem, and norms have scale 1 and shift 1e-4. This includes the windows
    unless they have their own initialisation (``init='identity'`` or an ``init_cfg``).

    Args:
        widen_factor: 0.5, 1.0, 1.5 or 2.0.
        out_indices: Indices of the outputs to return. 0, 1 and 2 are the three stages (strides 8, 16, 32). 3 is the last 1x1
            convolution (stride 32), which is built only if requested. Detectors use (0, 1, 2).
        frozen_stages: 0 freezes the stem; k freezes the stem and the first k stages; 4 freezes everything; -1 freezes
            nothing.
        norm_cfg: Config of the norms, and of the activations' norms unless ``act_cfg`` has a ``norm_cfg``.
        norm_eval: Whether batch norms stay in eval mode during training, so that their statistics are fixed.
        act_norm_eval: The same for the norms inside activations; None follows ``norm_eval``.
        with_cp: Whether to checkpoint the blocks, which saves memory and runs their forward twice.
        act_cfg: Config of the activation.
        init_cfg: Initialisation config, applied after the official initialisation.
        recompute_norms: Whether a funnel activation saves the input of the preceding batch norm for backward, instead of
            the norm's output. The norm saves its input anyway. Values, gradients and state dict keys do not change. The
            option takes effect only where the result is exact.

    Raises:
        ValueError: If the width, an output or a stage does not exist.

    Examples:
        >>> import torch
        >>> features = ShuffleNetV2(0.5, out_indices=(0, 1, 2))(torch.rand(1, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features]
        [(1, 48, 8, 8), (1, 96, 4, 4), (1, 192, 2, 2)]
    """

    arch_settings: ClassVar[Dict[float, Tuple[int, ...]]] = {
        0.5: (48, 96, 192, 1024),
        1.0: (116, 232, 464, 1024),
        1.5: (176, 352, 704, 1024),
        2.0: (244, 488, 976, 2048),
    }

    def __init__(
        self,
        widen_factor: float = 1.0,
        out_indices: Sequence[int] = (3,),
        frozen_stages: int = -1,
        norm_cfg: dict = dict(type='BN', requires_grad=True),
        norm_eval: bool = False,
        act_norm_eval: Optional[bool] = None,
        with_cp: bool = False,
        act_cfg: dict = dict(type='LightFReLU'),
        init_cfg: Optional[Union[dict, List[dict]]] = None,
        recompute_norms: bool = True,
    ) -> None:
        super().__init__(init_cfg)
        if widen_factor not in self.arch_settings:
            raise ValueError(
                f'ShuffleNetV2 has no widen_factor {widen_factor!r}; use one of {tuple(self.arch_settings)}.'
            )
        check_out_indices(out_indices, len(STAGE_BLOCKS) + 1)
        check_frozen_stages(frozen_stages, len(STAGE_BLOCKS) + 1)
        act_norm_eval = norm_eval if act_norm_eval is None else act_norm_eval
        check_switches(
            norm_eval=norm_eval,
            act_norm_eval=act_norm_eval,
            with_cp=with_cp,
            recompute_norms=recompute_norms,
        )
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.act_norm_eval = act_norm_eval
        self.recompute_norms = recompute_norms

        *stage_channels, last_channels = self.arch_settings[widen_factor]
        self.first_conv = Sequential(
            nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False),
            build_norm_layer(norm_cfg, STEM_CHANNELS)[1],
            build_activation(act_cfg, STEM_CHANNELS, norm_cfg=norm_cfg, inplace=True),
        )
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        blocks, self.stage_ends = [], []
        channels = STEM_CHANNELS
        for num_blocks, out_channels in zip(STAGE_BLOCKS, stage_channels):
            for index in range(num_blocks):
                stride = 2 if index == 0 else 1
                blocks.append(
                    ShuffleBlock(
                        channels,
                        out_channels,
                        stride,
                        norm_cfg,
                        act_cfg,
                        with_cp=with_cp,
                        recompute_norms=recompute_norms,
                    )
                )
                channels = out_channels
            self.stage_ends.append(len(blocks))
        self.features = Sequential(*blocks)
        self.conv_last = None
        if len(STAGE_BLOCKS) in out_indices:
            self.conv_last = Sequential(*pointwise(channels, last_channels, norm_cfg, act_cfg))
        self._start_windows_officially()
        self._freeze_stages()

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images of shape (N, 3, H, W).

        Returns:
            The outputs in ``out_indices``.
        """
        x = self.maxpool(activate_in_row(self.first_conv, x, self.recompute_norms))
        outs = []
        for index, block in enumerate(self.features, start=1):
            x = block(x)
            if index in self.stage_ends and self.stage_ends.index(index) in self.out_indices:
                outs.append(x)
        if self.conv_last is not None:
            outs.append(activate_in_row(self.conv_last, x, self.recompute_norms))
        return tuple(outs)

    def init_weights(self) -> None:
        """Initialise every convolution and norm like the official code, then apply ``init_cfg``."""
        if not self.is_init:
            windows = {module for act in self._activations() for module in act.modules()}
            for name, module in self.named_modules():
                if module in windows:
                    continue
                if isinstance(module, nn.Conv2d):
                    stem = name.startswith('first_conv')
                    nn.init.normal_(module.weight, std=0.01 if stem else 1 / module.weight.shape[1])
                elif isinstance(module, (_BatchNorm, nn.GroupNorm)):
                    nn.init.ones_(module.weight)
                    nn.init.constant_(module.bias, NORM_SHIFT)
        super().init_weights()

    def _start_windows_officially(self) -> None:
        # The official code treats a window like any depthwise convolution with one input channel per group.
        for act in self._activations():
            if isinstance(act, FunnelActivation) and act.init == 'paper' and act.init_cfg is None:
                std = 0.01 if act is self.first_conv[2] else 1.0
                act.init_cfg = [
                    dict(type='Normal', layer='Conv2d', std=std),
                    dict(
                        type='Constant', layer=['_BatchNorm', 'GroupNorm'], bias=NORM_SHIFT, val=1
                    ),
                ]

    def _activations(self) -> List[nn.Module]:
        last = [] if self.conv_last is None else [self.conv_last[2]]
        blocks = [act for block in self.features for act in block.activations()]
        return [self.first_conv[2], *blocks, *last]

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        freeze(self.first_conv)
        frozen_blocks = (0, *self.stage_ends, len(self.features))[self.frozen_stages]
        for block in self.features[:frozen_blocks]:
            freeze(block)
        if self.frozen_stages > len(STAGE_BLOCKS) and self.conv_last is not None:
            freeze(self.conv_last)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # A detector has no last convolution, but the classifier that it starts from has one: the keys are dropped silently.
        if self.conv_last is None:
            for key in [key for key in state_dict if key.startswith(f'{prefix}conv_last.')]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)
