"""FReLU, the funnel activation: Ma, Zhang, Sun, "Funnel Activation for Visual Recognition", ECCV 2020.

The flexible ReLU of arXiv 1706.08098 has the same short name but is a different activation.
"""

from typing import Optional

from mmengine.registry import MODELS

from .funnel_activation import FunnelActivation


@MODELS.register_module()
class FReLU(FunnelActivation):
    r"""Funnel activation with one square window per channel.

    .. math::
        y_{c,i,j} = \max(x_{c,i,j},\ T(x_{c,i,j})), \qquad
        T(x_{c,i,j}) = \mathrm{norm}(x^\omega_{c,i,j} \cdot p^\omega_c)

    where :math:`x^\omega` is the window centred on the pixel and :math:`p^\omega_c` its coefficients, shared by all
    positions of a channel (section 3, figure 2c). The layer adds ``k * k`` weights, a bias and two norm parameters per
    channel.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        kernel_size: Side of the window, odd. 3 in the paper.
        dilation: Distance between the elements of the window, in pixels. The official code keeps 1 even in dilated
            stages.
        bias: Whether the convolution has a bias, as in the official code. A batch norm cancels the bias, so the option
            then only affects the state dict.
        norm_cfg: Norm after the window: BN, SyncBN, GN, LN, IN, or None.
        init: ``'paper'`` to train from scratch; ``'identity'`` to be exactly ReLU at the start, for fine-tuning a
            network that was trained with ReLU. MMEngine preserves a layer's initialisation only if all its parents are
            BaseModules. In a ConvModule or ``nn.Sequential``, an ``init_cfg`` of an outer module that sets norms to one
            overwrites it. Without a norm, an ``init_cfg`` that fills Conv2d does.
        inplace: Whether the input may be overwritten if no gradient is needed, as with ``nn.ReLU``. None means False.
        init_cfg: Initialisation config, applied after ``init``.
        implementation: Backend: ``'auto'``, ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``, see
            :mod:`mm_frelu.ops.dispatch`.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If the window is even or another value is out of range.

    Examples:
        >>> import torch
        >>> FReLU(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    window_names = (('conv', 'norm'),)

    def __init__(
        self,
        num_channels: Optional[int] = None,
        kernel_size: int = 3,
        dilation: int = 1,
        bias: bool = True,
        norm_cfg: Optional[dict] = dict(type='BN'),
        init: str = 'paper',
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
        implementation: str = 'auto',
    ) -> None:
        super().__init__(
            num_channels,
            kernel_size,
            dilation,
            init,
            init_cfg=init_cfg,
            implementation=implementation,
            inplace=inplace,
        )
        self._add_windows([(kernel_size, kernel_size)], bias, norm_cfg)
