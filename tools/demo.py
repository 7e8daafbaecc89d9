"""Train, test and compare small models on generated street scenes.

The demo draws the scenes, trains PSPNet with ReLU and with FReLU and RetinaNet with FReLU, tests all three, draws comparison pictures
and writes a report. It runs the project's own commands and prints each of them. The same commands work with full-size configs and
``data/cityscapes`` or ``data/coco``.

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
        'PSPNet R-18 ReLU',
        CONFIGS / 'pspnet/pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256.py',
    ),
    Model(
        'PSPNet R-18 FReLU',
        CONFIGS / 'pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py',
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
        help='folder of the scenes; they are drawn if they do not exist',
    )
    parser.add_argument('--train', type=int, default=240, help='scenes to train on')
    parser.add_argument('--val', type=int, default=40, help='scenes to test on')
    parser.add_argument('--size', default='256x128', help='size of the scenes, WxH in pixels')
    parser.add_argument('--seed', type=int, default=0, help='seed of scenes and training')
    parser.add_argument('--pictures', type=int, default=4, help='scenes in the comparison pictures')
    parser.add_argument(
        '--max-iters',
        type=int,
        help='training iterations of every model; default: as in its config',
    )
    return parser.parse_args()


def run(tool: str, arguments: List[str], log: Path, data: Path) -> float:
    """Run one of the project's tools, print its command, and save its output to a file.

    Returns:
        The run time in seconds.

    Raises:
        SystemExit: If it fails, with the end of its output.
    """
    command = [os.path.relpath(TOOLS / tool), *arguments]
    print(f'\n$ python {shlex.join(command)}', flush=True)
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
            if 'Iter(train)' in line and 'eta:' in line:  # MMEngine's progress lines
                print(f'  {line.split("mmengine - INFO - ")[-1].strip()}', flush=True)
    if process.wait():
        sys.exit(
            ''.join(lines[-25:]) + f'\nThe command above failed; its whole output is in {log}.'
        )
    seconds = time.monotonic() - start
    print(f'  done in {seconds:.0f} s', flush=True)
    return seconds


def train_and_test(model: Model, args: argparse.Namespace) -> Dict[str, float]:
    """Train and test a model; return the seconds of both."""
    folder = args.out / model.folder
    shutil.rmtree(folder, ignore_errors=True)
    config = os.path.relpath(model.config)
    options = [f'randomness.seed={args.seed}']
    if args.max_iters:
        keys = (
            'train_cfg.max_iters',
            'train_cfg.val_interval',
            'default_hooks.checkpoint.interval',
        )
        options += [f'{key}={args.max_iters}' for key in keys]
    arguments = [config, '--work-dir', str(folder / 'train'), '--cfg-options', *options]
    seconds = {'train': run('train.py', arguments, folder / 'train.txt', args.data)}

    model.checkpoint = Path(os.path.relpath((folder / 'train' / 'last_checkpoint').read_text()))
    output = folder / ('predictions' if model.is_segmentation else 'predictions.pkl')
    arguments = [config, str(model.checkpoint), '--out', str(output)]
    arguments += ['--work-dir', str(folder / 'test')]
    seconds['test'] = run('test.py', arguments, folder / 'test.txt', args.data)
    return seconds


def compare(args: argparse.Namespace) -> List[Path]:
    """Draw the segmentation models side by side: whole images, and crops where they differ most."""
    images = sorted((args.data / 'leftImg8bit/val').rglob('*.png'))[: args.pictures]
    models = []
    for model in MODELS:
        if model.is_segmentation:
            models += ['--model', model.name, os.path.relpath(model.config), str(model.checkpoint)]
    shutil.rmtree(args.out / 'comparison', ignore_errors=True)
    pictures = []
    for name, extra in (('whole', []), ('crop', ['--crop', 'auto'])):
        folder = args.out / 'comparison' / name
        arguments = ['--images', *map(str, images), '--gt', str(args.data / 'gtFine/val')]
        arguments += [*models, *extra, '--out', str(folder)]
        run('visualize_segmentation.py', arguments, args.out / f'comparison_{name}.txt', args.data)
        pictures += sorted(folder.glob('*.png'))
    return pictures


def show_detections(args: argparse.Namespace) -> List[Path]:
    """Draw the detections next to the true boxes, from the predictions of the tests."""
    folder = args.out / 'detections'
    shutil.rmtree(folder, ignore_errors=True)
    arguments = ['--out', str(folder), '--max-images', str(args.pictures)]
    for model in MODELS:
        if not model.is_segmentation:
            predictions = args.out / model.folder / 'predictions.pkl'
            arguments += ['--model', model.name, os.path.relpath(model.config), str(predictions)]
    run('visualize_detection.py', arguments, args.out / 'detections.txt', args.data)
    return sorted(folder.glob('*.png'))


def main() -> None:
    """Run the demo."""
    args = parse_args()
    start = time.monotonic()
    scenes = [str(args.data), '--train', str(args.train), '--val', str(args.val)]
    scenes += ['--size', args.size, '--seed', str(args.seed)]
    run('dataset_converters/street_scenes.py', scenes, args.out / 'scenes.txt', args.data)
    seconds = {model.name: train_and_test(model, args) for model in MODELS}
    comparisons = compare(args)
    detections = show_detections(args)
    total = time.monotonic() - start
    report = write_report(
        args.out, args.data, MODELS, seconds, comparisons, detections, total, args.seed
    )
    print(f'\n{report.read_text()}')
    print(f'Report:   {report}\nPictures: {args.out / "comparison"}, {args.out / "detections"}')


if __name__ == '__main__':
    main()
