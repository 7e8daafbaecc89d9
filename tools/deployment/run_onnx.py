"""Run a network exported by export_onnx.py on images and draw the results, with onnxruntime only.

    python tools/deployment/run_onnx.py IMAGE ... MODEL.onnx [--out-dir DIR] [--score-thr S] [--opacity A] [--show]

Give images or folders first and the model last. Subfolders are included. The tool does not import torch or OpenMMLab: this file,
onnx_model.py and onnx_pictures.py need only numpy, OpenCV, Pillow and onnxruntime.
"""

import argparse
import os
import secrets
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
from onnx_model import OnnxError, OnnxModel, Result, first_line, read_image
from onnx_pictures import draw_boxes, draw_labels, draw_scores
from PIL import Image

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Run an exported network on images and draw the results, with onnxruntime only.'
    )
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='images or folders')
    parser.add_argument('model', type=Path, metavar='MODEL', help='ONNX file of export_onnx.py')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/onnx'),
        metavar='DIR',
        help='folder for the pictures; default: work_dirs/onnx',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='minimum score of the boxes to draw; default: 0.3',
    )
    parser.add_argument(
        '--opacity',
        type=float,
        default=0.65,
        metavar='A',
        help='opacity of the class colours over the image, 0 to 1; default: 0.65',
    )
    parser.add_argument('--show', action='store_true', help='also open each picture')
    args = parser.parse_args(argv)
    if not 0 <= args.opacity <= 1:
        parser.error(f'--opacity: expected a number from 0 to 1, found {args.opacity}')
    return args


def find_images(paths: Sequence[Path], out_dir: Path) -> List[Tuple[Path, Path]]:
    """Return the images, each with a unique name of its picture inside the output folder.

    Raises:
        OnnxError: For a path that does not exist, or a folder without an image.
    """
    found: List[Tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = [
                file
                for file in sorted(path.rglob('*'))
                if file.suffix.lower() in SUFFIXES
                and out_dir.resolve() not in file.resolve().parents
            ]
            if not inside:
                raise OnnxError(f'IMAGE {path}: this folder and its subfolders have no image.')
            found += [(file, file.relative_to(path)) for file in inside]
        elif path.is_file():
            found.append((path, Path(path.name)))
        else:
            raise OnnxError(
                f'IMAGE {path}: there is no such file or folder (looked for {path.absolute()}).'
            )
    named, taken = [], set()
    for file, relative in found:
        target, number = relative.with_suffix('.png'), 2
        while target in taken:
            target = relative.with_name(f'{relative.stem}_{number}.png')
            number += 1
        taken.add(target)
        named.append((file, target))
    return named


def draw(
    model: OnnxModel, image: np.ndarray, found: Result, args: argparse.Namespace
) -> Image.Image:
    """Draw a result."""
    if model.task == 'segmentation':
        return draw_labels(image, found['labels'], model.palette, model.classes, args.opacity)
    if model.task == 'detection':
        return draw_boxes(image, **found, palette=model.palette, classes=model.classes)
    return draw_scores(image, found['scores'], model.classes)


def in_words(model: OnnxModel, found: Result) -> str:
    """Describe a result in one line."""
    if model.task == 'segmentation':
        counts = np.bincount(found['labels'].ravel(), minlength=len(model.classes))
        best = [index for index in np.argsort(-counts, kind='stable')[:5] if counts[index]]
        return ', '.join(f'{model.classes[i]} {counts[i] / counts.sum():.1%}' for i in best)
    if model.task == 'detection':
        boxes = [
            f'{model.classes[label]} {score:.0%}'
            for label, score in zip(found['labels'], found['scores'])
        ]
        count = f'{len(boxes)} box{"" if len(boxes) == 1 else "es"}'
        return (
            f'{count}: {", ".join(boxes[:5])}{", ..." if len(boxes) > 5 else ""}'
            if boxes
            else count
        )
    if model.task == 'features':
        return ', '.join(f'{name} {"x".join(map(str, map_.shape))}' for name, map_ in found.items())
    best = np.argsort(-found['scores'], kind='stable')[:5]
    return ', '.join(f'{model.classes[index]} {found["scores"][index]:.1%}' for index in best)


def save(picture: Image.Image, target: Path) -> None:
    """Write a picture atomically.

    Raises:
        OnnxError: When it cannot be written.
    """
    partial = target.with_name(f'.{secrets.token_hex(8)}.png')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(partial)
        os.replace(partial, target)
    except OSError as error:
        raise OnnxError(f'--out-dir: {target} cannot be written ({first_line(error)}).') from None
    finally:
        if partial.exists():
            partial.unlink()


def run(args: argparse.Namespace) -> None:
    """Predict and draw each image. An image that fails does not stop the others.

    Raises:
        OnnxError: When an image, the model or the output folder is wrong.
    """
    images = find_images(args.images, args.out_dir)
    model = OnnxModel(args.model)
    problems, drawn = [], 0
    for file, relative in images:
        try:
            image = read_image(file)
            start = time.perf_counter()
            found = model.predict(image)
            seconds = time.perf_counter() - start
            if model.task == 'detection':
                good = found['scores'] >= args.score_thr
                found = {name: values[good] for name, values in found.items()}
            print(f'{file}: {in_words(model, found)} ({1000 * seconds:.0f} ms)', flush=True)
            if model.task == 'features':
                continue
            picture = draw(model, image, found, args)
            save(picture, args.out_dir / relative)
            drawn += 1
            if args.show:
                picture.show()
        except OnnxError as error:
            problems.append(str(error))
    if drawn:
        noun = 'picture' if drawn == 1 else 'pictures'
        print(f'{drawn} {noun} in {args.out_dir.absolute()}')
    if problems:
        listed = '\n  '.join(problems)
        raise OnnxError(f'{len(problems)} of {len(images)} images failed:\n  {listed}')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run, and print errors of the user's input as one sentence."""
    try:
        run(parse_args(argv))
    except OnnxError as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == '__main__':
    main()
