r"""Specification of a funnel activation with the norms before it, without its tensors. Only this file reads its modules.

.. math::
    x = \sum_i \mathrm{norm}_i(u_i), \qquad y = \max(x,\ T(x))

Each branch :math:`u_i` is the output of a convolution, or a shortcut without norm; :math:`T` consists of windows. A backend
gets a :class:`FunnelSpec` and a flat row of tensors:

==================  ==========================================================
for each branch     features, then the tensors of its norm
for each window     weight (C, 1, kh, kw), bias (C,), the tensors of its norm
tensors of a norm   scale, shift, mean, variance, each (C,); number of batches
==================  ==========================================================

A missing tensor is None. In forward, mean and variance are the running statistics, which a norm in training updates. In
backward, they are the values that forward used.
"""

from functools import reduce
from operator import itemgetter
from typing import Any, Hashable, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm

from .eager import COMBINE, Branch, WindowModules

NONE, FIXED, BATCH = 'none', 'fixed', 'batch'
MODES = (NONE, FIXED, BATCH)

Row = Sequence[Any]
"""Tensors, or None for those that a layer does not have. The specification determines which are None."""

Description = Tuple[Any, Optional[str]]
"""A specification (None if the modules have none), and the reason why it cannot be computed by a backend, or None."""

NORM_LENGTH, BRANCH_LENGTH, WINDOW_LENGTH = 5, 6, 7


class Norm(NamedTuple):
    """Specification of a norm.

    Attributes:
        mode: ``'none'``, ``'fixed'`` (running statistics) or ``'batch'`` (statistics of the input).
        eps: Value added to the variance.
        momentum: Weight of the batch in the update of the running statistics; None for a cumulative average.
        group: Process group over which the statistics are synchronised, or None.
    """

    mode: str
    eps: float = 0.0
    momentum: Optional[float] = 0.0
    group: Any = None


class NormTensors(NamedTuple):
    """Tensors of a norm; None for those that it does not have. The mode determines whether mean and variance exist."""

    gamma: Optional[Tensor] = None
    beta: Optional[Tensor] = None
    mean: Any = None
    var: Any = None
    batches: Optional[Tensor] = None


class Window(NamedTuple):
    """Specification of a window: a depthwise convolution that preserves the shape of its input, and a norm."""

    kernel_size: Tuple[int, int]
    padding: Tuple[int, int]
    dilation: Tuple[int, int]
    norm: Norm


