"""Parameters and multiply-adds of a model, by its parts.

Convolutions and matrix products are counted, each multiply-add once, with torch's formulas (``torch.utils.flop_counter``). This
includes the windows of FReLU, which are depthwise convolutions, and the hyper function of DY-ReLU. The linear pieces of DY-ReLU,
``a x + b``, are counted as K multiply-adds for each value. As in most papers, additions of biases, norms, other activations (such
as the maximum of FReLU), pooling and resizing are not counted.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Set

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mm_frelu.activations import DynamicReLU
from mm_frelu.activations.builder import is_activation
from mm_frelu.activations.live import recording_disabled

COUNTED = (
    'Counted: convolutions (windows of FReLU included), matrix products, linear pieces of DY-ReLU, one per multiply-add. '
    'Not counted: biases, norms, max and other activations, pooling, resizing.'
)


@dataclass
class Cost:
    """Complexity of a part of a model.

    Attributes:
        parameters: Number of its parameters. A parameter that two parts share counts for the first one.
        macs: Multiply-adds of one forward pass.
    """

    parameters: int = 0
    macs: int = 0


@dataclass
class Part(Cost):
    """A direct child of the model: backbone, neck, a head.

    Attributes:
        name: Its name in the model.
        activations: Cost of its activations, which is included in its cost.
        sites: Number of its activation modules of each class.
    """

    name: str = ''
    activations: Cost = field(default_factory=Cost)
    sites: Dict[str, int] = field(default_factory=dict)


def count_parts(model: nn.Module, run: Callable[[nn.Module], Any]) -> List[Part]:
    """Count a model by its direct children.

    Args:
        model: The model, on any device. On torch's meta device nothing is computed.
        run: Function that runs it once, for instance ``lambda model: model(images)``.

    Returns:
        One entry for each child that has parameters or multiply-adds. Parameters and multiply-adds of the model outside its
        children are an entry without name.
    """
    macs = count_macs(model, run)
    activation_names = [name for name, module in model.named_modules() if is_activation(module)]
    parts: Dict[str, Part] = {name: Part(name=name) for name in ('', *dict(model.named_children()))}
    inside = _inside(activation_names)
    # named_parameters leaves out what it has named before.
    for name, parameter in model.named_parameters():
        owner = name.rpartition('.')[0]
        _add(parts, owner, inside(owner), parameters=parameter.numel())
    for name, number in macs.items():
        _add(parts, name, inside(name), macs=number)
    for part in parts.values():
        sites = [name for name in activation_names if part.name and _head(name) == part.name]
        part.sites = dict(Counter(type(model.get_submodule(name)).__name__ for name in sites))
    return [part for part in parts.values() if part.parameters or part.macs]


def count_macs(model: nn.Module, run: Callable[[nn.Module], Any]) -> Dict[str, int]:
    """Count the multiply-adds of one pass, by the name of the innermost module that computed them.

    Args:
        model: The model.
        run: Function that runs it once.
    """
    names = {module: name for name, module in model.named_modules()}
    macs: Counter = Counter()
    stack: List[str] = ['']
    told = 0
    counter = FlopCounterMode(display=False)

    def settle() -> None:
        """Add the count since the last call to the module that is running."""
        nonlocal told
        # torch counts a multiply-add as two operations.
        total = counter.get_total_flops() // 2
        macs[stack[-1]] += total - told
        told = total

    def enter(module: nn.Module, args: Any) -> None:
        settle()
        stack.append(names[module])

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        settle()
        name = stack.pop()
        if isinstance(module, DynamicReLU):
            macs[name] += module.num_pieces * output.numel()

    handles = [module.register_forward_pre_hook(enter) for module in names]
    handles += [module.register_forward_hook(leave) for module in names]
    try:
        with torch.no_grad(), counter, recording_disabled():
            run(model)
            settle()
    finally:
        for handle in handles:
            handle.remove()
    return {name: number for name, number in macs.items() if number}


def _inside(names: List[str]) -> Callable[[str], bool]:
    """Return a function that tests whether a module is one of the given modules or inside one of them."""
    known: Set[str] = set(names)
    return lambda name: any(prefix in known for prefix in _prefixes(name))


def _prefixes(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition('.')[0]


def _head(name: str) -> str:
    return name.partition('.')[0]


def _add(parts: Dict[str, Part], owner: str, in_activation: bool, **amounts: int) -> None:
    part = parts[_head(owner)]
    for cost in (part, part.activations) if in_activation else (part,):
        for key, amount in amounts.items():
            setattr(cost, key, getattr(cost, key) + amount)
