"""Light FReLU: a row and a column window instead of a square one (FReLU paper, ablation on the window size)."""

from typing import Optional

from mmengine.registry import MODELS

from .funnel_activation import FunnelActivation


@MODELS.register_module()
class LightFReLU(FunnelActivation):
    r"""Funnel activation with a 1xk and a kx1 window per channel, each with its own norm.

    .. math::
        y = \max(x,\ T_1(x) + T_2(x)) \quad\text{or}\quad y = \max(x,\ \max(T_1(x), T_2(x)))

    The official ShuffleNetV2 uses the sum. In the paper's ablation on ResNet-50 the maximum performs better.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        kernel_size: Length of both windows, odd.
        dilation: Distance between a window's taps, in pixels.
        bias: Whether the convolutions have a bias. The official light form has none.
        combine: ``'sum'`` (official) or ``'max'``.
        norm_cfg: Norm after each window: BN, SyncBN, GN, LN, IN, or None.
        init: ``'paper'`` or ``'identity'``, as in :class:`mm_frelu.FReLU`.
        inplace: Whether the input may be overwritten if no gradient is needed, as with ``nn.ReLU``. None means False.
        init_cfg: Initialisation config, applied after ``init``.
        implementation: Backend: ``'auto'``, ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``, see
            :mod:`mm_frelu.ops.dispatch`.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If the window is even or another value is out of range.
    """

    window_names = (('conv1', 'norm1'), ('conv2', 'norm2'))

    def __init__(
        self,
        num_channels: Optional[int] = None,
        kernel_size: int = 3,
        dilation: int = 1,
        bias: bool = False,
        combine: str = 'sum',
        norm_cfg: Optional[dict] = dict(type='BN'),
        init: str = 'paper',
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
        implementation: str = 'auto',
    ) -> None:
        super().__init__(
            num_channels, kernel_size, dilation, init, combine, init_cfg, implementation, inplace
        )
        self._add_windows([(1, kernel_size), (kernel_size, 1)], bias, norm_cfg)
