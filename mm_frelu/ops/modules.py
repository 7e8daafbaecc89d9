"""Read the modules of a funnel activation and of the norms before it: their tensors, their specification, and why they have none."""

from operator import itemgetter
from typing import Any, Hashable, List, Optional, Sequence, Tuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm

from .eager import Branch, WindowModules
from .spec import BATCH, FIXED, NONE, NORM_LENGTH, FunnelSpec, Norm, Row, Window, accurate, facts

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
    """Return the tensors of a funnel activation with the norms before it, in the order of :mod:`.spec`."""
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
