"""Drawing what an exported network found: labels over the image, boxes with their names, and a legend."""

from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LARGE = 1024
"""Smaller images are enlarged to about this width or height, for names to be read."""

TEXT, ROW = 18, 26


def paint(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, opacity: float
) -> np.ndarray:
    """Mix an image with the colours of its classes.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        labels: Class of each pixel, (H, W).
        palette: One RGB colour for each class.
        opacity: Of the colours, from 0 to 1.
    """
    mixed = (1 - opacity) * image.astype(np.float32) + opacity * palette[labels].astype(np.float32)
    return mixed.round().astype(np.uint8)


def enlargement(image: np.ndarray) -> int:
    """How many times larger an image is drawn."""
    return max(LARGE // max(image.shape[:2]), 1)


def draw_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    classes: Sequence[str],
    opacity: float,
) -> Image.Image:
    """Labels over the image, and below it the classes that are in it, the most frequent first."""
    times = enlargement(image)
    large = np.asarray(_enlarged(image, times))
    painted = paint(large, labels.repeat(times, 0).repeat(times, 1), palette, opacity)
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    present = [index for index in np.argsort(-counts, kind='stable') if counts[index]]
    entries = [
        (f'{classes[index]} {counts[index] / labels.size:.1%}', tuple(palette[index].tolist()))
        for index in present
    ]
    return _with_legend(Image.fromarray(painted), entries)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    classes: Sequence[str],
) -> Image.Image:
    """Boxes with their names and scores, the best on top."""
    times = enlargement(image)
    picture = _enlarged(image, times)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(TEXT)
    line = max(round(max(picture.size) / 400), 2)
    for box, score, label in list(zip(boxes, scores, labels))[::-1]:
        color = tuple(palette[label].tolist())
        left, top, right, bottom = (float(value) * times for value in box)
        draw.rectangle((left, top, max(right, left), max(bottom, top)), outline=color, width=line)
        text = f'{classes[label]} {score:.0%}'
        width = draw.textlength(text, font) + 6
        # Above the box where there is room, and inside the picture.
        x = min(max(left, 0), max(picture.width - width, 0))
        y = top - ROW if top >= ROW else min(top, picture.height - ROW)
        draw.rectangle((x, y, x + width, y + ROW), fill=color)
        draw.text((x + 3, y + ROW / 2), text, fill=_readable_on(color), font=font, anchor='lm')
    return picture


def draw_scores(image: np.ndarray, scores: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """The image, and below it the five most probable classes."""
    best = np.argsort(-scores, kind='stable')[:5]
    entries = [(f'{classes[index]} {scores[index]:.1%}', (96, 96, 96)) for index in best]
    return _with_legend(_enlarged(image, enlargement(image)), entries)


def _enlarged(image: np.ndarray, times: int) -> Image.Image:
    picture = Image.fromarray(image)
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.BICUBIC) if times > 1 else picture


def _with_legend(
    picture: Image.Image, entries: List[Tuple[str, Tuple[int, int, int]]]
) -> Image.Image:
    font = ImageFont.load_default(TEXT)
    measure = ImageDraw.Draw(picture)
    column = max(measure.textlength(text, font) for text, _ in entries) + ROW + 24
    columns = max(int(picture.width // column), 1)
    rows = -(-len(entries) // columns)
    canvas = Image.new('RGB', (picture.width, picture.height + rows * ROW + 12), 'white')
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    for number, (text, color) in enumerate(entries):
        x = 8 + number % columns * column
        y = picture.height + 6 + number // columns * ROW
        draw.rectangle((x, y + 4, x + ROW - 8, y + ROW - 4), fill=color, outline=(96, 96, 96))
        draw.text((x + ROW, y + ROW / 2), text, fill='black', font=font, anchor='lm')
    return canvas


def _readable_on(color: Tuple[int, int, int]) -> str:
    red, green, blue = color
    return 'black' if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else 'white'
