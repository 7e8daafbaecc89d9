"""Maxout (Goodfellow et al., "Maxout Networks", ICML 2013), a baseline of the DY-ReLU paper."""

from functools import reduce
from typing import Optional

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..ops.context import is_exporting
from .checks import check_channels, check_choice, check_input, check_positive

INITS = ('paper', 'identity')
MAPS = ('own', 'conv')


@MODELS.register_module()
class Maxout(BaseModule):
    r"""Maximum of K linear maps, :math:`y = \max_{1 \le k \le K} (W_k z + b_k)`.

    In the comparison of the DY-ReLU paper, Maxout replaces a convolution and its activation with K convolutions of the same
    input :math:`z`, which cost K times as much. ``maps='conv'`` is this form: the convolution before the layer has K times as
    many output channels, and the layer takes the maximum. The MobileNets of mm_frelu build such convolutions.

    ``maps='own'`` works wherever an activation does. The first map is the input of the layer, which is the output :math:`x` of
    a single convolution. The other K - 1 maps are 1x1 convolutions of :math:`x`:
    :math:`y = \max(x, A_2 x + b_2, \dots, A_K x + b_K)`. They add ``(K - 1) * C * (C + 1)`` parameters and
    ``(K - 1) * C * C`` multiply-adds per position. This does not depend on the convolution before the layer. After a 1x1
    convolution from C to C channels, the cost is the same as in the paper. After a depthwise convolution, or one that
    increases the number of channels, it is much higher.

    Args:
        num_channels: Channels of the output. :func:`mm_frelu.build_activation` fills it in.
        num_maps: K, the number of maps, at least 2. The paper uses 2.
        maps: ``'own'`` or ``'conv'``. With ``'conv'``, the input has ``num_maps * num_channels`` channels, and the maps of
            each output channel are adjacent.
        init: ``'paper'`` or ``'identity'``, see :meth:`reset`.
        inplace: Accepted because mmcv's ConvModule passes it to every activation; has no effect.
        init_cfg: Initialisation config, applied after ``init``.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If a value is out of range, or if ``init='identity'`` is combined with ``maps='conv'``.

    Examples:
        >>> Maxout(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
        >>> Maxout(1, maps='conv')(torch.tensor([3.0, -2.0]).view(1, 2, 1, 1)).item()
        3.0
    """

    def __init__(
        self,
        num_channels: Optional[int] = None,
        num_maps: int = 2,
        maps: str = 'own',
        init: str = 'paper',
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_channels = check_channels('Maxout', num_channels)
        check_positive('Maxout', 'num_maps', num_maps)
        if num_maps == 1:
            raise ValueError('Maxout: num_maps=1 is a linear map. Use num_maps=2 or more.')
        check_choice('Maxout', 'maps', maps, MAPS)
        check_choice('Maxout', 'init', init, INITS)
        if init == 'identity' and maps == 'conv':
            raise ValueError(
                "Maxout: init='identity' (start as ReLU) does not work with maps='conv', whose maps are the weights of the "
                "convolution before the layer. Use maps='own', or use init='paper' and train the network from scratch."
            )
        self.num_maps = num_maps
        self.maps = maps
        self.init = init
        if maps == 'own':
            self.linear = nn.Conv2d(self.num_channels, (num_maps - 1) * self.num_channels, 1)
            self.reset()

    def reset(self) -> None:
        """Initialise the maps of the layer. With ``maps='conv'`` there are none.

        ``'paper'``: Gaussian weights with variance ``1 / num_channels``, and biases of zero. (The initialisation in the paper
        is not known to us.) If the inputs are independent and Gaussian with mean 0, each map has the variance of the input.
        With K = 2, the mean square of the output equals this variance too. ``'identity'``: weights and biases are zero, so
        ``max(x, 0)`` is exactly ReLU.
        """
        if self.maps == 'conv':
            return
        nn.init.zeros_(self.linear.get_parameter('bias'))
        if self.init == 'identity':
            nn.init.zeros_(self.linear.weight)
        else:
            nn.init.normal_(self.linear.weight, std=self.num_channels**-0.5)

    def init_weights(self) -> None:
        """Initialise the maps again, overriding a parent's ``init_cfg`` for convolution layers."""
        if not self.is_init:
            self.reset()
        super().init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation.

        Args:
            x: Features of shape (N, num_channels, H, W), or (N, num_maps * num_channels, H, W) with ``maps='conv'``.

        Returns:
            Features of shape (N, num_channels, H, W).
        """
        if self.maps == 'own':
            check_input('Maxout', x, self.num_channels)
            others = self.linear(x).chunk(self.num_maps - 1, dim=1)
            return reduce(torch.maximum, others, x)
        self._check_width(x)
        return reduce(torch.maximum, [x[:, k :: self.num_maps] for k in range(self.num_maps)])

    def _check_width(self, x: Tensor) -> None:
        width = self.num_maps * self.num_channels
        if not is_exporting() and x.shape[1] != width:
            raise ValueError(
                f"Maxout: with maps='conv', the convolution before the layer must have {width} output channels "
                f'({self.num_maps} maps for each of {self.num_channels} channels), got an input of shape {tuple(x.shape)}. '
                f"Only the MobileNets of mm_frelu build such convolutions. In other networks, use maps='own'."
            )

    def is_untrained(self) -> bool:
        """Whether the maps have not been trained: their biases start at zero and change in the first step."""
        if self.maps == 'conv':
            return False
        bias = self.linear.get_parameter('bias')
        return not bias.is_meta and not bool(bias.any())

    def can_learn(self) -> bool:
        """Whether training can change the maps of the layer."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        return f"num_maps={self.num_maps}, maps='{self.maps}', init='{self.init}'"


def maps_before(act_cfg: dict) -> int:
    """Return the factor by which an activation widens the convolution before it: K for Maxout with ``maps='conv'``, else 1.

    Args:
        act_cfg: Config of the activation.
    """
    is_maxout = act_cfg['type'] in ('Maxout', Maxout)
    return act_cfg.get('num_maps', 2) if is_maxout and act_cfg.get('maps') == 'conv' else 1
