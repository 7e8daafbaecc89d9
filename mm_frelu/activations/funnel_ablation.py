"""Variants of FReLU from its ablation: Ma, Zhang, Sun, "Funnel Activation for Visual Recognition", table 5.

They exist to reproduce that comparison. In the paper, each of them performs worse than FReLU.
"""

from typing import Optional, Sequence, Tuple

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..ops import Branch, sum_of_norms
from .checks import check_choice
from .funnel_activation import FunnelActivation

CONDITIONS = ('window', 'max_pool', 'avg_pool')
FORMS = ('max', 'sum', 'relu')


@MODELS.register_module()
class FReLUAblation(FunnelActivation):
    r"""Funnel activation with a different condition, or with the same condition used differently.

    | Table 5 | Formula | ``condition`` | ``form`` |
    |---|---|---|---|
    | A | :math:`\max(x, T(x))` | ``'window'``: FReLU's window | ``'max'``: :class:`.FReLU` |
    | B | :math:`\max(x, P_m(x))` | ``'max_pool'`` | ``'max'`` |
    | C | :math:`\max(x, P_a(x))` | ``'avg_pool'`` | ``'max'`` |
    | D | :math:`x + T(x)` | ``'window'`` | ``'sum'`` |
    | E | :math:`\max(T(x), 0)` | ``'window'`` | ``'relu'`` |

    The pooling layers :math:`P_m` and :math:`P_a` have no parameters and, as written in the table, no norm. B is therefore
    plain max pooling with stride 1, since the window contains the pixel. D is linear. The paper does not say whether D and
    E have a norm after the window; here they have the norm of FReLU.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        condition: ``'window'``, ``'max_pool'`` or ``'avg_pool'``. At the border, max pooling ignores the padding. Average
            pooling counts it as zero, like FReLU's window with all weights equal to ``1 / kernel_size**2``.
        form: ``'max'``, ``'sum'`` or ``'relu'``.
        kernel_size: Side of the window, odd.
        dilation: Distance between the window's taps, in pixels. Must be 1 for pooling.
        bias: Whether a ``'window'`` has a bias.
        norm_cfg: Norm after a ``'window'``. Pooling ignores it, because backbones pass their norm to every activation.
        init: ``'paper'``. ``'identity'``, which is ReLU at the start, is supported for A only.
        inplace: Accepted because mmcv's ConvModule passes it to every activation. It has no effect.
        init_cfg: Initialisation config, applied after ``init``.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If a value is out of range, if pooling is dilated, or if ``init='identity'`` would not start as ReLU.

    Examples:
        >>> import torch
        >>> x = torch.tensor([1.0, -2.0, 3.0]).view(1, 1, 1, 3)
        >>> FReLUAblation(1, condition='max_pool')(x).flatten().tolist()
        [1.0, 3.0, 3.0]
    """

    window_names: Tuple[Tuple[str, str], ...] = (('conv', 'norm'),)

    conv: nn.Module
    norm: nn.Module

    def __init__(
        self,
        num_channels: Optional[int] = None,
        condition: str = 'window',
        form: str = 'max',
        kernel_size: int = 3,
        dilation: int = 1,
        bias: bool = True,
        norm_cfg: Optional[dict] = dict(type='BN'),
        init: str = 'paper',
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(num_channels, kernel_size, dilation, init, init_cfg=init_cfg)
        check_choice('FReLUAblation', 'condition', condition, CONDITIONS)
        check_choice('FReLUAblation', 'form', form, FORMS)
        if init == 'identity' and (condition, form) != ('window', 'max'):
            raise ValueError(
                f"FReLUAblation: init='identity' starts as ReLU, and condition='{condition}' with form='{form}' is not "
                f"ReLU for any weights. Use init='paper', and train the network from scratch."
            )
        self.condition = condition
        self.form = form
        if condition == 'window':
            self._add_windows([(kernel_size, kernel_size)], bias, norm_cfg)
        else:
            self.window_names = ()
            self.pool = _build_pool(condition, kernel_size, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation.

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Features of the same shape.
        """
        condition = self.norm(self.conv(x)) if self.condition == 'window' else self.pool(x)
        if self.form == 'max':
            return torch.maximum(x, condition)
        return x + condition if self.form == 'sum' else torch.relu(condition)

    def after_norms(self, branches: Sequence[Branch]) -> Tensor:
        """Apply the activation to a sum of norm outputs, op by op: the fused backends compute FReLU only.

        Args:
            branches: Features of shape (N, num_channels, H, W), each with the norm that follows it, or None.

        Returns:
            Features of the same shape.
        """
        return self(sum_of_norms(branches))

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        return f"condition='{self.condition}', form='{self.form}', init='{self.init}'"


def _build_pool(condition: str, kernel_size: int, dilation: int) -> nn.Module:
    """Build a pooling layer that preserves the shape of its input."""
    if dilation != 1:
        raise ValueError(
            f"FReLUAblation: condition='{condition}' does not support dilation; got dilation={dilation}. Set dilation=1."
        )
    pool = nn.MaxPool2d if condition == 'max_pool' else nn.AvgPool2d
    return pool(kernel_size, stride=1, padding=kernel_size // 2)
