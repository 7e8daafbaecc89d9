"""Train and predict for a long time, and check that memory, open files and threads do not grow.

    python tools/analysis_tools/endurance.py [CONFIG] [--steps 300] [--images 2000] [--work-dir DIR] [--json FILE]
        [--cfg-options K=V ...]

Without CONFIG, the demo's PSPNet with FReLU runs on generated scenes. Training follows the config, without validation and with three
checkpoints. Inference repeats the test set until the number of images is reached. One line is printed per interval. A curve is flat if its
last third is not above its second third: within 2 % for memory, exactly for open files and threads. Otherwise the exit code is 1. Linux
only.
"""

import argparse
import os
from pathlib import Path
from typing import Any, List, Optional, Sequence

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.endurance import Usage, UsageHook, describe, growths, run_inference, usage
from mm_frelu.datasets.street_scenes import generate_street_scenes
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.arguments import add_common_arguments, load_config, require_library
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.launch import build_runner, require_keys, use_safe_checkpoint_hook
from mm_frelu.engine.write_file import require_target

DEMO = (
    Path(__file__).parents[2]
    / 'configs/pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py'
)
POINTS = 10
WIDTHS = dict(count=6, memory=12, workers=12, device=12, files=6, threads=8)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Check that memory, open files and threads do not grow in long runs.'
    )
    parser.add_argument(
        'config', nargs='?', default=str(DEMO), help='config file; default: the demo'
    )
    parser.add_argument(
        '--steps', type=_at_least_points, default=300, help='training steps; default: 300'
    )
    parser.add_argument(
        '--images', type=_at_least_points, default=2000, help='images to predict; default: 2000'
    )
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='also write the curves to this file'
    )
    add_common_arguments(parser)
    return parser.parse_args(argv)


def _at_least_points(text: str) -> int:
    if int(text) < POINTS:
        raise argparse.ArgumentTypeError(f'{text} is less than {POINTS}, one for each line')
    return int(text)


def draw_scenes(folder: Path) -> None:
    """Generate the data of the demo config, unless the user has set a folder."""
    if 'STREET_SCENES_ROOT' not in os.environ:
        if not (folder / 'annotations').is_dir():
            generate_street_scenes(folder, train=24, val=20, size=(256, 128), seed=0)
        os.environ['STREET_SCENES_ROOT'] = str(folder)


def train_only(cfg: Any, steps: int) -> None:
    """Change a config with any loop to this number of training steps, without validation."""
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps + 1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_evaluator = None
    cfg.param_scheduler = None
    cfg.resume = False
    use_safe_checkpoint_hook(cfg)
    checkpoint = cfg.default_hooks.checkpoint
    if checkpoint is not None:
        for key in ('save_best', 'rule', 'published_keys'):
            checkpoint.pop(key, None)
        checkpoint.update(by_epoch=False, interval=max(1, steps // 3), max_keep_ckpts=1)


class Curve:
    """Prints each point, and the verdict at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.points: List[Usage] = []
        print(f'\n{title}\n' + ''.join(name.rjust(width) for name, width in WIDTHS.items()))

    def add(self, point: Usage) -> None:
        """Print a point."""
        self.points.append(point)
        texts = describe(point)
        print(''.join(texts[name].rjust(width) for name, width in WIDTHS.items()), flush=True)

    def verdict(self) -> List[str]:
        """Print whether the curve is flat; return what grew."""
        grown = growths(self.points)
        print(f'{self.title}: {"NOT FLAT: " + "; ".join(grown) if grown else "flat"}')
        return grown


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Train, predict, print the curves and check them."""
    args = parse_args(argv)
    usage(0)
    if args.json is not None:
        require_target('--json', args.json)
    if args.config == str(DEMO):
        draw_scenes(Path(args.work_dir or 'work_dirs/endurance') / 'scenes')
        args.work_dir = args.work_dir or 'work_dirs/endurance'
    cfg = load_config(args)
    require_keys(cfg, ('train_dataloader', 'test_dataloader', 'optim_wrapper', 'model'), 'this')
    require_library(cfg)
    test_dataloader = cfg.pop('test_dataloader')
    train_only(cfg, args.steps)
    cfg.log_level = 'ERROR'
    runner = build_runner(cfg, strict=False)
    training = Curve('Training steps')
    runner.register_hook(UsageHook(args.steps // POINTS, training.add))
    runner.train()
    grown = training.verdict()
    inference = Curve('Images predicted')
    loader = runner.build_dataloader(test_dataloader)
    run_inference(runner.model, loader, args.images, args.images // POINTS, inference.add)
    grown += inference.verdict()
    if args.json is not None:
        curves = dict(training=training.points, inference=inference.points)
        content = {name: [point._asdict() for point in points] for name, points in curves.items()}
        write_json(args.json, dict(config=args.config, **content, grown=grown))
        print(f'Curves: {args.json}')
    if grown:
        raise UserError(
            'The process grew. Look for objects that are kept from step to step, or run longer to see whether it stops growing.'
        )


if __name__ == '__main__':
    main()
