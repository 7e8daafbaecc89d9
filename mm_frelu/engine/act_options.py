"""The ``--act`` options of the tools, which replace the activations of any config."""

import argparse
import copy
import logging
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from mmengine.logging import print_log

from .errors import UserError
from .settings import SettingsAction

OPTIONS = ('act_cfg', 'act_include', 'act_exclude')

OWN_KEYS = ('type', '_scope_', 'model', 'act_cfg', 'include', 'exclude')
"""Keys that ``ReplaceActivation`` itself takes; other keys belong to the inner model."""


def add_act_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--act``, ``--act-cfg``, ``--act-include`` and ``--act-exclude``."""
    group = parser.add_argument_group('another activation')
    group.add_argument(
        '--act',
        metavar='NAME',
        help='replace the activations of the model with this one (FReLU, LightFReLU, DyReLUB, PReLU, SiLU, ...); default: in '
        'its backbone only. A table in the log shows where',
    )
    group.add_argument(
        '--act-cfg',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='settings of that activation, e.g. kernel_size=5 norm_cfg.type=GN norm_cfg.num_groups=32',
    )
    group.add_argument(
        '--act-include',
        nargs='+',
        metavar='PATTERN',
        help="modules to replace, as shell-style patterns of their names ('backbone.layer[23].*'; '*' matches dots too; a lone "
        "'*' means the whole model); default: backbone",
    )
    group.add_argument(
        '--act-exclude',
        nargs='+',
        metavar='PATTERN',
        help='modules to leave out, in the same patterns',
    )


def apply_act_options(cfg: Config, args: argparse.Namespace) -> None:
    """Wrap the model of a config in ``ReplaceActivation`` if ``--act`` asks for it.

    Raises:
        UserError: When the other options come without ``--act``, or the config has no model.
    """
    if args.act is None:
        given = [option for option in OPTIONS if getattr(args, option) is not None]
        if given:
            name = given[0].replace('_', '-')
            raise UserError(f'--{name}: it needs --act, which is missing. Add --act NAME.')
        return
    if cfg.get('model') is None:
        raise UserError(f'{cfg.filename}: --act needs a model in the config.')
    cfg.model = replaced_model(
        cfg.model, dict(type=args.act, **nested(args.act_cfg)), args.act_include, args.act_exclude
    )
    imports = cfg.get('custom_imports') or dict(imports=[], allow_failed_imports=False)
    names = imports['imports']
    names = [names] if isinstance(names, str) else list(names)
    if 'mm_frelu' not in names:  # for other programs that read the config which training writes
        cfg.custom_imports = dict(imports, imports=['mm_frelu', *names])


def replaced_model(
    model: Dict[str, Any],
    act_cfg: Dict[str, Any],
    include: Optional[List[str]] = None,
    exclude: Optional[List[str]] = None,
) -> Dict[str, Any]:
    """Wrap the config of a model in ``ReplaceActivation``.

    Backbone, heads and preprocessing stay where they are. Code that reads or changes ``model.backbone`` or
    ``model.data_preprocessor`` still finds them: mmdet's ``init_detector``, MMEngine's Runner, ``--cfg-options``. Only the type moves.
    """
    patterns = dict(include=include, exclude=exclude)
    given = {key: value for key, value in patterns.items() if value is not None}
    inner = {key: model[key] for key in model if key in OWN_KEYS}
    rest = {key: model[key] for key in model if key not in OWN_KEYS}
    return dict(type='ReplaceActivation', model=inner, act_cfg=act_cfg, **given, **rest)


def inner_model(model: Dict[str, Any]) -> Dict[str, Any]:
    """Return the config of a model without ``ReplaceActivation`` around it."""
    while model.get('type') == 'ReplaceActivation':
        outside = {key: model[key] for key in model if key not in OWN_KEYS}
        model = with_settings(model['model'], outside)
    return model


def with_settings(model: Dict[str, Any], outside: Dict[str, Any]) -> Dict[str, Any]:
    """Merge settings of ``ReplaceActivation`` that belong to the inner model into its config.

    Args:
        model: The config of the inner model.
        outside: Its settings in ``ReplaceActivation``. They override those of ``model``, like a config overrides its ``_base_``.
            ``data_preprocessor`` is the exception: MMEngine's Runner adds its default outside even if there is one inside.
    """
    inside = model.get('data_preprocessor')
    if inside is not None and outside.get('data_preprocessor', inside) != inside:
        print_log(
            f'Two data preprocessors: the one inside the model is used ({inside}), not the one outside '
            f'({outside["data_preprocessor"]}).',
            'current',
            logging.WARNING,
        )
    if inside is not None:
        outside = {**outside, 'data_preprocessor': inside}
    merged = dict(model)
    for key, value in outside.items():
        if isinstance(value, dict) and isinstance(model.get(key), dict):
            value = Config._merge_a_into_b(copy.deepcopy(value), model[key])
        merged[key] = value
    return merged


def nested(options: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Convert options ``a.b=c`` to nested dicts."""
    cfg = Config()
    cfg.merge_from_dict(options or {})
    return cfg.to_dict()


def work_dir_suffix(args: argparse.Namespace) -> str:
    """Return the suffix of the default work folder, so that a run does not overwrite its baseline."""
    return f'_{args.act.lower()}' if getattr(args, 'act', None) else ''
