"""ReLU with squeeze-and-excitation (Hu, Shen, Sun, CVPR 2018) as one layer; a baseline of the DY-ReLU paper."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .checks import check_channels, check_input, check_positive


@MODELS.register_module()
class SEReLU(BaseModule):
    r"""ReLU whose output is scaled, channel by channel, by a weight between 0 and 1 that depends on the whole input.

    .. math::
        y_c = s_c(r)\, r_c, \qquad r = \max(x, 0), \qquad s(r) = \sigma(F_2 \max(F_1 \bar r, 0))

    where :math:`\bar r` are the means of the channels and :math:`F_1`, :math:`F_2` linear layers. As an activation it can
    stand wherever DY-ReLU can, with the same squeeze: a comparison in which only the use of the coefficients differs.
    For squeeze-and-excitation in its place in SENet, before the addition, see
    :class:`mm_frelu.backbones.SqueezeExcitation`.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        reduction: What the width is divided by between the two linear layers; 16 in SENet. The width is at least 1.
        inplace: Accepted because mmcv's ConvModule passes it to every activation; has no effect.
        init_cfg: Initialisation config, applied after :meth:`reset`.

    Raises:
        TypeError: Without ``num_channels``.
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
        """Start with torch's weights for linear layers and biases of zero: scales around one half."""
        for layer in (self.fc1, self.fc2):
            layer.reset_parameters()
            nn.init.zeros_(layer.bias)

    def init_weights(self) -> None:
        """Start anew, whatever a parent's ``init_cfg`` for linear layers did."""
        if not self.is_init:
            self.reset()
        super().init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Activate.

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
        """Whether the layer is as it was built. Its last bias starts at zero and moves with the first step."""
        return not self.fc2.bias.is_meta and not bool(self.fc2.bias.any())

    def can_learn(self) -> bool:
        """Whether training can change the scales."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def extra_repr(self) -> str:
        """What the members do not show."""
        return f'reduction={self.reduction}'
