"""DY-ReLU-C, whose coefficients differ from position to position: Chen et al., "Dynamic ReLU", ECCV 2020."""

from typing import Any, Optional

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..ops import pool_and_project
from .checks import check_positive_number
from .dynamic_relu import DynamicReLU


@MODELS.register_module()
class DyReLUC(DynamicReLU):
    r"""Dynamic ReLU whose coefficients are scaled at each position by a spatial attention (figure 2c).

    .. math::
        y_{c,i} = \max_k \left( \pi_i a^k_c x_{c,i} + \pi_i b^k_c \right)
                = \pi_i \max_k \left( a^k_c x_{c,i} + b^k_c \right), \qquad
        \pi_i = \min\left( \gamma\, \mathrm{softmax}(z / \tau)_i,\ 1 \right)

    where :math:`z` is a 1x1 convolution of the input to one channel and :math:`\gamma = HW / 3`. Since :math:`\pi_i` is
    not negative, scaling the output once gives the same result as scaling every coefficient. The paper uses this variant in
    the head of keypoint detectors.

    With the paper's attention, no initialisation makes the layer equal to ReLU. The softmax sums to 1, so the mean of the
    attention is at most 1/3, and the attention is 1 at no more than a third of the positions. A uniform attention would
    give ReLU divided by 3, which is not what a pretrained network expects. ``init='identity'`` therefore requires
    ``attention_mean=1.0``, which differs from the paper. The attention is then 1 everywhere at the start, and the layer is
    exactly ReLU.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        temperature: :math:`\tau` of the softmax. 10 in the paper.
        attention_mean: :math:`\gamma / HW`, the mean of the attention before it is capped at 1. 1/3 in the paper.
        init: ``'paper'`` to initialise the convolution like torch; ``'identity'`` to initialise it with zeros.
        inplace: Accepted without effect, see :class:`.DynamicReLU`.
        **kwargs: Options of the coefficients, see :class:`.DynamicReLU`.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If a value is out of range, or if ``init='identity'`` would not start as ReLU.

    Examples:
        >>> import torch
        >>> DyReLUC(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    channel_wise = True

    def __init__(
        self,
        num_channels: Optional[int] = None,
        *,
        temperature: float = 10.0,
        attention_mean: float = 1 / 3,
        init: str = 'paper',
        inplace: Optional[bool] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_channels, init=init, **kwargs)
        check_positive_number('DyReLUC', 'temperature', temperature)
        check_positive_number('DyReLUC', 'attention_mean', attention_mean)
        if init == 'identity' and attention_mean != 1:
            raise ValueError(
                f"DyReLUC: init='identity' is exactly ReLU only with attention_mean=1.0, got {attention_mean!r}. "
                f"(With the paper's 1/3 the attention is 1 at no more than a third of the positions, whatever the "
                f"weights.) Set attention_mean=1.0, use DyReLUB, or use init='paper'."
            )
        self.temperature = temperature
        self.attention_mean = attention_mean

    def _add_layers(self) -> None:
        super()._add_layers()
        # Without bias: softmax cancels it.
        self.spatial = nn.Conv2d(self.num_channels, 1, 1, bias=False)

    def reset(self) -> None:
        """Initialise the weights, including the spatial convolution."""
        super().reset()
        self.spatial.reset_parameters()
        if self.init == 'identity':
            nn.init.zeros_(self.spatial.weight)

    def attention(self, x: Tensor) -> Tensor:
        r"""Compute the attention :math:`\pi`, between 0 and 1.

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Attention of shape (N, 1, H, W).
        """
        return self._attention_of(self.spatial(x), x.dtype)

    def _attention_of(self, logits: Tensor, dtype: torch.dtype) -> Tensor:
        """Compute the attention from the output of the spatial convolution, in the given dtype."""
        logits = logits / self.temperature
        # The softmax is about 1 / HW at each position, too small for half precision.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # The softmax is written out, so that equal logits give exactly attention_mean.
        exponents = (logits - logits.amax(dim=(2, 3), keepdim=True).detach()).exp()
        gamma = self.attention_mean * (logits.shape[2] * logits.shape[3])
        share = exponents * (gamma / exponents.sum(dim=(2, 3), keepdim=True))
        # Not clamp: with torch 2.14 its gradient is 0 where share is 1, which is everywhere after init='identity'.
        return torch.where(share > 1, 1.0, share).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Activate.

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Features of the same shape.
        """
        self._check(x)
        x, means, logits = pool_and_project(x, self.spatial, self.implementation)
        attention = self._attention_of(logits, x.dtype)
        return self._activate(x, *self._coefficients_of(means), attention)

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        return f'{super().extra_repr()}, temperature={self.temperature}, attention_mean={self.attention_mean}'
