"""Parse activations from the command line, and set them in a config."""

import copy
import inspect
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from mmengine.utils import import_modules_from_strings

from mm_frelu.activations.builder import build_activation
from mm_frelu.engine.errors import UserError

# Commas inside of brackets belong to a value.
_SEPARATOR = re.compile(r',(?![^\[(]*[\])])')


@dataclass(frozen=True)
class ActivationChoice:
    """One activation of a comparison.

    Attributes:
        text: Text of the user, ``FReLU`` or ``FReLU:kernel_size=5,init=identity``. It is the name of the row in tables.
        cfg: Its config, ``dict(type='FReLU', kernel_size=5, init='identity')``.
    """

    text: str
    cfg: Dict[str, Any]

    @property
    def folder(self) -> str:
        """The text, converted to the name of a folder."""
        return re.sub(r'[^\w.=-]+', '_', self.text)


def parse_choices(texts: Sequence[str], option: str = '--act') -> List[ActivationChoice]:
    """Parse activations, each ``NAME`` or ``NAME:key=value,key=value``, and build each once to check it.

    Args:
        texts: Values of the option.
        option: Name of the option, for messages.

    Raises:
        UserError: If a name is not registered, the layer does not accept a setting, or an activation is given twice.
    """
    choices = [_parse(text, option) for text in texts]
    for index, choice in enumerate(choices):
        if choice.cfg in [earlier.cfg for earlier in choices[:index]]:
            raise UserError(f'{option}: {choice.text} appears twice. Give each activation once.')
    return choices


def with_activation(cfg: Config, act_cfg: Dict[str, Any]) -> Config:
    """Return a copy of a config whose backbone has another activation.

    Raises:
        UserError: If the backbone does not have the argument ``act_cfg``.
    """
    backbone = cfg.model.get('backbone') or {}
    if 'act_cfg' not in backbone and not _takes_act_cfg(cfg, backbone):
        raise UserError(
            f'{cfg.filename}: model.backbone is {backbone.get("type")!r}, which does not take act_cfg. Use a '
            f"config with a backbone that has one, for instance mm_frelu.ResNet (model.backbone.type='mm_frelu.ResNet')."
        )
    changed = copy.deepcopy(cfg)
    # Replaced, not merged: settings of the old activation do not apply to the new one.
    changed.model.backbone.act_cfg = copy.deepcopy(act_cfg)
    return changed


def _parse(text: str, option: str) -> ActivationChoice:
    name, _, settings = text.partition(':')
    options = {}
    for pair in filter(None, _SEPARATOR.split(settings)):
        key, equals, value = pair.partition('=')
        if not (equals and key.strip() and value.strip()):
            raise UserError(
                f'{option} {text}: expected settings key=value after the colon; found {pair!r}. For instance '
                f'"FReLU:kernel_size=5,init=identity".'
            )
        options[key.strip()] = DictAction._parse_iterable(value.strip())
    layer = Config(dict(type=name.strip()))
    layer.merge_from_dict(options)
    act_cfg = layer.to_dict()
    try:
        build_activation(act_cfg, num_channels=8)
    except (KeyError, TypeError, ValueError) as error:
        reason = error.args[0] if error.args else error
        raise UserError(f'{option} {text}: {reason}') from error
    return ActivationChoice(text, act_cfg)


def _takes_act_cfg(cfg: Config, backbone: Dict[str, Any]) -> bool:
    """Whether the class of the backbone has the argument ``act_cfg``, if the config does not set it."""
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    kind = backbone.get('type')
    kind = kind if inspect.isclass(kind) else MODELS.get(str(kind))
    return kind is not None and 'act_cfg' in inspect.signature(kind).parameters
