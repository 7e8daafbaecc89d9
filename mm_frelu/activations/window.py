"""The window of a funnel activation: a depthwise convolution and its norm ("parametric pooling window", FReLU 3.1)."""

from typing import Any, Optional, Tuple

from mmcv.cnn import build_norm_layer
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

START_SHIFTS = (0, 1e-4)
"""Initial values of the shift of a window's norm: zero, or the small value of the official ShuffleNetV2."""


def build_window_conv(
    num_channels: int, kernel_size: Tuple[int, int], dilation: int, bias: bool
) -> nn.Conv2d:
    """Build a depthwise convolution that preserves the shape of its input.

    Args:
        num_channels: Channels, each with its own window.
        kernel_size: Height and width of the window, both odd.
        dilation: Distance between the taps, in pixels.
        bias: Whether each channel has a bias.
    """
    height, width = kernel_size
    return nn.Conv2d(
        num_channels,
        num_channels,
        kernel_size,
        padding=(dilation * (height // 2), dilation * (width // 2)),
        dilation=dilation,
        groups=num_channels,
        bias=bias,
    )


def build_window_norm(norm_cfg: Optional[dict], num_channels: int) -> nn.Module:
    """Build the norm after a window from a config like those of mmcv's layers.

    Two types differ from ``build_norm_layer``. ``LN`` normalises over the channels and positions of one sample, as in the
    group norm paper. This is a group norm with one group; ``nn.LayerNorm`` would normalise over the last dimension only.
    ``IN`` has a scale and a shift by default, which ``init='identity'`` requires.

    Args:
        norm_cfg: Config of the norm, or None for no norm.
        num_channels: Channels of the window.

    Raises:
        TypeError: If ``norm_cfg`` is neither a config nor None.
        ValueError: If the norm is not registered, or a group norm's groups do not divide the channels.
    """
    if norm_cfg is None:
        return nn.Identity()
    if not isinstance(norm_cfg, dict) or 'type' not in norm_cfg:
        raise TypeError(
            f"norm_cfg of a window is a dict with a type, as in dict(type='BN'), or None; got {norm_cfg!r}."
        )
    norm_cfg = dict(norm_cfg)
    if norm_cfg['type'] in ('LN', nn.LayerNorm):
        norm_cfg.update(type='GN', num_groups=1)
    elif norm_cfg['type'] in ('IN', 'IN2d', nn.InstanceNorm2d):
        norm_cfg.setdefault('affine', True)
    elif norm_cfg['type'] in ('GN', nn.GroupNorm):
        groups = norm_cfg.get('num_groups')
        if not groups or num_channels % groups:
            raise ValueError(
                f'norm_cfg of a window: {num_channels} channels are not divisible by '
                f'num_groups={groups}. Choose a divisor of {num_channels}.'
            )
    try:
        return build_norm_layer(norm_cfg, num_channels)[1]
    except KeyError as error:  # mmcv's message does not name the unknown type
        raise ValueError(
            f"norm_cfg of a window: there is no norm {norm_cfg['type']!r}. Use 'BN', 'SyncBN', 'GN', 'LN' or 'IN'."
        ) from error


def reset_window(conv: nn.Conv2d, norm: nn.Module, init: str) -> None:
    """Initialise a window.

    ``'paper'`` follows the official code of 2020: Gaussian weights of standard deviation
    ``sqrt(2 / (C * kh * kw))`` (fan-out), a uniform bias within ``1 / sqrt(kh * kw)``, a norm of scale 1 and shift 0.
    ``'identity'`` also sets the norm's scale to 0 (without a norm: the weights and bias), so that the condition is 0
    and the activation is exactly ReLU.

    Args:
        conv: The depthwise convolution.
        norm: The norm after it, or ``nn.Identity``.
        init: ``'paper'`` or ``'identity'``.

    Raises:
        ValueError: If ``init`` is ``'identity'`` and the norm has no scale.
    """
    conv.reset_parameters()
    nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
    last: Any = conv if isinstance(norm, nn.Identity) else norm
    if last is not conv:
        last.reset_parameters()
    if init == 'identity':
        if last.weight is None:
            raise ValueError(
                "init='identity' sets the scale of a window's norm to 0, but this norm has no scale. "
                "Remove affine=False from its norm_cfg, or use init='paper'."
            )
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)


def is_untouched(norm: nn.Module) -> bool:
    """Whether a window's norm is in its initial state: its parameters and its running statistics have not changed."""
    scales: Any = getattr(norm, 'weight', None)
    if scales is None or scales.is_meta:
        return False
    shifts: Any = norm.bias
    scaled = (scales != scales[0]).any() or scales[0] not in (0, 1)
    shifted = (shifts != shifts[0]).any() or shifts[0] not in START_SHIFTS
    means: Any = getattr(norm, 'running_mean', None)
    variances: Any = getattr(norm, 'running_var', None)
    seen = means is not None and (means.any() or (variances != 1).any())
    return not bool(scaled or shifted or seen)


def window_learns(conv: nn.Conv2d, norm: nn.Module) -> bool:
    """Whether training can change a window. If the norm's scale is frozen at zero, the convolution gets no gradient."""
    scale = getattr(norm, 'weight', None)
    silent = scale is not None and not scale.requires_grad and not scale.any()
    layers = [norm] if silent else [conv, norm]
    return any(parameter.requires_grad for layer in layers for parameter in layer.parameters())


def fold_window(conv: nn.Conv2d, norm: nn.Module) -> Tuple[nn.Conv2d, nn.Module]:
    """Fold a norm with running statistics into its convolution.

    Args:
        conv: The depthwise convolution.
        norm: The norm after it.

    Returns:
        The folded convolution (with a bias) and ``nn.Identity``. A norm that computes its statistics from the input (GN,
        LN, IN) cannot be folded; then both layers are returned unchanged.
    """
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
        return conv, norm
    training = conv.training
    folded = fuse_conv_bn_eval(conv.eval(), norm.eval())
    return folded.train(training), nn.Identity()
