"""The sites of a model: the places where it applies an activation, each with its channel count.

A site is not the same as a module. The residual blocks of mmdet, mmseg and torchvision call one ``self.relu`` two or three
times, on features of different width. These calls are different sites. A RetinaNet head calls one ConvModule, and thus its
``activate``, for five levels. These calls are one site. Two calls of a module are distinguished by the layer with parameters
that the caller ran last: after ``bn1`` and after ``bn2`` are two sites; after ``bn1`` for another level is the same site.
Counting calls would not work if a forward does not run completely and exactly once: backward with activation checkpointing
runs part of it again (and may stop early), and an exception leaves a wrong count.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from torch import nn

from .kinds import is_replaceable
from .tracing import Call, Trace

Key = Tuple[str, ...]
"""Distinguishes the calls of one activation: ``('behind', layer)``, ``('start', caller)`` or ``('again', number)``."""


@dataclass
class Site:
    """A place where a model applies an activation.

    Attributes:
        module: Name of the activation module.
        name: Name of the module; if the module has several sites, followed by ``.act1``, ``.act2``, ... in the order of the
            calls.
        kind: Class of the activation.
        behind_linear: Whether it follows a layer that has the channels in the last dimension.
        shapes: Shapes of its inputs.
        calls: Calls in one pass; the larger number if training and testing differ.
        frozen: Whether the layer before it is frozen.
        overwritten: Whether the model changes its input in place afterwards, like DDRNet.
        keys: Keys that identify the site. The first is its own; the others are used if that layer was replaced.
        assumed_channels: Channels of the layer before it, if no pass reached the site.
    """

    module: str
    name: str
    kind: str
    behind_linear: bool = False
    shapes: Set[Tuple[int, ...]] = field(default_factory=set)
    calls: int = 0
    frozen: bool = False
    overwritten: bool = False
    keys: List[Key] = field(default_factory=list)
    assumed_channels: Optional[int] = None

    @property
    def channels(self) -> Optional[int]:
        """Channels of its features. None if the second dimension is not the channels, or differs between calls."""
        found = {shape[1] for shape in self.shapes if len(shape) == 4}
        if self.assumed_channels is not None:
            return self.assumed_channels
        return found.pop() if len(found) == 1 and self.is_map and not self.behind_linear else None

    @property
    def is_map(self) -> bool:
        """Whether all its inputs are feature maps (N, C, H, W)."""
        assumed = self.assumed_channels is not None
        return assumed or (bool(self.shapes) and all(len(shape) == 4 for shape in self.shapes))

    @property
    def is_point(self) -> bool:
        """Whether its feature maps have a single position, as in squeeze-and-excitation."""
        return bool(self.shapes) and all(shape[2:] == (1, 1) for shape in self.shapes)


def find_sites(trace: Trace) -> List[Site]:
    """Find the sites of every replaceable activation of a model, in the order of its modules.

    Args:
        trace: Calls that were recorded while the model ran.
    """
    sites: List[Site] = []
    for name, module, parent in _activations(trace.model):
        calls = trace.calls.get(name, [])
        if calls:
            sites += _sites_of(name, module, calls, trace)
        else:
            kind = type(module).__name__
            channels = None
            if trace.failures:  # otherwise the model never calls it
                channels = _channels_in_front(parent, name.rpartition('.')[2])
            frozen = _is_frozen(trace.model, name.rpartition('.')[0], ())
            sites.append(Site(name, name, kind, frozen=frozen, assumed_channels=channels))
    return sites


def _activations(model: nn.Module) -> Iterator[Tuple[str, nn.Module, nn.Module]]:
    for parent_name, parent in model.named_modules():
        if is_replaceable(parent):
            continue
        for name, child in parent.named_children():
            if is_replaceable(child):
                yield f'{parent_name}.{name}'.lstrip('.'), child, parent


def _sites_of(name: str, module: nn.Module, calls: List[Call], trace: Trace) -> List[Site]:
    """Group the calls of one activation by the layer before them."""
    sites: Dict[Key, Site] = {}
    passes: Counter = Counter()
    last: Dict[str, Site] = {}  # by caller
    others: Dict[Key, List[Site]] = {}
    for call in calls:
        key, spare = _keys(trace.model, call, list(sites.values()), last.get(call.caller))
        site = sites.setdefault(key, Site(name, name, type(module).__name__, keys=[key]))
        site.shapes.add(call.shape)
        passes[key, call.mode] += 1
        site.calls = max(site.calls, passes[key, call.mode])
        site.overwritten |= (call.mode, call.number) in trace.overwritten
        site.behind_linear = _is_behind_linear(trace.model, call.behind)
        site.frozen = _is_frozen(trace.model, call.caller, call.behind)
        last[call.caller] = site
        for other in spare:
            known = others.setdefault(other, [])
            if site not in known:
                known.append(site)
    found = list(sites.values())
    for other, owners in others.items():
        if other not in sites and len(owners) == 1:
            owners[0].keys.append(other)
    if len(found) > 1:
        for number, site in enumerate(found, 1):
            site.name = f'{name}.act{number}'
    return found


def _keys(
    model: nn.Module, call: Call, known: List[Site], previous: Optional[Site]
) -> Tuple[Key, List[Key]]:
    """Return the key of a call, and further keys, which are valid as long as they belong to one site only."""
    learning = [name for name in call.behind if _has_parameters(model.get_submodule(name))]
    layers = [('behind', name) for name in learning or call.behind[-1:]]
    if call.again and previous is not None:
        start = ('again', str(known.index(previous) + 1))
    else:
        start = ('start', call.caller)
    return (layers or [start])[-1], [start, *layers]


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_behind_linear(model: nn.Module, behind: Tuple[str, ...]) -> bool:
    layers = [model.get_submodule(name) for name in behind]
    learning = [layer for layer in layers if _has_parameters(layer)]
    return bool(learning) and type(learning[-1]) in (nn.Linear, nn.LayerNorm)


def _is_frozen(model: nn.Module, caller: str, behind: Tuple[str, ...]) -> bool:
    """Whether the caller is in eval mode while the model trains, or no layer before the site can learn."""
    if not model.get_submodule(caller).training:
        return True
    parameters = [p for name in behind for p in model.get_submodule(name).parameters()]
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _channels_in_front(parent: nn.Module, name: str) -> Optional[int]:
    """Return the channels of the 2-D layer before an activation in a ConvModule or Sequential that no pass reached."""
    if type(parent).__name__ == 'ConvModule':
        layers: List[Any] = [parent.conv]
    elif isinstance(parent, nn.Sequential):
        children = list(parent.named_children())
        position = [child for child, _ in children].index(name)
        layers = [layer for _, layer in children[:position]][::-1]
    else:
        return None
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            return layer.out_channels
        if isinstance(layer, nn.BatchNorm2d):
            return layer.num_features
        if next(layer.children(), None) is not None:
            return None
    return None
