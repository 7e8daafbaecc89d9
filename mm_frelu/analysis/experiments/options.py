"""Options that all comparisons of trainings share, and the config that they result in."""

import argparse
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config

from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.checkpoint_file import check_pretrained_addresses, check_pretrained_files
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.settings import SettingsAction, merge_settings


class Metric(NamedTuple):
    """The metric that is compared.

    Attributes:
        key: Its key in the results of the evaluator.
        name: Its name in tables.
        scale: Factor that converts it to percent.
        if_absent: Its value if the evaluator returns no metrics at all; None if that is an error.
    """

    key: str
    name: str
    scale: float
    if_absent: Any = None

    def of(self, metrics: Dict[str, float], source: str) -> float:
        """Return its value in the metrics of one validation, in percent.

        Raises:
            UserError: If the evaluator does not return it.
        """
        names = [name for name in metrics if name != 'iter']
        if self.key in metrics:
            return metrics[self.key] * self.scale
        if not names and self.if_absent is not None:
            return self.if_absent
        raise UserError(
            f'--metric {self.key}: the validation of {source} returned {", ".join(names) or "nothing"}. Give one of these, '
            'or set a val_evaluator that computes it.'
        )


_METRICS = {
    'segmentation': Metric('mIoU', 'mIoU', 1.0),
    # CocoMetric returns no metrics if there are no boxes.
    'detection': Metric('coco/bbox_mAP', 'box AP', 100.0, if_absent=0.0),
    'classification': Metric('accuracy/top1', 'top-1', 1.0),
    'keypoints': Metric('coco/AP', 'AP', 100.0),
}


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config``, ``--seeds``, ``--out``, ``--workers``, ``--threads``, ``--metric`` and ``--cfg-options``."""
    parser.add_argument('config', help='config file; what differs between the runs is put into it')
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='SEED', help='default: 0 1 2'
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='result folder; what is finished there is kept'
    )
    parser.add_argument(
        '--workers', type=int, default=1, help='runs at the same time, each a process (default: 1)'
    )
    parser.add_argument(
        '--threads',
        type=int,
        help="torch's threads per run; default: torch's own with one worker, else the cores divided by the workers",
    )
    parser.add_argument(
        '--metric', help='what the evaluator calls the number to compare; default: that of the task'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as in tools/train.py',
    )


def load_experiment(args: argparse.Namespace) -> Config:
    """Read the config, and reject options that would otherwise fail in the first run.

    Raises:
        UserError: If an option is invalid, the config cannot be trained and validated, or data or weights are missing.
    """
    for option in ('workers', 'threads'):
        number = getattr(args, option)
        if number is not None and number < 1:
            raise UserError(f'--{option} {number}: give a number of 1 or more.')
    twice = sorted({seed for seed in args.seeds if args.seeds.count(seed) > 1})
    if twice:
        raise UserError(
            f'--seeds: {", ".join(map(str, twice))} appears twice. The same seed is the same run, and would make the '
            'spread look smaller than it is. Give different seeds.'
        )
    require_writable('--out', args.out)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    task_of(cfg)
    keys = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    require_keys(cfg, keys, 'training')
    require_keys(cfg, ('val_dataloader', 'val_cfg', 'val_evaluator'), 'comparing trained models')
    check_pretrained_files(cfg.model)
    check_datasets(cfg, ('train_dataloader', 'val_dataloader'))
    check_pretrained_addresses(cfg.model)
    return cfg


def metric_of(cfg: Config, key: Optional[str] = None) -> Metric:
    """Return the metric of a config's task, or the one named ``key``, which has the same scale (CocoMetric returns 0 to 1)."""
    default = _METRICS[task_of(cfg)]
    return default if key in (None, default.key) else default._replace(key=key, name=key)


def describe_seeds(seeds: List[int]) -> str:
    """Format seeds as ``seeds 0, 1, 2`` or ``seed 0``."""
    return ('seeds ' if len(seeds) > 1 else 'seed ') + ', '.join(map(str, seeds))
