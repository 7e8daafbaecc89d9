"""Config of a folded network: the same model, whose funnel activations have a bias and no norm."""

import inspect
from copy import deepcopy
from typing import Any, Dict, Optional, Type

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mm_frelu.activations.funnel_activation import FunnelActivation
from mm_frelu.engine.model_builder import without_pretrained

FOLDED = dict(norm_cfg=None, bias=True)
"""Config of a layer after ``FunnelActivation.switch_to_deploy``."""

_FROM_INPUT = ('GN', 'LN', 'IN', 'GroupNorm', 'LayerNorm', 'InstanceNorm')
"""Name prefixes of norms that compute their statistics from the input. They cannot be folded."""


def deploy_config(cfg: Config) -> Config:
    """Create the config for a folded checkpoint.

    Every config of a funnel activation in the model is updated with :data:`FOLDED`, whether it is given or the default of
    another layer, unless its norm cannot be folded (GN, LN, IN). Pretrained checkpoints are removed, because they have the
    norms that this model lacks.

    Args:
        cfg: The config that the weights were trained with. It is not changed.

    Returns:
        The new config.
    """
    init_default_scope(cfg.default_scope)
    deployed = deepcopy(cfg)
    deployed.model = _folded(without_pretrained(cfg.model), None)
    deployed.load_from = None
    deployed.resume = False
    return deployed


def _folded(node: Any, norm_cfg: Optional[Dict[str, Any]]) -> Any:
    """Rewrite a config. ``norm_cfg`` is what the parent layer passes to activations without their own ``norm_cfg``."""
    if isinstance(node, (list, tuple)):
        return type(node)(_folded(value, norm_cfg) for value in node)
    if not isinstance(node, dict):
        return node
    layer = _layer_class(node.get('type'))
    if _is_funnel(layer):
        own = node.get('norm_cfg', norm_cfg)
        had_norm = not ('norm_cfg' in node and node['norm_cfg'] is None)
        return type(node)({**node, **FOLDED}) if had_norm and _foldable(own) else node
    defaults = _default_funnels(layer)
    norm_cfg = node.get('norm_cfg', norm_cfg)
    return type(node)(
        {key: _folded(value, norm_cfg) for key, value in {**defaults, **node}.items()}
    )


def _foldable(norm_cfg: Optional[Dict[str, Any]]) -> bool:
    kind = (norm_cfg or {}).get('type', 'BN')
    name = kind.__name__ if inspect.isclass(kind) else str(kind)
    return not name.rsplit('.', 1)[-1].startswith(_FROM_INPUT)


def _default_funnels(layer: Optional[Type]) -> Dict[str, Any]:
    """Return the arguments of a layer, such as ``mm_frelu.ResNet``, whose default is a funnel activation."""
    found: Dict[str, Any] = {}
    for base in reversed(inspect.getmro(layer)) if inspect.isclass(layer) else ():
        if '__init__' not in vars(base) or base is object:
            continue
        for name, parameter in inspect.signature(vars(base)['__init__']).parameters.items():
            default = parameter.default
            if isinstance(default, dict) and _is_funnel(_layer_class(default.get('type'))):
                found[name] = deepcopy(default)
    return found


def _layer_class(kind: Any) -> Optional[Type]:
    if not isinstance(kind, str):
        return kind
    with MODELS.switch_scope_and_registry(None) as registry:
        return registry.get(kind)


def _is_funnel(layer: Any) -> bool:
    return inspect.isclass(layer) and issubclass(layer, FunnelActivation)
