"""Base class of the funnel activations: checks, initialisation, computation, folding."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops import IMPLEMENTATIONS, Branch, activate, sum_of_norms
from ..ops.modules import has_hooks
from .checks import check_channels, check_choice, check_input, check_positive
from .live import ShowsImplementation
from .window import (
    build_window_conv,
    build_window_norm,
    fold_window,
    is_untouched,
    reset_window,
    window_learns,
)

INITS = ('paper', 'identity')


class FunnelActivation(ShowsImplementation, BaseModule):
    r"""Base class of the layers :math:`y = \max(x, T(x))` whose condition :math:`T` consists of depthwise windows.

    A subclass names its windows in :attr:`window_names` and passes their shapes to :meth:`_add_windows`.

    Args:
        num_channels: Channels of the input.
        kernel_size: Length of a window's side, odd.
        dilation: Distance between the taps of a window, in pixels.
        init: Initialisation of the windows, ``'paper'`` or ``'identity'`` (see :func:`.window.reset_window`).
        combine: How several windows are combined into one condition, ``'sum'`` or ``'max'``.
        init_cfg: Initialisation config of :class:`mmengine.model.BaseModule`, applied after ``init``.
        implementation: Backend: ``'auto'``, ``'eager'``, ``'recompute'``, ``'numba'`` or ``'triton'``, see
            :mod:`mm_frelu.ops.dispatch`.
        inplace: Whether the input may be overwritten, as with ``nn.ReLU``. This happens only if no gradient is needed and
            the backend supports it. None means False.
    """

    window_names: Tuple[Tuple[str, str], ...]
    """Names of the members (convolution, norm) of each window, in the order conv, norm, conv, norm: mmcv's
    ``fuse_conv_bn`` folds a norm into the convolution registered last before it."""

    def __init__(
        self,
        num_channels: Optional[int],
        kernel_size: int,
        dilation: int,
        init: str,
        combine: str = 'sum',
        init_cfg: Optional[dict] = None,
        implementation: str = 'auto',
        inplace: Optional[bool] = None,
    ) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        channels = check_channels(name, num_channels)
        check_positive(name, 'kernel_size', kernel_size)
        check_positive(name, 'dilation', dilation)
        if kernel_size % 2 == 0:
            raise ValueError(
                f'{name}: kernel_size must be odd, so that the window is centred on its pixel; got '
                f'{kernel_size}. Use {kernel_size - 1} or {kernel_size + 1}.'
            )
        check_choice(name, 'init', init, INITS)
        check_choice(name, 'combine', combine, ('sum', 'max'))
        check_choice(name, 'implementation', implementation, IMPLEMENTATIONS)
        self.num_channels = channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.init = init
        self.combine = combine
        self.implementation = implementation
        self.inplace = bool(inplace)

    def _add_windows(
        self, shapes: List[Tuple[int, int]], bias: bool, norm_cfg: Optional[dict]
    ) -> None:
        for (conv_name, norm_name), shape in zip(self.window_names, shapes):
            conv = build_window_conv(self.num_channels, shape, self.dilation, bias)
            norm = build_window_norm(norm_cfg, self.num_channels)
            reset_window(conv, norm, self.init)
            self.add_module(conv_name, conv)
            self.add_module(norm_name, norm)

    @property
    def windows(self) -> List[Tuple[nn.Conv2d, nn.Module]]:
        """The (convolution, norm) pairs of the condition."""
        # Read in each call. nn.Module.__getattr__ would take several times as long.
        modules: Dict[str, Any] = self._modules
        return [(modules[conv], modules[norm]) for conv, norm in self.window_names]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation.

        Args:
            x: Features of shape (N, num_channels, H, W). With ``inplace=True`` they may be overwritten if gradients are
                disabled.

        Returns:
            Features of the same shape.
        """
        return self._activate([(x, None)])

    def after_norms(self, branches: Sequence[Branch]) -> Tensor:
        """Apply the activation to a sum of norm outputs.

        The result is that of :meth:`forward` for the sum. A fused backend also computes the norms. It saves only the inputs of
        the norms for backward, which the norms of any network save; it saves neither the sum nor other intermediate results.

        Args:
            branches: Features of shape (N, num_channels, H, W), each with the norm that follows it, or None. The output
                of the first norm may be overwritten; so may the first features, as in :meth:`forward`.

        Returns:
            Features of the same shape.
        """
        if has_hooks(self):
            return self(sum_of_norms(branches))
        return self._activate(branches)

    def _activate(self, branches: Sequence[Branch]) -> Tensor:
        check_input(type(self).__name__, branches[0][0], self.num_channels)
        out, choice = activate(
            branches, self.windows, self.combine, self.implementation, self.inplace
        )
        self.show(choice)
        return out

    def init_weights(self) -> None:
        """Initialise the windows again, overriding a parent's ``init_cfg`` for Conv2d and norm layers."""
        if not self.is_init:
            for conv, norm in self.windows:
                reset_window(conv, norm, self.init)
        super().init_weights()

    def is_untrained(self) -> bool:
        """Whether the norm of a window is still in its initial state. Windows without norm or with a folded one count as trained."""
        return any(is_untouched(norm) for _, norm in self.windows)

    def can_learn(self) -> bool:
        """Whether training can change a window."""
        return any(window_learns(conv, norm) for conv, norm in self.windows)

    def switch_to_deploy(self) -> None:
        """Fold each window's norm into its convolution, in place. The output in eval mode is the same up to rounding.

        The state dict is then that of a layer built with ``norm_cfg=None, bias=True``. A norm that computes its
        statistics from the input (GN, LN, IN) is kept, and a message is logged.
        """
        for names, window in zip(self.window_names, self.windows):
            folded = fold_window(*window)
            for name, module in zip(names, folded):
                setattr(self, name, module)
            if not isinstance(folded[1], nn.Identity):
                print_log(
                    f'{type(self).__name__}: {type(folded[1]).__name__} computes its statistics from the input and '
                    f'cannot be folded into the window. It is kept.',
                    logger='current',
                )

    def extra_repr(self) -> str:
        """Return the options for the layer's repr."""
        combine = f", combine='{self.combine}'" if len(self.window_names) > 1 else ''
        return f"init='{self.init}'{combine}, {self.implementation_repr()}"
