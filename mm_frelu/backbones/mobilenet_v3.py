"""MobileNetV3 (Howard et al., ICCV 2019, tables 1 and 2) with DY-ReLU or another activation at the sites given in the config.

With its original activations and squeeze-and-excitation, its output and state dict are the same as those of MobileNetV3 in
mmseg and mmpretrain. These two pad differently, see ``adaptive_padding``. The DY-ReLU paper removes squeeze-and-excitation
from blocks with DY-ReLU, which depends on the whole input itself.
"""

from typing import Any, ClassVar, Dict, NamedTuple, Optional, Sequence, Tuple

from ..activations import DynamicReLU
from ..activations.builder import activation_class
from ..registry import MODELS
from .mobilenet import MobileNet, warn_of_another_start
from .mobilenet_v3_block import InvertedResidualV3
from .options import check_switches

STEM_CHANNELS = 16


class Row(NamedTuple):
    """A block, one row of the paper's tables. The tables call ReLU RE and h-swish HS."""

    kernel_size: int
    hidden: int
    out_channels: int
    with_se: bool
    act: str
    stride: int


@MODELS.register_module()
class MobileNetV3(MobileNet):
    """MobileNetV3 backbone. By default it has DY-ReLU-B at both sites of all blocks, and h-swish in the stem.

    As in the DY-ReLU paper, blocks with DY-ReLU have no squeeze-and-excitation. With any other activation they keep it.
    ``with_se`` overrides this. The baseline is ``act_cfg=None``.

    ``init='identity'`` starts as ReLU. In the usual checkpoints more than half of the blocks have h-swish, so the output at
    the start differs from that of the checkpoint's network. A warning says so.

    Args:
        arch: ``'small'`` or ``'large'``.
        out_indices: Indices of the outputs to return. 0 is the stem, k is layerk, and the number of layers plus 1 is the last
            1x1 convolution (576 or 960 channels), which is built only if requested. None selects the last layer of the
            resolutions with strides 4, 8, 16 and 32: layers 1, 3, 8, 11 of ``'small'``, 3, 6, 12, 15 of ``'large'``.
        output_stride: 32; or 16 or 8 for segmentation, where further strides become dilations. mmseg's network has 8.
        adaptive_padding: Whether strided convolutions pad like TensorFlow. mmseg's checkpoints need it, mmpretrain's do not.
        with_se: Whether the layers that have squeeze-and-excitation in the paper's tables have it here. None: only layers
            without DY-ReLU have it.
        act_cfg: Config of the activation under study; None keeps the original activations everywhere.
        act_last: Whether the last 1x1 convolution gets it too.
        base_act_cfg: Config of the activation everywhere else. None keeps the original ones: ReLU in the first layers,
            h-swish in the stem and in the later layers.
        **options: Arguments of :class:`.mobilenet.MobileNet`: ``act_stages`` (0 is layer1), ``act_sites``, ``act_stem``,
            ``frozen_stages``, ``norm_cfg``, ``norm_eval``, ``act_norm_eval``, ``with_cp``, ``conv_cfg``, ``in_channels``,
            ``init_cfg``, ``recompute_norms``. Checkpoints trained on ImageNet need ``norm_cfg=dict(type='BN', eps=0.001,
            momentum=0.01)``.

    Raises:
        ValueError: If the architecture or the stride does not exist, or another value is out of range.

    Examples:
        >>> import torch
        >>> model = MobileNetV3('small', act_cfg=dict(type='DyReLUB'))
        >>> [tuple(feature.shape) for feature in model(torch.rand(1, 3, 64, 64))]
        [(1, 16, 16, 16), (1, 24, 8, 8), (1, 48, 4, 4), (1, 96, 2, 2)]
    """

    block = InvertedResidualV3
    stem_name = 'layer0'
    stem_output = 0
    arch_settings: ClassVar[Dict[str, Tuple[Row, ...]]] = {
        'small': (
            Row(3, 16, 16, True, 'ReLU', 2),
            Row(3, 72, 24, False, 'ReLU', 2),
            Row(3, 88, 24, False, 'ReLU', 1),
            Row(5, 96, 40, True, 'HSwish', 2),
            Row(5, 240, 40, True, 'HSwish', 1),
            Row(5, 240, 40, True, 'HSwish', 1),
            Row(5, 120, 48, True, 'HSwish', 1),
            Row(5, 144, 48, True, 'HSwish', 1),
            Row(5, 288, 96, True, 'HSwish', 2),
            Row(5, 576, 96, True, 'HSwish', 1),
            Row(5, 576, 96, True, 'HSwish', 1),
        ),
        'large': (
            Row(3, 16, 16, False, 'ReLU', 1),
            Row(3, 64, 24, False, 'ReLU', 2),
            Row(3, 72, 24, False, 'ReLU', 1),
            Row(5, 72, 40, True, 'ReLU', 2),
            Row(5, 120, 40, True, 'ReLU', 1),
            Row(5, 120, 40, True, 'ReLU', 1),
            Row(3, 240, 80, False, 'HSwish', 2),
            Row(3, 200, 80, False, 'HSwish', 1),
            Row(3, 184, 80, False, 'HSwish', 1),
            Row(3, 184, 80, False, 'HSwish', 1),
            Row(3, 480, 112, True, 'HSwish', 1),
            Row(3, 672, 112, True, 'HSwish', 1),
            Row(5, 672, 160, True, 'HSwish', 2),
            Row(5, 960, 160, True, 'HSwish', 1),
            Row(5, 960, 160, True, 'HSwish', 1),
        ),
    }

    def __init__(
        self,
        arch: str = 'small',
        out_indices: Optional[Sequence[int]] = None,
        output_stride: int = 32,
        adaptive_padding: bool = False,
        with_se: Optional[bool] = None,
        act_cfg: Optional[dict] = dict(type='DyReLUB'),
        act_last: bool = False,
        base_act_cfg: Optional[dict] = None,
        **options: Any,
    ) -> None:
        if arch not in self.arch_settings:
            raise ValueError(
                f'MobileNetV3 has no arch {arch!r}; use one of {tuple(self.arch_settings)}.'
            )
        if output_stride not in (8, 16, 32):
            raise ValueError(f'output_stride must be 8, 16 or 32; got {output_stride!r}.')
        check_switches(adaptive_padding=adaptive_padding, with_se=with_se is None or with_se)
        rows = self.arch_settings[arch]
        if act_cfg is None:
            act_cfg, options['act_stages'], options['act_stem'], act_last = {}, (), False, False
        super().__init__(
            num_stages=len(rows),
            act_cfg=act_cfg,
            base_act_cfg=base_act_cfg or dict(type='HSwish'),
            out_indices=_last_of_each_stride(rows) if out_indices is None else out_indices,
            **options,
        )
        bases = [base_act_cfg or dict(type=row.act) for row in rows]
        dynamic = self.act_stages if _is_dynamic(act_cfg) else ()
        warn_of_another_start(
            'MobileNetV3', act_cfg, [bases[stage]['type'] for stage in self.act_stages]
        )
        strided_cfg = dict(type='Conv2dAdaptivePadding') if adaptive_padding else self.conv_cfg
        self._add_stem(STEM_CHANNELS, conv_cfg=strided_cfg)
        channels, stride, dilation = STEM_CHANNELS, 2, 1
        for stage, row in enumerate(rows):
            dilates = stride * row.stride > output_stride
            if dilates:
                dilation *= row.stride
            else:
                stride *= row.stride
            block = InvertedResidualV3(
                channels,
                row.hidden,
                row.out_channels,
                row.kernel_size,
                stride=1 if dilates else row.stride,
                dilation=dilation,
                with_se=row.with_se and (stage not in dynamic if with_se is None else with_se),
                depthwise_cfg=strided_cfg if row.stride == 2 else self.conv_cfg,
                **self._block_options(stage, bases[stage]),
            )
            self.add_module(self.stage_names[stage], block)
            channels = row.out_channels
        self._add_last(f'layer{len(rows) + 1}', channels, rows[-1].hidden, act_last)
        self._freeze_stages()


def _is_dynamic(act_cfg: dict) -> bool:
    return bool(act_cfg) and issubclass(activation_class(act_cfg['type']), DynamicReLU)


def _last_of_each_stride(rows: Sequence[Row]) -> Tuple[int, ...]:
    """Return the indices of the layers before the strides 8, 16 and 32, and of the last layer."""
    strided = [index for index, row in enumerate(rows) if row.stride == 2]
    before = [index for index in strided if index > 0]
    return (*before[-3:], len(rows))
