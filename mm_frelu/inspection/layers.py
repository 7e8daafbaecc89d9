"""Layers of a model by name, and the activations among them."""

import difflib
import re
from fnmatch import fnmatchcase
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, TypeVar

from torch import nn

from mm_frelu.activations import DynamicReLU, FReLUAblation, FunnelActivation
from mm_frelu.engine.errors import UserError

Item = TypeVar('Item')

MAX_STAGES = 8


def funnel_layers(model: nn.Module) -> Dict[str, FunnelActivation]:
    """The activations that choose between a pixel and its window, by name: FReLU and its forms of a maximum."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, FunnelActivation) and takes_maximum(module)
    }


def takes_maximum(module: FunnelActivation) -> bool:
    """Whether the output is the larger of input and condition. Two ablation forms are something else."""
    return not isinstance(module, FReLUAblation) or module.form == 'max'


def dynamic_layers(model: nn.Module) -> Dict[str, nn.Module]:
    """The DY-ReLUs of a model by name: ours, and mmdet's in DyHead."""
    return {name: module for name, module in model.named_modules() if is_dynamic(module)}


def is_dynamic(module: nn.Module) -> bool:
    """Whether a module is a dynamic ReLU of ours or mmdet's."""
    return isinstance(module, DynamicReLU) or is_mmdet_dynamic(module)


def is_mmdet_dynamic(module: nn.Module) -> bool:
    """Whether a module is the DyReLU of mmdet's DyHead, which has the form of DY-ReLU-B."""
    kind = type(module)
    return kind.__name__ == 'DyReLU' and kind.__module__.startswith('mmdet.')


def require_layers(found: Dict[str, nn.Module], what: str, model: str, advice: str) -> None:
    """Refuse a model without the activations that a tool is about.

    Raises:
        UserError: Naming the activation and how to get one.
    """
    if not found:
        raise UserError(f'The model of {model} has no {what}. {advice}')


def choose_layers(
    names: Iterable[str],
    patterns: Optional[Sequence[str]],
    option: str = '--layers',
    others: Iterable[str] = (),
) -> List[str]:
    """The layers that patterns name, in the order of the model.

    Args:
        names: Layers to choose from.
        patterns: Names, or patterns as for files; None for all.
        option: The option, for messages.
        others: Layers that exist and that the tool is not about, for messages.

    Raises:
        UserError: For a pattern without a match; the nearest names are offered.
    """
    names = list(names)
    if patterns is None:
        return names
    chosen = set()
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            if pattern in set(others):
                raise UserError(
                    f'{option} {pattern}: this layer is none of the activations that are looked at. '
                    f'The nearest of those: {_nearest(pattern, names)}.'
                )
            raise UserError(
                f'{option} {pattern}: the model has no such layer. The nearest names: {_nearest(pattern, names)}.'
            )
        chosen.update(matches)
    return [name for name in names if name in chosen]


def find_layer(model: nn.Module, name: str, whose: str, option: str = '--layer') -> nn.Module:
    """The module of a name.

    Raises:
        UserError: There is none; the nearest names are offered.
    """
    modules = dict(model.named_modules())
    modules.pop('', None)
    if name not in modules:
        raise UserError(
            f'{option} {name}: {whose} has no such layer. The nearest names: {_nearest(name, modules)}.'
        )
    return modules[name]


def _nearest(name: str, names: Iterable[str], number: int = 4) -> str:
    names = list(names)
    return ', '.join(difflib.get_close_matches(name, names, n=number, cutoff=0.3) or names[:number])


def stage_of(name: str) -> str:
    """The stage that a layer belongs to: its name up to the first part with a number, as ``backbone.layer2``."""
    parts = name.split('.')
    for index, part in enumerate(parts[:-1]):
        if re.search(r'\d', part):
            # Lists of stages have the number behind a dot (``stages.2``), where it is a part of its own.
            return '.'.join(parts[: index + 1])
    return '.'.join(parts[:-1]) or name


def last_of_stages(names: Sequence[str], sizes: Dict[str, Tuple[int, int]]) -> List[str]:
    """The last layer of each stage; a change of size within a name's stage begins another.

    Args:
        names: Layers in the order of their calls.
        sizes: Height and width of the output of each.

    Returns:
        At most :data:`MAX_STAGES` names, evenly chosen where there are more; the last is always among them.
    """
    last = [
        name
        for name, following in zip(names, [*names[1:], None])
        if following is None
        or stage_of(name) != stage_of(following)
        or sizes[name] != sizes[following]
    ]
    return evenly(last, MAX_STAGES)


def evenly(names: Sequence[Item], number: int) -> List[Item]:
    """At most so many of the names or numbers, evenly spaced, the first and the last among them."""
    if len(names) <= number:
        return list(names)
    return [names[round(index * (len(names) - 1) / (number - 1))] for index in range(number)]


def short(name: str) -> str:
    """A layer's name without ``backbone.``, which nearly all have."""
    return name[len('backbone.') :] if name.startswith('backbone.') else name


class StopForward(Exception):  # noqa: N818 (no error: nobody asks for what comes behind)
    """Raised by a hook once everything that was asked for is there."""
