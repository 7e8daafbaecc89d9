"""The norms of a site as arithmetic: statistics, scale and shift, gradient.

A batch norm is ``y = gamma * (z - mean) / sqrt(var + eps) + beta``. Its mean and variance are those of the batch, or of
all batches of a process group (SyncBN), or fixed (eval mode); with a norm left out ``y = z``.
"""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NONE, FIXED, BATCH = 'none', 'fixed', 'batch'


class Norm(NamedTuple):
    """What a norm does, without its tensors.

    Attributes:
        mode: ``'none'``, ``'fixed'`` (statistics given) or ``'batch'`` (statistics of the input).
        eps: Added to the variance.
        group: Process group whose batches are one batch; None for the own batch only.
    """

    mode: str
    eps: float = 0.0
    group: Any = None


class NormTensors(NamedTuple):
    """Scale, shift, mean and biased variance, each of shape (C,); None where there is none."""

    gamma: Optional[Tensor] = None
    beta: Optional[Tensor] = None
    mean: Optional[Tensor] = None
    var: Optional[Tensor] = None

    def of(self, channels: slice) -> 'NormTensors':
        """The same for some of the channels."""
        return NormTensors(*(part(tensor, channels) for tensor in self))


def part(tensor: Optional[Tensor], channels: slice) -> Optional[Tensor]:
    """Some channels of a tensor whose first dimension they are."""
    return None if tensor is None else tensor[channels]


def per_channel(values: Tensor) -> Tensor:
    """Shape (C,) as (C, 1, 1), which stretches over a feature map."""
    return values.view(-1, 1, 1)


def read_norm(norm: Optional[nn.Module]) -> Tuple[Norm, NormTensors]:
    """What a norm module does in the mode that it is in, and its tensors.

    Args:
        norm: A batch norm that :func:`.conditions.why_not_norm` has nothing against, ``nn.Identity`` or None.
    """
    if not isinstance(norm, _BatchNorm):
        return Norm(NONE), NormTensors()
    affine = (norm.weight, norm.bias)
    if not norm.training and norm.running_mean is not None:
        return Norm(FIXED, norm.eps), NormTensors(*affine, norm.running_mean, norm.running_var)
    return Norm(BATCH, norm.eps, group_of(norm)), NormTensors(*affine)


def group_of(norm: Optional[nn.Module]) -> Any:
    """The process group whose batches are one batch for a norm; None for the own batch only."""
    if not isinstance(norm, nn.SyncBatchNorm) or not norm.training:
        return None
    if not (dist.is_available() and dist.is_initialized()):
        return None
    group = norm.process_group or dist.group.WORLD
    return group if dist.get_world_size(group) > 1 else None


def update_running(norm: nn.Module, mean: Tensor, unbiased_var: Tensor) -> None:
    """Move a norm's running statistics towards those of a batch, by torch's rules.

    Args:
        norm: The batch norm.
        mean: Mean of the batch, of shape (C,).
        unbiased_var: Its variance, with n - 1 in the denominator.
    """
    if not (norm.training and norm.track_running_stats):
        return
    momentum = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:  # the average over all batches
            # As a tensor, so that nothing waits for the device.
            momentum = (1 / norm.num_batches_tracked).to(mean.dtype)
    if norm.running_mean is None:
        return
    with torch.no_grad():
        for running, value in ((norm.running_mean, mean), (norm.running_var, unbiased_var)):
            running.lerp_(value.to(running.dtype), momentum)


def accurate(dtype: torch.dtype) -> torch.dtype:
    """The type that statistics and products of a half-precision tensor are computed in."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def normalise(norm: Norm, tensors: NormTensors, z: Tensor) -> Tuple[Tensor, Sequence[Tensor]]:
    """A norm of mode ``'batch'``, in place.

    Args:
        norm: The norm.
        tensors: Its scale and shift.
        z: Features of shape (N, C, H, W), in single or double precision. They are overwritten.

    Returns:
        The normalised features; and the mean, the biased and the unbiased variance.
    """
    z, *statistics = _centre(z, norm)
    mean, var, _ = statistics
    z.mul_(per_channel(scale_of(norm, tensors._replace(mean=mean, var=var))))
    if tensors.beta is not None:
        z.add_(per_channel(tensors.beta))
    return z, statistics


def normalise_as_module(
    norm: Norm, tensors: NormTensors, z: Tensor
) -> Tuple[Tensor, Sequence[Tensor]]:
    """A norm by torch's own kernel: bit for bit what its module gives, which a start as exactly ReLU depends on.

    Args:
        norm: The norm, of mode ``'fixed'`` or ``'batch'``, without a process group.
        tensors: Its tensors.
        z: Features of shape (N, C, H, W).

    Returns:
        The normalised features; and for the mode ``'batch'`` the mean, the biased and the unbiased variance.
    """
    if norm.mode == FIXED:
        return renormalise_as_module(norm, tensors, z), ()
    # With a momentum of one, running statistics are those of the batch.
    mean, unbiased = z.new_zeros(2, z.shape[1], dtype=accurate(z.dtype)).unbind()
    value = F.batch_norm(
        _dense(z), mean, unbiased, tensors.gamma, tensors.beta, True, 1.0, norm.eps
    )
    count = z.numel() // z.shape[1]
    return value, (mean, unbiased * ((count - 1) / count), unbiased)


def renormalise_as_module(norm: Norm, tensors: NormTensors, z: Tensor) -> Tensor:
    """The same from statistics that are known."""
    mean, var = tensors.mean, tensors.var
    return F.batch_norm(_dense(z), mean, var, tensors.gamma, tensors.beta, False, 0.0, norm.eps)


def _dense(z: Tensor) -> Tensor:
    """Without gaps in memory. Over gaps, which a block of channels of several images has, torch's kernel rounds differently."""
    if z.is_contiguous(memory_format=torch.channels_last):
        return z
    return z.contiguous()


