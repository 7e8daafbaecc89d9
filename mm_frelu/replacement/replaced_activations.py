"""What new activations need while a model lives that does not know of them: a child of the model, the last one."""

import functools
from typing import Any, Callable, Dict, List, Set

from mmengine.model import BaseModule
from torch import nn

from .sites import Site


class ReplacedActivations(BaseModule):
    """Keeps the activations that were put into a model as they are meant to be.

    It has no parameters, does no work in forward, and comes last among the model's children, so that it is asked last:

    - ``init_weights``: the layers start as they were configured to. MMEngine stops at children that are no BaseModules (the
      ``activate`` of a ConvModule, an ``nn.Sequential``), and an ``init_cfg`` or ``init_weights`` further up that sets every norm
      to one would end an identity start. Layers whose weights were loaded before keep them. Until then the layers are out of
      reach for initialisers of modules above, some of which take everything that has a weight for a convolution (YOLACT's).
    - ``train``: the norms of a layer follow the layer. ``norm_eval=True`` of a backbone puts every batch norm in it into eval
      mode, those of new windows too, which then would never gather statistics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reports: List[Any] = []
        # Not registered: they are parts of the model already.
        self._layers: Dict[str, List[nn.Module]] = {}
        self._loaded: Set[str] = set()

    def add(self, site: Site, layer: nn.Module) -> None:
        """Take care of a new activation."""
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
        """Start the activations anew, all but those that weights were loaded into."""
        for name, (layer,) in self._layers.items():
            vars(layer).pop('apply', None)
            if name not in self._loaded:
                _start(layer)
        self._is_init = True

    def train(self, mode: bool = True) -> 'ReplacedActivations':
        """Let the norms of each activation follow it."""
        super().train(mode)
        self._align()
        return self

    def watch(self, model: nn.Module) -> None:
        """Look again before each forward of a model that has a ``train`` of its own: a backbone by itself."""
        if type(model).train is not nn.Module.train:
            model.register_forward_pre_hook(self._align)

    def _align(self, *_: Any) -> None:
        for (layer,) in self._layers.values():
            for module in layer.modules():
                if module.training is not layer.training:
                    module.train(layer.training)

    def forward(self, x: Any) -> Any:
        """Nothing: in a model that calls its children one after the other it is not noticed."""
        return x

    def extra_repr(self) -> str:
        """How many there are."""
        return f'{len(self._layers)} sites'


def _apply(layer: nn.Module, function: Callable[[nn.Module], None]) -> nn.Module:
    """``layer.apply(function)``, but not for the initialisers that the ``init_weights`` of a module above calls."""
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
