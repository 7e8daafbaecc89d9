"""The main job, end to end, on generated street scenes.

Draws the scenes, trains PSPNet with FReLU and with ReLU and RetinaNet with FReLU at demo size, tests all three, draws the
comparison pictures and writes a report. It runs the project's own commands, one after the other, and prints each of
them: the same commands with ``data/cityscapes`` or ``data/coco`` in place are the full job.

    python tools/demo.py --out work_dirs/demo
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List

from demo_report import Model, write_report

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'
MODELS = (
    Model(
        'PSPNet R-18 FReLU',
        CONFIGS / 'pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py',
    ),
    Model(
        'PSPNet R-18 ReLU',
        CONFIGS / 'pspnet/pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256.py',
    ),
    Model(
        'RetinaNet R-18 FReLU',
        CONFIGS / 'retinanet/retinanet_r18-frelu_fpn_1xb8-demo_street-scenes.py',
    ),
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train, test and compare on generated scenes')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='result folder')
    parser.add_argument(
        '--data',
        type=Path,
        default=Path('data/street_scenes'),
        help='where the scenes are, or will be drawn',
    )
    parser.add_argument('--train', type=int, default=240, help='scenes to train on')
    parser.add_argument('--val', type=int, default=40, help='scenes to test on')
    parser.add_argument('--size', default='256x128', help='size of the scenes, WxH in pixels')
    parser.add_argument('--seed', type=int, default=0, help='seed of scenes and training')
    parser.add_argument('--pictures', type=int, default=4, help='scenes in the comparison pictures')
    parser.add_argument(
        '--max-iters', type=int, help='training length of every model, instead of its config'
    )
    return parser.parse_args()


def run(command: List[str], log: Path, data: Path) -> float:
    """Run a command, show it, keep what it prints in a file; return the seconds it took.

    Raises:
        SystemExit: If the command fails, with the end of its output.
    """
    print(f'\n$ {shlex.join(command)}', flush=True)
    start = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with open(log, 'w') as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, 'STREET_SCENES_ROOT': str(data)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in process.stdout:
            file.write(line)
            lines.append(line)
            if 'eta:' in line:  # MMEngine's training lines, with the time that is left
                print(f'  {line.split("mmengine - INFO - ")[-1].strip()}', flush=True)
    if process.wait():
        sys.exit(''.join(lines[-25:]) + f'\nThe command above failed; all it printed is in {log}.')
    seconds = time.monotonic() - start
    print(f'  done in {seconds:.0f} s', flush=True)
    return seconds


def train_and_test(model: Model, args: argparse.Namespace) -> Dict[str, float]:
    """Train a model and test it; return the seconds of both."""
    work_dir = args.out / model.folder
    shutil.rmtree(work_dir, ignore_errors=True)
    options = [f'randomness.seed={args.seed}']
    if args.max_iters:
        options += [
            f'train_cfg.{key}={args.max_iters}' for key in ('max_iters', 'val_interval')
        ] + [f'default_hooks.checkpoint.interval={args.max_iters}']
    command = ['train.py', str(model.config), '--work-dir', str(work_dir / 'train')]
    command += ['--cfg-options', *options]
    seconds = {
        'train': run([str(TOOLS / command[0]), *command[1:]], work_dir / 'train.txt', args.data)
    }

    model.checkpoint = Path((work_dir / 'train' / 'last_checkpoint').read_text())
    output = str(
        work_dir / 'predictions' if model.is_segmentation else work_dir / 'predictions.pkl'
    )
    command = [str(TOOLS / 'test.py'), str(model.config), str(model.checkpoint), '--out', output]
    command += ['--work-dir', str(work_dir / 'test')]
    if not model.is_segmentation:
        command += ['--show-dir', 'pictures']
    seconds['test'] = run(command, work_dir / 'test.txt', args.data)
    return seconds


def compare(args: argparse.Namespace) -> List[Path]:
    """Draw the segmentation models beside each other, whole and where they differ most."""
    images = sorted((args.data / 'leftImg8bit/val').rglob('*.png'))[: args.pictures]
    models = []
    for model in MODELS:
        if model.is_segmentation:
            models += ['--model', model.name, str(model.config), str(model.checkpoint)]
    pictures = []
    for name, extra in (('whole', []), ('crop', ['--crop', 'auto'])):
        folder = args.out / 'comparison' / name
        command = [str(TOOLS / 'visualize_segmentation.py'), '--images', *map(str, images), *models]
        command += ['--gt', str(args.data / 'gtFine/val'), *extra, '--out', str(folder)]
        run(command, args.out / f'comparison_{name}.txt', args.data)
        pictures += sorted(folder.glob('*.png'))
    return pictures


def main() -> None:
    """Run the demo."""
    args = parse_args()
    start = time.monotonic()
    scenes = [str(TOOLS / 'dataset_converters/street_scenes.py'), str(args.data)]
    scenes += ['--train', str(args.train), '--val', str(args.val)]
    scenes += ['--size', args.size, '--seed', str(args.seed)]
    run(scenes, args.out / 'scenes.txt', args.data)
    seconds = {model.name: train_and_test(model, args) for model in MODELS}
    pictures = compare(args)
    total = time.monotonic() - start
    report = write_report(args.out, args.data, MODELS, seconds, pictures, total, args.seed)
    print(f'\n{report.read_text()}')
    print(f'Report:   {report}\nPictures: {args.out / "comparison"}', flush=True)


if __name__ == '__main__':
    main()
