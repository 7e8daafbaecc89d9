"""Module that replaces an activation that a block calls at several sites."""

import functools
from typing import Any, Dict, Iterable, Tuple

from torch import Tensor, nn

from .sites import Key, Site


class CallSites(nn.Module):
    """Hold one activation for each site, and apply the one of the site that makes the call.

    It identifies the site by the layer that ran last (see :mod:`.sites`), which hooks on these layers record. It does not
    count calls. Therefore it works when backward runs a part of the block again (``with_cp``), when a forward was
    interrupted, and when a block is called twice before backward.

    Args:
        activations: The activation of each site, by the last part of the site's name: ``act1``, ``act2``, ...
        sites: The sites, named as they are in the model.
    """

    def __init__(self, activations: Dict[str, nn.Module], sites: Iterable[Site]) -> None:
        super().__init__()
        self._site_at: Dict[Key, str] = {}
        for site in sites:
            name = site.name.rpartition('.')[2]
            self.add_module(name, activations[name])
            for key in site.keys:
                self._site_at[key] = name
        self._place: Key = ()

    def listen(self, model: nn.Module) -> None:
        """Register the hooks on the layers of a model. They are bound methods, so that they survive deepcopy and pickle."""
        for key in self._site_at:
            kind, name = key
            if kind == 'behind':
                model.get_submodule(name).register_forward_hook(functools.partial(self._left, key))
            elif kind == 'start':
                hook = functools.partial(self._entered, key)
                model.get_submodule(name).register_forward_pre_hook(hook)

    def _entered(self, key: Key, module: nn.Module, args: Tuple[Any, ...]) -> None:
        self._place = key

    def _left(self, key: Key, module: nn.Module, args: Tuple[Any, ...], output: Any) -> None:
        self._place = key

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation of the current site.

        Args:
            x: Features of the shape that the site has.

        Returns:
            Features of the same shape.

        Raises:
            RuntimeError: If it is called at a place where it was not called when the activations were replaced.
        """
        name = self._site_at.get(self._place)
        if name is None:
            raise RuntimeError(
                f'An activation is called at a place ({" ".join(self._place) or "nothing before it"}) where it was not '
                f'called when the activations were replaced. Known: '
                f'{", ".join(" ".join(key) for key in self._site_at)}. Exclude this activation: exclude=[...].'
            )
        self._place = ('again', name[len('act') :])
        return getattr(self, name)(x)
