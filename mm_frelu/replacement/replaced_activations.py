"""Child module that keeps the new activations initialised and in the right mode, in a model that does not know them."""

import functools
from typing import Any, Callable, Dict, List, Set

from mmengine.model import BaseModule
from torch import nn

from .sites import Site


class ReplacedActivations(BaseModule):
    """Keep the new activations of a model initialised and in the right mode.

    It has no parameters and no effect in forward. It is the last child of the model, so its methods are called last:

    - ``init_weights`` gives the layers their configured initialisation. MMEngine does not descend into children that are not
      BaseModules (the ``activate`` of a ConvModule, an ``nn.Sequential``), and an ``init_cfg`` or ``init_weights`` of an outer
      module that sets all norms to one would overwrite ``init='identity'``. Layers with loaded weights keep them. Before
      that, initialisers of outer modules do not reach the layers, because some of them (YOLACT's) treat every module with a
      weight like a convolution.
    - ``train`` gives the norms of a layer the mode of the layer. ``norm_eval=True`` of a backbone puts all its batch norms
      into eval mode. The norms of new windows would then never collect statistics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reports: List[Any] = []
        # Not registered as children: they are already part of the model.
        self._layers: Dict[str, List[nn.Module]] = {}
        self._loaded: Set[str] = set()

    def add(self, site: Site, layer: nn.Module) -> None:
        """Add a new activation."""
        self._layers[site.name] = [layer]
        vars(layer)['apply'] = functools.partial(_apply, layer)
        layer._register_load_state_dict_pre_hook(
            functools.partial(self._note_loading, site.name), with_module=True
        )

    def _note_loading(
        self, name: str, layer: nn.Module, state_dict: Dict[str, Any], prefix: str, *_: Any
    ) -> None:
        if any(prefix + key in state_dict for key, _ in layer.named_parameters()):
            self._loaded.add(name)

    def init_weights(self) -> None:
        """Initialise all activations except those with loaded weights."""
        for name, (layer,) in self._layers.items():
            vars(layer).pop('apply', None)
            if name not in self._loaded:
                _start(layer)
        self._is_init = True

    def train(self, mode: bool = True) -> 'ReplacedActivations':
        """Set the mode of each activation's norms to that of the activation."""
        super().train(mode)
        self._align()
        return self

    def watch(self, model: nn.Module) -> None:
        """Also check before each forward if the model, such as a backbone by itself, overrides ``train``."""
        if type(model).train is not nn.Module.train:
            model.register_forward_pre_hook(self._align)

    def _align(self, *_: Any) -> None:
        for (layer,) in self._layers.values():
            for module in layer.modules():
                if module.training is not layer.training:
                    module.train(layer.training)

    def forward(self, x: Any) -> Any:
        """Return the input, for models that call all their children in turn."""
        return x

    def extra_repr(self) -> str:
        """Return the number of activations for the repr."""
        return f'{len(self._layers)} sites'


def _apply(layer: nn.Module, function: Callable[[nn.Module], None]) -> nn.Module:
    """Call ``layer.apply(function)``, except during the ``init_weights`` of an outer module."""
    # MMEngine keeps this attribute in every module while a model's init_weights runs.
    if hasattr(layer, '_params_init_info'):
        return layer
    return nn.Module.apply(layer, function)


def _start(layer: nn.Module) -> None:
    if isinstance(layer, BaseModule):
        layer.is_init = False
        layer.init_weights()
        return
    for module in layer.modules():
        reset: Any = getattr(module, 'reset_parameters', None)
        if reset is not None:
            reset()
