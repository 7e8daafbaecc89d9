"""Train a detector, a segmentor, a classifier or a keypoint model.

    python tools/train.py CONFIG [--work-dir DIR] [--amp] [--auto-scale-lr] [--resume [PATH]] [--cfg-options K=V ...]
        [--act NAME [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

Several GPUs: tools/dist_train.sh, tools/slurm_train.sh.
"""

import argparse
from typing import Optional, Sequence

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine import exit_on_user_error
from mm_frelu.engine.act_options import add_act_arguments
from mm_frelu.engine.arguments import add_common_arguments, load_config
from mm_frelu.engine.launch import train
from mm_frelu.engine.train_options import add_train_arguments, apply_train_options


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train a detector, a segmentor, a classifier or a keypoint model.'
    )
    parser.add_argument(
        'config', help='config file, or one of an installed library: mmdet::retinanet/NAME.py'
    )
    add_train_arguments(parser)
    add_act_arguments(parser)
    add_common_arguments(parser)
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Train."""
    args = parse_args(argv)
    cfg = load_config(args)
    notices = apply_train_options(cfg, args)
    train(cfg, notices)


if __name__ == '__main__':
    main()
