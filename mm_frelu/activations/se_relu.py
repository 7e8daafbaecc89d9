"""ReLU with squeeze-and-excitation (Hu, Shen and Sun, CVPR 2018) in one layer, a baseline of the DY-ReLU paper."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .checks import check_channels, check_input, check_positive


@MODELS.register_module()
class SEReLU(BaseModule):
    r"""ReLU that multiplies each channel of its output by a scale between 0 and 1, which depends on the whole input.

    .. math::
        y_c = s_c(r)\, r_c, \qquad r = \max(x, 0), \qquad s(r) = \sigma(F_2 \max(F_1 \bar r, 0))

    where :math:`\bar r` are the means of the channels, and :math:`F_1` and :math:`F_2` are linear layers. As an activation,
    it can replace DY-ReLU everywhere and has the same squeeze. The two then differ only in how they use the coefficients.
    For squeeze-and-excitation before the addition, as in SENet, see :class:`mm_frelu.backbones.SqueezeExcitation`.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        reduction: Factor that divides the width between the two linear layers; 16 in SENet. The width is at least 1.
        inplace: Accepted because mmcv's ConvModule passes it to every activation; has no effect.
        init_cfg: Initialisation config, applied after :meth:`reset`.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If ``reduction`` is not a positive integer.

    Examples:
        >>> SEReLU(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    def __init__(
        self,
        num_channels: Optional[int] = None,
        reduction: int = 16,
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_channels = check_channels('SEReLU', num_channels)
        check_positive('SEReLU', 'reduction', reduction)
        self.reduction = reduction
        squeezed = max(self.num_channels // reduction, 1)
        self.fc1 = nn.Linear(self.num_channels, squeezed)
        self.fc2 = nn.Linear(squeezed, self.num_channels)
        self.reset()

    def reset(self) -> None:
        """Initialise the weights like ``nn.Linear`` and the biases with zero, so that the scales are about one half."""
        for layer in (self.fc1, self.fc2):
            layer.reset_parameters()
            nn.init.zeros_(layer.bias)

    def init_weights(self) -> None:
        """Initialise the layer again, overriding a parent's ``init_cfg`` for linear layers."""
        if not self.is_init:
            self.reset()
        super().init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation.

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Features of the same shape.
        """
        check_input('SEReLU', x, self.num_channels)
        rectified = F.relu(x)
        scales = torch.sigmoid(self.fc2(F.relu(self.fc1(rectified.mean(dim=(2, 3))))))
        return rectified * scales[..., None, None].to(rectified.dtype)

    def is_untrained(self) -> bool:
        """Whether the layer has not been trained: its last bias starts at zero and changes in the first step."""
        return not self.fc2.bias.is_meta and not bool(self.fc2.bias.any())

    def can_learn(self) -> bool:
        """Whether training can change the scales."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        return f'reduction={self.reduction}'
