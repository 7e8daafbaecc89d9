"""Parse ``KEY=VALUE`` options like MMEngine does, with errors that name the option."""

import argparse
import re
from typing import Any, Dict, Optional, Sequence, Union

from mmengine.config import Config, DictAction

from .errors import UserError

_DICT = re.compile(r"""[=\[(,]\s*(dict\(|\{\s*['"])""")


class SettingsAction(DictAction):
    """MMEngine's ``DictAction`` with clear errors for a missing ``=`` or bracket. Spaces in paths are kept."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """Parse a value. A value that is not a list keeps its spaces and apostrophes."""
        if ',' in val or val.strip(' \'"').startswith(('(', '[')):
            return DictAction._parse_iterable(val)
        quoted = len(val) > 1 and val[0] == val[-1] and val[0] in '\'"'
        return DictAction._parse_int_float_bool(val[1:-1] if quoted else val)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Union[str, Sequence[Any], None],
        option_string: Optional[str] = None,
    ) -> None:
        """Add the settings, or exit with the usage of the tool and the word that cannot be parsed."""
        words = [values] if isinstance(values, str) else values or ()
        for word in words:
            if _DICT.search(word):
                # MMEngine would keep it as a string, and the dataset would fail much later.
                raise argparse.ArgumentError(
                    self,
                    f'{word!r} has a dict in its value; options support only numbers, words and lists. Set its entries one by one '
                    '(a.b.0.scale=(64,32)), or write the dict into a config that has this one as its _base_.',
                )
            try:
                if '' in word.partition('=')[0].split('.'):
                    raise ValueError('a part of the key is empty')
                super().__call__(parser, namespace, [word], option_string)
            except (ValueError, AssertionError):
                # argparse repeats the option in front.
                raise argparse.ArgumentError(
                    self,
                    f'{word!r} is not KEY=VALUE with balanced brackets. Leave out spaces inside a value, or quote the whole '
                    "word: 'key=[(a, b), c]'",
                ) from None


def merge_settings(
    cfg: Config, settings: Optional[Dict[str, Any]], option: str = '--cfg-options'
) -> None:
    """Merge settings that :class:`SettingsAction` parsed into a config.

    Args:
        cfg: The config, changed in place.
        settings: Keys with dots, and values; None if the option was not given.
        option: The option, for the message.

    Raises:
        UserError: For a key below a value that has no keys, for an element that a list does not have, or for two settings of
            which one replaces what the other changes.
    """
    try:
        cfg.merge_from_dict(settings or {})
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        reasons = {key: _dead_end(cfg, key) for key in settings or {}}
        key = next((key for key, reason in reasons.items() if reason), None)
        if key is None:  # each setting alone fits the config
            raise UserError(
                f'{option} {" ".join(reasons)}: one of these settings replaces what another one changes ({error}). Leave one out.'
            ) from error
        raise UserError(
            f'{option} {key}: {reasons[key]} tools/misc/print_config.py prints the config with its keys.'
        ) from error


def _dead_end(cfg: Config, key: str) -> Optional[str]:
    """Explain at which part a key does not exist in the config; None if it does."""
    node: Any = cfg
    words = key.split('.')
    for index, word in enumerate(words):
        parent = '.'.join(words[:index])
        if isinstance(node, (list, tuple)):
            if not word.isdigit() or int(word) >= len(node):
                return f'{parent} is a list of {len(node)} elements, with the indices 0 to {len(node) - 1}.'
            node = node[int(word)]
        elif isinstance(node, (dict, Config)):
            node = node.get(word, {})
        else:
            return f'{parent} is {node!r}, which has no keys.'
    return None