class FunnelSpec(NamedTuple):
    """Specification of a funnel activation with the norms before it.

    Attributes:
        branches: The norm of each branch of ``x``.
        windows: The windows.
        combine: How the windows are combined into one condition, ``'sum'`` or ``'max'``.
        dtype: Type in which the convolutions compute: that of the input, or that of autocast.
        inplace: Whether the result may overwrite the first branch if no gradient is needed.
    """

    branches: Tuple[Norm, ...]
    windows: Tuple[Window, ...]
    combine: str
    dtype: torch.dtype
    inplace: bool = False

    @property
    def norms(self) -> List[Norm]:
        """The norms of the branches, then those of the windows."""
        return [*self.branches, *(window.norm for window in self.windows)]

    @property
    def statistics(self) -> int:
        """Number of statistics tensors that forward returns: mean and variance of each norm with mode ``'batch'``."""
        return 2 * sum(norm.mode == BATCH for norm in self.norms)

    def branch(self, row: Row, index: int) -> Tuple[Tensor, NormTensors]:
        """Return the features of a branch and the tensors of its norm."""
        start = BRANCH_LENGTH * index
        return row[start], NormTensors(*row[start + 1 : start + BRANCH_LENGTH])

    def window(self, row: Row, index: int) -> Tuple[Tensor, Optional[Tensor], NormTensors]:
        """Return weight and bias of a window and the tensors of its norm."""
        start = BRANCH_LENGTH * len(self.branches) + WINDOW_LENGTH * index
        return row[start], row[start + 1], NormTensors(*row[start + 2 : start + WINDOW_LENGTH])

    @property
    def norm_starts(self) -> List[int]:
        """Index in the row at which the tensors of each norm start."""
        split = BRANCH_LENGTH * len(self.branches)
        end = split + WINDOW_LENGTH * len(self.windows)
        return [*range(1, split, BRANCH_LENGTH), *range(split + 2, end, WINDOW_LENGTH)]

    @property
    def batch_norms(self) -> List[Tuple[Norm, int, Optional[int]]]:
        """Norms with mode ``'batch'``, the index in the row of their tensors, and that of the convolution's bias."""
        branches = len(self.branches)
        return [
            (norm, start, start - 1 if index >= branches else None)
            for index, (norm, start) in enumerate(zip(self.norms, self.norm_starts))
            if norm.mode == BATCH
        ]

    def saved(self, row: Row, statistics: Sequence[Tensor]) -> List[Optional[Tensor]]:
        """Return the row to save for backward.

        Args:
            row: The row of forward.
            statistics: Mean and variance of each norm with mode ``'batch'``.
        """
        kept = list(row)
        for start in self.norm_starts:
            kept[start + 4] = None
        for index, (_, start, _) in enumerate(self.batch_norms):
            kept[start + 2 : start + 4] = statistics[2 * index : 2 * index + 2]
        return kept

    def compute(self, row: Row) -> Tuple[Tensor]:
        """Compute the activated features op by op, for autograd.

        Raises:
            RuntimeError: If a norm shares its statistics with other processes.
        """
        if any(norm.group is not None for norm in self.norms):
            raise RuntimeError(
                'SyncBN over several processes supports neither second derivatives nor several gradients at once, as in '
                'torch. Use BN.'
            )
        branches = [self.branch(row, index) for index in range(len(self.branches))]
        x = reduce(torch.add, (_normed(n, u, own) for n, (u, own) in zip(self.branches, branches)))
        conditions = []
        for index, window in enumerate(self.windows):
            weight, bias, own = self.window(row, index)
            z = F.conv2d(
                x.to(self.dtype),
                weight.to(self.dtype),
                None if bias is None else bias.to(self.dtype),
                padding=window.padding,
                dilation=window.dilation,
                groups=len(weight),
            )
            conditions.append(_normed(window.norm, z, own))
        return (torch.maximum(x, reduce(COMBINE[self.combine], conditions)),)

    def outputs_like(self, row: Row) -> Tuple[List[Tensor], List[Tensor]]:
        """Return empty tensors with the shapes of the outputs and of the statistics."""
        x = row[0]
        exact = accurate(x.dtype)
        statistics = [x.new_empty(x.shape[1], dtype=exact) for _ in range(self.statistics)]
        return [torch.empty_like(x)], statistics

    def move_running_statistics(
        self, row: Row, statistics: Sequence[Tensor], counts: Optional[Sequence[Any]] = None
    ) -> None:
        """Update running statistics with those of the batch, like torch.

        Args:
            row: The row of forward.
            statistics: Mean and biased variance of each norm with mode ``'batch'``, without the bias of a convolution.
            counts: Number of values per channel for each of these norms; by default that of the first features.
        """
        count = row[0].numel() // row[0].shape[1]
        for index, (norm, start, bias) in enumerate(self.batch_norms):
            move_running(
                norm,
                NormTensors(*row[start : start + NORM_LENGTH]),
                statistics[2 * index],
                statistics[2 * index + 1],
                counts[index] if counts else count,
                None if bias is None else row[bias],
            )

    def numbers(self) -> Tuple[List[int], List[float]]:
        """Encode the specification as integers and floats for an operator of a compiled graph; see :meth:`of_numbers`."""
        integers = [self.combine == 'max', DTYPES.index(self.dtype), len(self.branches)]
        integers += [MODES.index(norm.mode) for norm in self.branches]
        for window in self.windows:
            integers += [*window.kernel_size, *window.padding, *window.dilation]
            integers.append(MODES.index(window.norm.mode))
        return [int(value) for value in integers], [norm.eps for norm in self.norms]

    @classmethod
    def of_numbers(cls, integers: Sequence[int], floats: Sequence[float]) -> 'FunnelSpec':
        """Decode the result of :meth:`numbers`. It lacks momentum: compiled graphs update running statistics themselves."""
        combine, dtype, count, *rest = integers
        norms = iter(floats)
        branches = tuple(Norm(MODES[mode], next(norms)) for mode in rest[:count])
        windows = []
        for start in range(count, len(rest), 7):
            kh, kw, ph, pw, dh, dw, mode = rest[start : start + 7]
            norm = Norm(MODES[mode], next(norms))
            windows.append(Window((kh, kw), (ph, pw), (dh, dw), norm))
        return cls(branches, tuple(windows), ('sum', 'max')[combine], DTYPES[dtype])


DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _normed(norm: Norm, z: Tensor, tensors: NormTensors) -> Tensor:
    if norm.mode == NONE:
        return z
    gamma, beta, mean, var, _ = tensors
    return F.batch_norm(z, mean, var, gamma, beta, norm.mode == BATCH, 0.0, norm.eps)


def accurate(dtype: torch.dtype) -> torch.dtype:
    """Return the type for statistics of a tensor: float32 for half precision, else its own type."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def move_running(
    norm: Norm,
    tensors: NormTensors,
    mean: Tensor,
    var: Tensor,
    count: Any,
    bias: Optional[Tensor] = None,
) -> None:
    """Update the running statistics of one norm, in place.

    Args:
        norm: The norm.
        tensors: Its tensors.
        mean: Mean of the batch, of shape (C,), without the bias of the convolution.
        var: Its biased variance.
        count: Number of values per channel, as a number or a tensor with one element.
        bias: Bias of the convolution, which only shifts the mean.
    """
    momentum: Any = norm.momentum
    with torch.no_grad():
        if tensors.batches is not None:
            tensors.batches.add_(1)
            if momentum is None:
                # The cumulative average, as a tensor to avoid a synchronisation with the device.
                momentum = (1 / tensors.batches).to(mean.dtype)
        if tensors.mean is None:
            return
        mean = mean if bias is None else mean + bias
        unbiased = var * (count / (count - 1))
        for running, value in ((tensors.mean, mean), (tensors.var, unbiased)):
            running.lerp_(value.to(running.dtype), momentum)


# --- reading modules ---------------------------------------------------------------------------------------------------

# Each picks all its values in one call, because they are read in every call of a layer.
CONV_FIELDS = itemgetter(
    'in_channels',
    'out_channels',
    'groups',
    'kernel_size',
    'stride',
    'padding',
    'dilation',
    'padding_mode',
)
NORM_FIELDS = itemgetter('training', 'eps', 'momentum', 'track_running_stats', 'num_features')
BATCH_NORM_FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


def read_row(
    branches: Sequence[Branch], windows: Sequence[WindowModules]
) -> List[Optional[Tensor]]:
    """Return the tensors of a funnel activation with the norms before it, in the order given at the top of this file."""
    row: List[Optional[Tensor]] = []
    for u, norm in branches:
        row += (u, *_norm_tensors(norm))
    for conv, norm in windows:
        row += (_parameter(conv, 'weight'), _parameter(conv, 'bias'), *_norm_tensors(norm))
    return row


def _parameter(module: nn.Module, name: str) -> Optional[Tensor]:
    """Return a parameter. FSDP replaces parameters by plain tensor attributes while a checkpointed block runs again.

    nn.Module.__getattr__ would take several times as long in each call.
    """
    parameters = module._parameters
    return parameters[name] if name in parameters else getattr(module, name, None)


def _norm_tensors(norm: Optional[nn.Module]) -> Tuple[Optional[Tensor], ...]:
    if not isinstance(norm, _BatchNorm):
        return (None,) * NORM_LENGTH
    held = norm._buffers
    affine = _parameter(norm, 'weight'), _parameter(norm, 'bias')
    if norm.training and not norm.track_running_stats:  # nothing to update
        return (*affine, None, None, None)
    batches = held.get('num_batches_tracked') if norm.training else None
    return (*affine, held.get('running_mean'), held.get('running_var'), batches)


def row_key(
    branches: Sequence[Branch], windows: Sequence[WindowModules], row: Row
) -> Tuple[Hashable, ...]:
    """Return a key of everything that :func:`read_spec` and the choice of a backend depend on."""
    key: List[Any] = []
    for _, norm in branches:
        key += _norm_key(norm)
    for conv, norm in windows:
        key += (type(conv), has_hooks(conv))
        if type(conv) is nn.Conv2d:
            key += CONV_FIELDS(conv.__dict__)
        key += _norm_key(norm)
    key += [None if tensor is None else facts(tensor) for tensor in row]
    return tuple(key)


def _norm_key(norm: Optional[nn.Module]) -> Tuple[Any, ...]:
    if norm is None:
        return (None,)
    key = type(norm), has_hooks(norm)
    if not isinstance(norm, _BatchNorm):
        return key
    return (*key, group_of(norm), *NORM_FIELDS(norm.__dict__))


def facts(tensor: Tensor) -> Tuple[Hashable, ...]:
    """Return the properties of a tensor that kernels depend on, except its address."""
    return type(tensor), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def read_spec(
    branches: Sequence[Branch],
    windows: Sequence[WindowModules],
    combine: str,
    dtype: torch.dtype,
    inplace: bool = False,
) -> FunnelSpec:
    """Read the specification from modules in their current mode.

    Args:
        branches: Features, each with the norm that follows it, or None.
        windows: Convolution and norm of each window. :func:`unsupported_modules` must return None for them.
        combine: See :class:`FunnelSpec`.
        dtype: See there.
        inplace: See there.
    """
    return FunnelSpec(
        tuple(_spec_of(norm) for _, norm in branches),
        tuple(_window_of(conv, norm) for conv, norm in windows),
        combine,
        dtype,
        inplace,
    )


def _window_of(conv: Any, norm: nn.Module) -> Window:
    """Read the specification of a window. The padding of its Conv2d is given by numbers, not by a string."""
    return Window(
        tuple(conv.kernel_size), tuple(conv.padding), tuple(conv.dilation), _spec_of(norm)
    )


def _spec_of(norm: Optional[nn.Module]) -> Norm:
    if not isinstance(norm, _BatchNorm):
        return Norm(NONE)
    if not norm.training and norm.running_mean is not None:
        return Norm(FIXED, norm.eps)
    momentum = norm.momentum
    if momentum is None and norm.num_batches_tracked is None:
        momentum = 0.0  # like torch: without a counter there is no cumulative average
    return Norm(BATCH, norm.eps, momentum, group_of(norm))


def group_of(norm: Optional[nn.Module]) -> Any:
    """Return the process group over which a norm synchronises its statistics, or None."""
    if not isinstance(norm, nn.SyncBatchNorm) or not norm.training:
        return None
    if not (dist.is_available() and dist.is_initialized()):
        return None
    group = norm.process_group or dist.group.WORLD
    return group if dist.get_world_size(group) > 1 else None


def has_hooks(module: nn.Module) -> bool:
    """Whether calling a module differs from the forward of its class, due to hooks or its own ``forward`` attribute."""
    own = module.__dict__  # nn.Module.__getattr__ would take longer
    return bool(
        own['_forward_hooks']
        or own['_forward_pre_hooks']
        or own['_backward_hooks']
        or own['_backward_pre_hooks']
        or 'forward' in own
        or torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    )


# --- modules that have no specification --------------------------------------------------------------------------------


def unsupported_modules(
    branches: Sequence[Branch],
    windows: Sequence[WindowModules],
    dtype: torch.dtype,
    is_cast: bool,
) -> Optional[str]:
    """Return why modules cannot be expressed as a :class:`FunnelSpec`, or None if they can.

    Anything that a user added to these modules (hooks, parametrizations, their own forward) must run, so it is a reason.

    Args:
        branches: Features, each with the norm that follows it, or None.
        windows: Convolution and norm of each window.
        dtype: Type in which the convolutions compute.
        is_cast: Whether autocast determines that type.
    """
    x = branches[0][0]
    for u, norm in branches:
        reason = unsupported_features(u)
        if reason is not None:
            return reason
        if u.shape != x.shape or u.dtype != x.dtype or u.device != x.device:
            return 'the branches differ in shape, type or device'
        reason = None if norm is None else _unsupported_norm(norm, u, u.dtype)
        if reason is not None:
            return reason
    for conv, norm in windows:
        reason = _unsupported_convolution(conv, x, is_cast) or _unsupported_norm(norm, x, dtype)
        if reason is not None:
            return reason
    return None


def unsupported_features(x: Tensor) -> Optional[str]:
    """Return why a tensor is not a feature map, or None if it is."""
    if x.dim() == 4 and x.is_floating_point():
        return None
    return f'it takes feature maps of shape (N, C, H, W), not {x.dtype} of {x.dim()} dimensions'


def _unsupported_convolution(conv: nn.Module, x: Tensor, is_cast: bool) -> Optional[str]:
    if type(conv) is not nn.Conv2d:
        return f'a window is a {type(conv).__name__}, not a plain Conv2d'
    padding: Any = conv.padding  # may be a string such as 'same', which is not equal to any number
    plain = (
        conv.groups == conv.in_channels == conv.out_channels == x.shape[1]
        and conv.stride == (1, 1)
        and conv.padding_mode == 'zeros'
        and all(
            2 * pad == step * (size - 1)
            for pad, step, size in zip(padding, conv.dilation, conv.kernel_size)
        )
    )
    if not plain:
        return 'a window is not a depthwise convolution that keeps the shape of its input'
    weight, bias = conv.weight, conv.bias
    if weight.dtype != x.dtype and not is_cast:
        return f'a window has weights of {weight.dtype}, but the input is {x.dtype}'
    # Kernels rely on these shapes. Otherwise they would access memory outside the tensors.
    expected = (conv.out_channels, 1, *conv.kernel_size)
    if weight.shape != expected:
        return f'a window has weights of shape {tuple(weight.shape)}, but its convolution needs {expected}'
    if bias is not None and (bias.dtype != weight.dtype or bias.shape != weight.shape[:1]):
        return 'the bias of a window differs from its weights in type or length'
    if weight.device != x.device:
        return f'a window is on {weight.device}, but the input is on {x.device}'
    return _unsupported_hooks(conv)


def _unsupported_norm(norm: nn.Module, x: Tensor, dtype: torch.dtype) -> Optional[str]:
    if isinstance(norm, nn.Identity):
        return _unsupported_hooks(norm)
    name = type(norm).__name__
    if not isinstance(norm, _BatchNorm) or type(norm).forward not in BATCH_NORM_FORWARDS:
        return f'{name} is not a batch norm'
    dtype, channels = accurate(dtype), x.shape[1:2]
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        if value is None:
            continue
        if value.dtype != dtype:
            return f'the values of {name} are not {dtype}'
        if value.shape != channels:
            return f'{name} is not for {x.shape[1]} channels'
        if value.device != x.device:
            return f'{name} is not on {x.device}'
    return _unsupported_hooks(norm)


def _unsupported_hooks(module: nn.Module) -> Optional[str]:
    name = type(module).__name__
    return f'{name} has hooks or its own forward' if has_hooks(module) else None
