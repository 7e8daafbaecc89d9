"""Build an activation for a given number of channels."""

import inspect
from difflib import get_close_matches
from typing import Any, List, Mapping, Type

from mmcv.cnn import build_activation_layer
from mmengine.registry import MODELS
from torch import nn

CHANNEL_ARGUMENTS = ('num_channels', 'num_parameters')
"""Names of the argument for the channel count: in this package, and in torch's PReLU."""

ACTIVATION_MODULES = (
    'torch.nn.modules.activation',
    'mmcv.cnn.bricks.activation',
    'mmcv.cnn.bricks.hsigmoid',
    'mmcv.cnn.bricks.hswish',
    'mmcv.cnn.bricks.swish',
    'mm_frelu.activations',
)


def build_activation(cfg: dict, num_channels: int, **defaults: Any) -> nn.Module:
    """Build an activation layer, and pass it the number of channels if it takes one.

    This way, changing the type in a config is enough to switch between ReLU, PReLU, SiLU, FReLU and others. Values in the
    config take precedence.

    Args:
        cfg: Config of the activation, ``dict(type='FReLU', ...)``.
        num_channels: Channels of the layer's input.
        **defaults: Arguments such as ``inplace=True`` or ``norm_cfg=...``, used if the layer takes them and the config
            does not set them.

    Returns:
        The layer.

    Raises:
        TypeError: If ``cfg`` is not a config.
        ValueError: If its type is not registered, or the layer does not take a key of ``cfg``.

    Examples:
        >>> build_activation(dict(type='FReLU'), 64).num_channels
        64
        >>> build_activation(dict(type='ReLU'), 64, inplace=True)
        ReLU(inplace=True)
    """
    check_config(cfg)
    parameters = inspect.signature(activation_class(cfg['type'])).parameters
    _require_known_keys(cfg, parameters)
    channels = dict.fromkeys(CHANNEL_ARGUMENTS, num_channels)
    filled = {key: value for key, value in {**defaults, **channels}.items() if key in parameters}
    return build_activation_layer({**filled, **cfg})


def check_config(cfg: Any) -> None:
    """Raise TypeError unless this is the config of an activation."""
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise TypeError(
            f"An activation config is a dict with a type, as in dict(type='FReLU'); got {cfg!r}."
        )


def _require_known_keys(cfg: dict, parameters: Mapping[str, inspect.Parameter]) -> None:
    """Reject keys that the layer does not take, such as an ``init`` left over after the type was changed from FReLU to ReLU."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    odd = [key for key in cfg if key not in parameters and key not in ('type', '_scope_')]
    if odd:
        known = ', '.join(parameters) or 'none'
        raise ValueError(
            f'act_cfg {cfg!r}: this activation does not take {", ".join(odd)}. Its arguments are: {known}. Remove the key; '
            'if a base config sets it, add _delete_=True to the act_cfg.'
        )


def activation_class(type_: Any) -> Type[nn.Module]:
    """Look up the class of an activation by its name in a config.

    Args:
        type_: Registered name or class.

    Raises:
        ValueError: If it is not registered.
    """
    layer: Any = type_ if inspect.isclass(type_) else MODELS.get(type_)
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
    """Return the names under which activation layers are registered, sorted."""
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
