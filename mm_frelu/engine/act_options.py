"""The options ``--act`` of the tools: another activation for any config."""

import argparse
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from .errors import UserError
from .settings import SettingsAction

OPTIONS = ('act_cfg', 'act_include', 'act_exclude')


def add_act_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--act``, ``--act-cfg``, ``--act-include`` and ``--act-exclude``."""
    group = parser.add_argument_group('another activation')
    group.add_argument(
        '--act',
        metavar='NAME',
        help='put this activation (FReLU, LightFReLU, DyReLUB, PReLU, SiLU, ...) into the model of the config, by default '
        'into its backbone; a table says where',
    )
    group.add_argument(
        '--act-cfg',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='its settings, e.g. kernel_size=5 norm_cfg.type=GN norm_cfg.num_groups=32',
    )
    group.add_argument(
        '--act-include',
        nargs='+',
        metavar='PATTERN',
        help="where: patterns of module names as for files ('backbone.layer[23].*'; '*' matches dots too; '*' alone: the whole "
        'model); default: backbone',
    )
    group.add_argument(
        '--act-exclude', nargs='+', metavar='PATTERN', help='where not, of what --act-include takes'
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
            raise UserError(
                f'--{name}: it says more about --act, which is missing. Add --act NAME.'
            )
        return
    if cfg.get('model') is None:
        raise UserError(f'{cfg.filename}: --act needs model in the config.')
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
    """The config of a model with another activation."""
    patterns = dict(include=include, exclude=exclude)
    given = {key: value for key, value in patterns.items() if value is not None}
    return dict(type='ReplaceActivation', model=model, act_cfg=act_cfg, **given)


def inner_model(model: Dict[str, Any]) -> Dict[str, Any]:
    """The config of a model without ``ReplaceActivation`` around it."""
    while model.get('type') == 'ReplaceActivation':
        model = model['model']
    return model


def nested(options: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Options ``a.b=c`` as nested dicts."""
    cfg = Config()
    cfg.merge_from_dict(options or {})
    return cfg.to_dict()


def work_dir_suffix(args: argparse.Namespace) -> str:
    """What the name of the default work folder ends with, so that a run does not lie on that of its control."""
    return f'_{args.act.lower()}' if getattr(args, 'act', None) else ''
