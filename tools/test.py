"""Test a detector, a segmentor, a classifier or a keypoint model.

    python tools/test.py CONFIG CHECKPOINT [--out X.pkl | DIR] [--show-dir DIR] [--tta] [--cfg-options K=V ...]
        [--act NAME [--act-cfg K=V ...] [--act-include PATTERN ...] [--act-exclude PATTERN ...]]

Several GPUs: tools/dist_test.sh, tools/slurm_test.sh.
"""

import argparse
from typing import Optional, Sequence

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.engine import exit_on_user_error
from mm_frelu.engine.act_options import add_act_arguments
from mm_frelu.engine.arguments import add_common_arguments, load_config
from mm_frelu.engine.evaluate import evaluate
from mm_frelu.engine.test_options import add_test_arguments


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Test a detector, a segmentor, a classifier or a keypoint model.'
    )
    parser.add_argument(
        'config', help='config file, or one of an installed library: mmdet::retinanet/NAME.py'
    )
    parser.add_argument('checkpoint', help='checkpoint file (.pth) or URL')
    add_test_arguments(parser)
    add_act_arguments(parser)
    add_common_arguments(parser)
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Test and print the metrics."""
    args = parse_args(argv)
    evaluate(load_config(args), args)


if __name__ == '__main__':
    main()
