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
    """Return the activations that choose between a pixel and its window, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, FunnelActivation) and takes_maximum(module)
    }


def takes_maximum(module: FunnelActivation) -> bool:
    """Whether the output is the maximum of input and condition. Two forms of the ablation are not."""
    return not isinstance(module, FReLUAblation) or module.form == 'max'


def dynamic_layers(model: nn.Module) -> Dict[str, nn.Module]:
    """Return the DY-ReLUs of a model by name: those of this package, and those of mmdet's DyHead."""
    return {name: module for name, module in model.named_modules() if is_dynamic(module)}


def is_dynamic(module: nn.Module) -> bool:
    """Whether a module is a dynamic ReLU of this package or of mmdet."""
    return isinstance(module, DynamicReLU) or is_mmdet_dynamic(module)


def is_mmdet_dynamic(module: nn.Module) -> bool:
    """Whether a module is the DyReLU of mmdet's DyHead, which has the form of DY-ReLU-B."""
    kind = type(module)
    return kind.__name__ == 'DyReLU' and kind.__module__.startswith('mmdet.')


def require_layers(found: Dict[str, nn.Module], what: str, model: str, advice: str) -> None:
    """Reject a model without the activations that a tool needs.

    Raises:
        UserError: If ``found`` is empty. The message names the activation and how to get one.
    """
    if not found:
        raise UserError(f'The model of {model} has no {what}. {advice}')


def choose_layers(
    names: Iterable[str],
    patterns: Optional[Sequence[str]],
    option: str = '--layers',
    others: Iterable[str] = (),
) -> List[str]:
    """Select the layers that match a pattern, in the order of the model.

    Args:
        names: Layers to choose from.
        patterns: Names, or patterns like those for files; None selects all.
        option: The option, for messages.
        others: Existing layers that the tool does not support, for messages.

    Returns:
        The selected names.

    Raises:
        UserError: If a pattern matches no layer. The message suggests the nearest names.
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
                    f'{option} {pattern}: this layer is not an activation that the tool supports. '
                    f'The nearest ones: {_nearest(pattern, names)}.'
                )
            raise UserError(
                f'{option} {pattern}: the model has no such layer. The nearest names: {_nearest(pattern, names)}.'
            )
        chosen.update(matches)
    return [name for name in names if name in chosen]


def find_layer(model: nn.Module, name: str, whose: str, option: str = '--layer') -> nn.Module:
    """Return the module with a name.

    Raises:
        UserError: If there is none. The message suggests the nearest names.
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
    """Return the stage of a layer: its name up to the first part with a number, such as ``backbone.layer2``."""
    parts = name.split('.')
    for index, part in enumerate(parts[:-1]):
        if re.search(r'\d', part):
            # In lists of stages (``stages.2``) the number is a separate part.
            return '.'.join(parts[: index + 1])
    return '.'.join(parts[:-1]) or name


def last_of_stages(names: Sequence[str], sizes: Dict[str, Tuple[int, int]]) -> List[str]:
    """Return the last layer of each stage. A change of the output size also begins a new stage.

    Args:
        names: Layers in the order of their calls.
        sizes: Height and width of the output of each.

    Returns:
        At most :data:`MAX_STAGES` names, evenly spaced if there are more. The last one is always included.
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
    """Select at most ``number`` items, evenly spaced, including the first and the last."""
    if len(names) <= number:
        return list(names)
    return [names[round(index * (len(names) - 1) / (number - 1))] for index in range(number)]


def short(name: str) -> str:
    """Return the name of a layer without the prefix ``backbone.``."""
    return name[len('backbone.') :] if name.startswith('backbone.') else name


class StopForward(Exception):  # noqa: N818 (not an error: the rest of the forward pass is not needed)
    """Raised by a hook to end a forward pass once all requested features are available."""
