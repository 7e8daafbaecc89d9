"""Command-line options for models: ``--model``, ``--device``, ``--act`` and what changes their configs."""

import argparse

from mmengine.config import Config

from mm_frelu.engine.act_options import add_act_arguments, apply_act_options
from mm_frelu.engine.settings import merge_settings

from .trained_model import Change


def add_model_argument(parser: argparse.ArgumentParser, more: str = '') -> None:
    """Adds ``--model NAME CONFIG CHECKPOINT``, which is given once for each model. ``more`` continues its help."""
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='name, config and checkpoint of a model; repeat the option for each model, the baseline first'
        + more,
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``, see :func:`~mm_frelu.visualization.trained_model.usable_device`."""
    parser.add_argument(
        '--device', help='device for the models; default: cuda:0 if available, otherwise cpu'
    )


def add_act_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--act`` with its settings, and ``--act-models``."""
    add_act_arguments(parser)
    parser.add_argument(
        '--act-models',
        nargs='+',
        metavar='NAME',
        help='names of the models that --act changes; default: all',
    )


def check_model_names(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the tool with a usage error if two models have the same name, or ``--act-models`` names an unknown one."""
    names = [name for name, _, _ in args.model]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        parser.error(
            f'--model: two models are called {twice[0]!r}; give each model a different name'
        )
    unknown = [name for name in getattr(args, 'act_models', None) or () if name not in names]
    if unknown:
        parser.error(
            f'--act-models: no model is called {unknown[0]!r}; there are {", ".join(names)}'
        )


def config_change(args: argparse.Namespace, name: str = '') -> Change:
    """Returns the function that applies ``--cfg-options`` and ``--act``, where the tool has them, to the config of a model."""

    def change(cfg: Config) -> None:
        merge_settings(cfg, getattr(args, 'cfg_options', None))
        act_models = getattr(args, 'act_models', None)
        if hasattr(args, 'act') and (act_models is None or name in act_models):
            apply_act_options(cfg, args)

    return change
