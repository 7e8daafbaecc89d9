"""Draw what a network exported by export_onnx.py finds in images, with onnxruntime alone.

    python tools/deployment/run_onnx.py IMAGE ... MODEL.onnx [--out-dir DIR] [--score-thr S] [--opacity A] [--show]

Images come first, the model last; a folder is searched with the folders below it. Nothing of torch or OpenMMLab is imported: this
file, onnx_model.py and onnx_pictures.py run wherever numpy, OpenCV, Pillow and onnxruntime do.
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
        description='Draw what an exported network finds in images, with onnxruntime alone.'
    )
    parser.add_argument('images', nargs='+', type=Path, metavar='IMAGE', help='images or folders')
    parser.add_argument('model', type=Path, metavar='MODEL', help='ONNX file of export_onnx.py')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/onnx'),
        metavar='DIR',
        help='folder for the pictures; default work_dirs/onnx',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='boxes below this score are left out; default 0.3',
    )
    parser.add_argument(
        '--opacity',
        type=float,
        default=0.65,
        metavar='A',
        help='opacity of the class colours over the image, 0 to 1; default 0.65',
    )
    parser.add_argument('--show', action='store_true', help='also open each picture')
    args = parser.parse_args(argv)
    if not 0 <= args.opacity <= 1:
        parser.error(f'--opacity: expected a number from 0 to 1, found {args.opacity}')
    return args


def find_images(paths: Sequence[Path], out_dir: Path) -> List[Tuple[Path, Path]]:
    """The images, and for each the name of its picture below the output folder, no name twice.

    Raises:
        OnnxError: For a path that does not exist, and a folder without an image.
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
                raise OnnxError(
                    f'IMAGE {path}: neither this folder nor those below it hold an image.'
                )
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
    """The picture of a result."""
    if model.task == 'segmentation':
        return draw_labels(image, found['labels'], model.palette, model.classes, args.opacity)
    if model.task == 'detection':
        return draw_boxes(image, **found, palette=model.palette, classes=model.classes)
    return draw_scores(image, found['scores'], model.classes)


def in_words(model: OnnxModel, found: Result) -> str:
    """A result in one line."""
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
    """Write a picture, whole or not at all.

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
    """Predict and draw each image; an image that fails does not stop the others.

    Raises:
        OnnxError: When something is the user's to mend.
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
    """Run, and end with one sentence where the user has something to mend."""
    try:
        run(parse_args(argv))
    except OnnxError as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == '__main__':
    main()
