"""Base class of the dynamic ReLUs: checks, initialisation, and the hyper function that computes the coefficients."""

from typing import ClassVar, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops import IMPLEMENTATIONS, activate_piecewise, pool
from ..ops.context import is_exporting
from .checks import (
    check_channels,
    check_choice,
    check_flag,
    check_input,
    check_positive,
    check_positive_number,
)
from .live import ShowsImplementation

INITS = ('paper', 'identity')


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Compute ``min(max(x, low), high)`` with a gradient of 1 at the bounds.

    The gradient of ``clamp`` at a bound is 0 from torch 2.14 on. A layer that starts at a bound could then not learn.
    """
    return torch.where(x > high, high, torch.where(x < low, low, x))


def hard_sigmoid(x: Tensor) -> Tensor:
    """Compute ``min(max((x + 3) / 6, 0), 1)``. torch's own function computes the gradient of a double ``x`` in float32."""
    return bounded((x + 3) / 6, 0.0, 1.0)


def _residual_of_sigmoid(x: Tensor) -> Tensor:
    return torch.tanh(x / 2)


def _residual_of_hard_sigmoid(x: Tensor) -> Tensor:
    return bounded(x / 3, -1.0, 1.0)


RESIDUALS = {'sigmoid': _residual_of_sigmoid, 'hard_sigmoid': _residual_of_hard_sigmoid}
""":math:`2 \\sigma(x) - 1` for each gate, with as few operators as possible, since each one is a kernel launch on a GPU."""


def _by_piece(values: Tensor) -> Tensor:
    """Reshape (N, K, C) to (K, N, C, 1, 1)."""
    return values.transpose(0, 1)[..., None, None]


