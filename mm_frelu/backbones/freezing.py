"""Freeze parts of a backbone, and warn if this prevents an activation from learning."""

import logging
from typing import Dict, Iterable, List, Optional, Union

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn

from ..activations import DynamicReLU, FunnelActivation, Maxout, SEReLU


class FreezableBackbone(BaseModule):
    """Base class of the backbones. Frozen stages and fixed norms stay in eval mode during training.

    A subclass sets ``norm_eval`` and ``act_norm_eval`` and implements ``_freeze_stages`` and ``_activations``.

    Args:
        init_cfg: Initialisation config.
    """

    norm_eval: bool
    act_norm_eval: bool

    def __init__(self, init_cfg: Optional[Union[Dict, List[Dict]]] = None) -> None:
        super().__init__(init_cfg)
        self._told_untrained = False

    def train(self, mode: bool = True) -> 'FreezableBackbone':
        """Set the training mode. Frozen stages and fixed norms stay in eval mode."""
        super().train(mode)
        self._freeze_stages()
        if mode:
            fix_norms(self, self._activations(), self.norm_eval, self.act_norm_eval)
            if not self._told_untrained:
                self._told_untrained = warn_of_untrained_windows(self)
        return self

    def _freeze_stages(self) -> None:
        raise NotImplementedError

    def _activations(self) -> List[nn.Module]:
        raise NotImplementedError


def freeze(module: nn.Module) -> None:
    """Put a module into eval mode and disable the gradients of its parameters."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad = False


def fix_norms(
    backbone: nn.Module, activations: Iterable[nn.Module], norm_eval: bool, act_norm_eval: bool
) -> None:
    """Put batch norms into eval mode, so that their statistics stay fixed during training.

    Args:
        backbone: The network.
        activations: Its activation modules.
        norm_eval: Whether to fix the network's own norms.
        act_norm_eval: Whether to fix the norms inside activations.
    """
    in_activations = {norm for act in activations for norm in act.modules()}
    for module in backbone.modules():
        fixed = act_norm_eval if module in in_activations else norm_eval
        if fixed and isinstance(module, _BatchNorm):
            module.eval()


def warn_of_untrained_windows(backbone: nn.Module) -> bool:
    """Warn of untrained activations that cannot learn, or whose windows cannot collect statistics.

    Call it when training starts, after the weights were loaded.

    Args:
        backbone: The network, in training mode.

    Returns:
        Whether there was anything to warn of.
    """
    frozen: List[str] = []
    fixed: List[str] = []
    for name, layer in backbone.named_modules():
        if not isinstance(layer, (FunnelActivation, DynamicReLU, Maxout, SEReLU)):
            continue
        learns = layer.can_learn()
        gathers = all(module.training for module in layer.modules())
        if not (learns and gathers) and layer.is_untrained():
            (fixed if learns else frozen).append(name)
    if frozen:
        _warn(
            frozen,
            'are frozen as initialised, so they will never learn. Load a checkpoint that was trained with them, '
            'or freeze less: check frozen_stages, and requires_grad=False in norm_cfg (windows can have their own, '
            'act_cfg=dict(norm_cfg=...)).',
        )
    if fixed:
        _warn(
            fixed,
            'keep the statistics mean 0, variance 1, because their norms are in eval mode. Set act_norm_eval=False to '
            'let them collect statistics while norm_eval=True fixes the other norms.',
        )
    return bool(frozen or fixed)


def _warn(names: List[str], what: str) -> None:
    shown = ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
    print_log(
        f'{len(names)} untrained activations ({shown}) {what}',
        logger='current',
        level=logging.WARNING,
    )