def renormalise(norm: Norm, tensors: NormTensors, z: Tensor) -> Tensor:
    """A norm whose statistics are known."""
    scale = scale_of(norm, tensors)
    shift = per_channel(shift_of(tensors, scale))
    value = torch.addcmul(shift, z.to(accurate(z.dtype)), per_channel(scale))
    return value.to(z.dtype)


def _centre(z: Tensor, norm: Norm) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    # Two passes: no difference of large squares.
    count = z.numel() // z.shape[1]
    mean = z.sum((0, 2, 3)) / count
    z.sub_(per_channel(mean))
    squares = (z * z).sum((0, 2, 3))
    if norm.group is None:
        return z, mean, squares / count, squares / max(count - 1, 1)
    total, joint_mean, joint_squares = _merge(count, mean, squares, norm.group)
    z.add_(per_channel(mean - joint_mean))
    return z, joint_mean, joint_squares / total, joint_squares / (total - 1)


def _merge(count: int, mean: Tensor, squares: Tensor, group: Any) -> Tuple[Tensor, Tensor, Tensor]:
    """Count, mean and squared deviations of all processes' batches together (Chan, Golub and LeVeque, 1979)."""
    own = torch.cat([mean, squares, mean.new_full((1,), count)])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(every, own, group=group)
    table = torch.stack(every)
    means, all_squares, counts = table.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    joint = (means * counts).sum(0) / total
    return total, joint, (all_squares + counts * (means - joint) ** 2).sum(0)


def scale_of(norm: Norm, tensors: NormTensors) -> Tensor:
    """What the norm multiplies its input with, for each channel."""
    scale = torch.rsqrt(tensors.var + norm.eps)
    return scale if tensors.gamma is None else scale * tensors.gamma


def shift_of(tensors: NormTensors, scale: Tensor) -> Tensor:
    """What it adds after that."""
    shift = -tensors.mean * scale
    return shift if tensors.beta is None else shift + tensors.beta


def norm_backward(
    norm: Norm, tensors: NormTensors, z: Tensor, grad: Tensor
) -> Tuple[Tensor, Optional[Tensor], Optional[Tensor]]:
    """Gradient of a norm.

    Args:
        norm: The norm, of mode ``'fixed'`` or ``'batch'``.
        tensors: Its tensors, the statistics of the batch included.
        z: Its input.
        grad: Gradient of its output, of the type of ``z``.

    Returns:
        Gradients of the input, the scale and the shift; None for a scale or shift that it has not.
    """
    if norm.group is not None:
        return _synchronised_backward(norm, tensors, z, grad)
    mask = [True, tensors.gamma is not None, tensors.beta is not None]
    invstd = torch.rsqrt(tensors.var + norm.eps)
    grads = torch.ops.aten.native_batch_norm_backward(
        grad,
        z,
        tensors.gamma,
        tensors.mean,
        tensors.var,
        tensors.mean,
        invstd,
        norm.mode == BATCH,
        norm.eps,
        mask,
    )
    return tuple(value if wanted else None for value, wanted in zip(grads, mask))


def _synchronised_backward(
    norm: Norm, tensors: NormTensors, z: Tensor, grad: Tensor
) -> Tuple[Tensor, Optional[Tensor], Optional[Tensor]]:
    """The means in the gradient are over all processes; scale and shift get this process's part, as DDP adds them up."""
    mean, invstd = per_channel(tensors.mean), torch.rsqrt(tensors.var + norm.eps)
    normalised = (z - mean) * per_channel(invstd)
    own = torch.stack([grad.sum((0, 2, 3)), (grad * normalised).sum((0, 2, 3))])
    count = own.new_full((1, own.shape[1]), z.numel() // z.shape[1])
    joint = torch.cat([own, count])
    dist.all_reduce(joint, group=norm.group)
    means = joint[:2] / joint[2]
    inner = grad - per_channel(means[0]) - normalised * per_channel(means[1])
    grad_z = (inner * per_channel(scale_of(norm, tensors))).to(grad.dtype)
    return (
        grad_z,
        None if tensors.gamma is None else own[1],
        None if tensors.beta is None else own[0],
    )


def group_in(norms: Sequence[Norm]) -> bool:
    """Whether one of the norms shares its statistics with other processes."""
    return any(norm.group is not None for norm in norms)
