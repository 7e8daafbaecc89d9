"""Building an activation where its channel count is known."""

import inspect
from difflib import get_close_matches
from typing import Any, List, Type

from mmcv.cnn import build_activation_layer
from mmengine.registry import MODELS
from torch import nn

CHANNEL_ARGUMENTS = ('num_channels', 'num_parameters')
"""What activation layers call their channel count: ours, and torch's PReLU."""

ACTIVATION_MODULES = (
    'torch.nn.modules.activation',
    'mmcv.cnn.bricks.activation',
    'mmcv.cnn.bricks.hsigmoid',
    'mmcv.cnn.bricks.hswish',
    'mmcv.cnn.bricks.swish',
    'mm_frelu.activations',
)


def build_activation(cfg: dict, num_channels: int, **defaults: Any) -> nn.Module:
    """Build an activation layer, telling it the channel count if it takes one.

    A config then swaps ReLU, PReLU, SiLU, FReLU or another layer by one word. A value that the config gives itself is
    kept.

    Args:
        cfg: Config of the activation, ``dict(type='FReLU', ...)``.
        num_channels: Channels of the features that it will act on.
        **defaults: Further arguments for layers that take them and whose config does not give them, for instance
            ``inplace=True`` or ``norm_cfg=...``.

    Returns:
        The layer.

    Raises:
        TypeError: If ``cfg`` is not a config.
        ValueError: If its type is not registered.

    Examples:
        >>> build_activation(dict(type='FReLU'), 64).num_channels
        64
        >>> build_activation(dict(type='ReLU'), 64, inplace=True)
        ReLU(inplace=True)
    """
    check_config(cfg)
    parameters = inspect.signature(activation_class(cfg['type'])).parameters
    channels = dict.fromkeys(CHANNEL_ARGUMENTS, num_channels)
    filled = {key: value for key, value in {**defaults, **channels}.items() if key in parameters}
    return build_activation_layer({**filled, **cfg})


def check_config(cfg: Any) -> None:
    """Raise TypeError unless this is the config of an activation."""
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise TypeError(
            f"An activation config is a dict with a type, as in dict(type='FReLU'); got {cfg!r}."
        )


def activation_class(type_: Any) -> Type[nn.Module]:
    """The class of an activation, from its name in a config.

    Raises:
        ValueError: If it is not registered.
    """
    layer = type_ if inspect.isclass(type_) else MODELS.get(type_)
    if layer is None:
        names = activation_names()
        spelt = {name.lower(): name for name in names}
        near = get_close_matches(str(type_).lower(), spelt, n=1)
        hint = f" Did you mean '{spelt[near[0]]}'?" if near else ''
        raise ValueError(
            f"Unknown activation '{type_}'.{hint} Registered activations: {', '.join(names)}."
        )
    return layer


def activation_names() -> List[str]:
    """The names under which activation layers are registered, sorted."""
    return sorted(
        name
        for name, layer in MODELS.module_dict.items()
        if layer.__module__.startswith(ACTIVATION_MODULES)
    )


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation layer of torch, mmcv or this package."""
    kind = type(module)
    known = kind.__module__.startswith(ACTIVATION_MODULES)
    return known and not isinstance(module, nn.MultiheadAttention)