class DynamicReLU(ShowsImplementation, BaseModule):
    r"""Base class of the layers whose slopes and intercepts depend on the whole input.

    .. math::
        y_c = \max_{1 \le k \le K} \left( a^k_c(x)\, x_c + b^k_c(x) \right), \qquad
        a^k_c(x) = \alpha^k + \lambda_a \Delta a^k_c(x), \qquad
        b^k_c(x) = \lambda_b \Delta b^k_c(x)

    with :math:`\alpha = (1, 0, \dots, 0)`. The residuals are computed by global average pooling, a linear layer that
    divides the width by R, ReLU, a second linear layer, and :math:`2 \sigma - 1`, which limits them to the range -1 to 1
    (figure 2).

    ``fc2`` outputs a1, b1, a2, b2, ..., each for all channels, in the order of mmdet's ``DyReLU``. The weights of mmdet's
    1x1 convolutions fit ``fc1`` and ``fc2`` after flattening.

    Args:
        num_channels: Channels of the input. :func:`mm_frelu.build_activation` fills it in.
        num_pieces: K, the number of linear pieces. One piece without intercept is a squeeze-and-excitation.
        reduction: R, the factor that divides the width between the two linear layers; 8 in the paper, 4 in DynamicHead
            and mmdet. The width is at least 1.
        lambda_a: Range of the slopes around their initial values.
        lambda_b: Range of the intercepts around zero.
        intercept: Whether the pieces have intercepts.
        gate: :math:`\sigma`, ``'sigmoid'`` (paper) or ``'hard_sigmoid'`` (DynamicHead, mmdet).
        init: ``'paper'`` or ``'identity'``, see :meth:`reset`.
        inplace: Accepted because mmcv's ConvModule passes it to every activation. It has no effect: forward needs the
            input twice, and backward needs it again.
        init_cfg: Initialisation config of :class:`mmengine.model.BaseModule`, applied after ``init``.
        implementation: Backend of the piecewise map: ``'auto'``, ``'eager'``, ``'recompute'`` or ``'triton'``, see
            :mod:`mm_frelu.ops.dispatch`.

    Raises:
        TypeError: If ``num_channels`` is missing.
        ValueError: If a value is out of range, or if ``init='identity'`` is combined with a single piece.
    """

    channel_wise: ClassVar[bool]
    """Whether each channel has its own coefficients."""

    start: Tensor

    def __init__(
        self,
        num_channels: Optional[int] = None,
        num_pieces: int = 2,
        reduction: int = 8,
        lambda_a: float = 1.0,
        lambda_b: float = 0.5,
        intercept: bool = True,
        gate: str = 'sigmoid',
        init: str = 'paper',
        inplace: Optional[bool] = None,
        init_cfg: Optional[dict] = None,
        implementation: str = 'auto',
    ) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        channels = check_channels(name, num_channels)
        check_positive(name, 'num_pieces', num_pieces)
        check_positive(name, 'reduction', reduction)
        check_positive_number(name, 'lambda_a', lambda_a)
        check_positive_number(name, 'lambda_b', lambda_b)
        check_flag(name, 'intercept', intercept)
        check_choice(name, 'gate', gate, tuple(RESIDUALS))
        check_choice(name, 'init', init, INITS)
        check_choice(name, 'implementation', implementation, IMPLEMENTATIONS)
        if init == 'identity' and num_pieces == 1:
            raise ValueError(
                f"{name}: init='identity' starts as ReLU, which has two pieces; num_pieces=1 is a "
                f"linear map. Use num_pieces=2 or more, or init='paper'."
            )
        self.num_channels = channels
        self.num_pieces = num_pieces
        self.reduction = reduction
        self.lambda_a = lambda_a
        self.lambda_b = lambda_b
        self.intercept = intercept
        self.gate = gate
        self.init = init
        self.implementation = implementation
        self._add_layers()
        self.reset()

    def _add_layers(self) -> None:
        squeezed = max(self.num_channels // self.reduction, 1)
        self.fc1 = nn.Linear(self.num_channels, squeezed)
        self.fc2 = nn.Linear(squeezed, self.num_pieces * self._kinds * self._width)
        # An integer buffer moves to another device with the layer but keeps its dtype. It is not in the state dict.
        start = torch.empty(self.num_pieces, 1, dtype=torch.int8)
        self.register_buffer('start', start, persistent=False)

    @property
    def _kinds(self) -> int:
        """Number of kinds of coefficients: slopes, and intercepts if there are any."""
        return 2 if self.intercept else 1

    @property
    def _width(self) -> int:
        """Number of channels with their own coefficients."""
        return self.num_channels if self.channel_wise else 1

    def reset(self) -> None:
        """Initialise the weights.

        ``'paper'``: the paper asks for coefficients that start near those of ReLU, (1, 0) and (0, 0), and gives no further
        details that we know of. The weights are initialised like torch's linear layer, as in the implementations that we
        know. The biases are zero, so that only the input changes the coefficients. ``'identity'`` also sets the weights of
        ``fc2`` to zero. The residuals are then zero for every input, and the layer is exactly ReLU.
        """
        for layer in (self.fc1, self.fc2):
            layer.reset_parameters()
            nn.init.zeros_(layer.bias)
        self.start.zero_()[0] = 1
        if self.init == 'identity':
            nn.init.zeros_(self.fc2.weight)

    def init_weights(self) -> None:
        """Initialise the layer again, overriding a parent's ``init_cfg`` for linear and convolution layers."""
        if not self.is_init:
            self.reset()
        super().init_weights()

    def coefficients(self, x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the slopes and intercepts for an input (the hyper function).

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Slopes of shape (K, N, C, 1, 1), where C is ``num_channels``, or 1 if the channels share them; and intercepts
            of the same shape, or None if the layer has no intercepts.
        """
        return self._coefficients_of(x.mean(dim=(2, 3)))

    def _coefficients_of(self, means: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the coefficients from the channel means, of shape (N, num_channels)."""
        hidden = F.relu(self.fc1(means))
        residuals = RESIDUALS[self.gate](self.fc2(hidden)).to(means.dtype)
        residuals = residuals.reshape(-1, self.num_pieces, self._kinds, self._width)
        slopes, *intercepts = residuals.unbind(2)
        slopes = _by_piece(torch.add(self.start, slopes, alpha=self.lambda_a))
        return slopes, _by_piece(intercepts[0] * self.lambda_b) if intercepts else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation.

        Args:
            x: Features of shape (N, num_channels, H, W).

        Returns:
            Features of the same shape.
        """
        self._check(x)
        x, means = pool(x, self.implementation)
        return self._activate(x, *self._coefficients_of(means))

    def _check(self, x: Tensor) -> None:
        if not is_exporting():
            check_input(type(self).__name__, x, self.num_channels)

    def _activate(
        self,
        x: Tensor,
        slopes: Tensor,
        intercepts: Optional[Tensor],
        attention: Optional[Tensor] = None,
    ) -> Tensor:
        out, choice = activate_piecewise(x, slopes, intercepts, attention, self.implementation)
        self.show(choice)
        return out

    def is_untrained(self) -> bool:
        """Whether the layer has not been trained: its last bias starts at zero and changes in the first step."""
        return not self.fc2.bias.is_meta and not bool(self.fc2.bias.any())

    def can_learn(self) -> bool:
        """Whether training can change the coefficients."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        return (
            f'num_pieces={self.num_pieces}, lambda_a={self.lambda_a}, lambda_b={self.lambda_b}, '
            f"intercept={self.intercept}, gate='{self.gate}', init='{self.init}', "
            f'{self.implementation_repr()}'
        )
