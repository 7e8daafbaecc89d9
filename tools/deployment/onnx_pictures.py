"""Draw the results of an exported network: labels over the image, boxes with their names, and a legend."""

from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LARGE = 1024
"""Smaller images are enlarged to about this width or height, so that names are readable."""

TEXT, ROW = 18, 26
"""Height of text and rows in a legend, in pixels."""

SMALL_TEXT, TAG = 15, 20
"""Height of text and background of a box's name, in pixels."""

Box = Tuple[float, float, float, float]
"""Left, top, right, bottom."""


def paint(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, opacity: float) -> np.ndarray:
    """Mix an image with the colours of its classes.

    Args:
        image: RGB ``uint8`` array (H, W, 3).
        labels: Class of each pixel, (H, W).
        palette: One RGB colour for each class.
        opacity: Opacity of the colours, from 0 to 1.
    """
    # Grey the image, like in the other pictures: a green bus below a blue class would give a colour that is not in the legend.
    pixels = image.astype(np.float32)
    grey = (pixels @ np.float32([0.299, 0.587, 0.114]))[..., None]
    ground = opacity * grey + (1 - opacity) * pixels
    mixed = opacity * palette[labels].astype(np.float32) + (1 - opacity) * ground
    return mixed.round().astype(np.uint8)


def enlargement(image: np.ndarray) -> int:
    """Return the factor by which an image is enlarged."""
    return max(LARGE // max(image.shape[:2]), 1)


def draw_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    classes: Sequence[str],
    opacity: float,
) -> Image.Image:
    """Draw labels over the image, and below it the classes that occur, most frequent first."""
    times = enlargement(image)
    large = np.asarray(_enlarged(image, times))
    painted = paint(large, labels.repeat(times, 0).repeat(times, 1), palette, opacity)
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    present = [index for index in np.argsort(-counts, kind='stable') if counts[index]]
    entries = [
        (f'{classes[index]} {share(counts[index] / labels.size)}', tuple(palette[index].tolist()))
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
    """Draw boxes with their names and scores, highest scores on top."""
    times = enlargement(image)
    picture = _enlarged(image, times)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(SMALL_TEXT)
    line = max(round(max(picture.size) / 400), 2)
    taken: List[Box] = []
    for box, label in list(zip(boxes, labels))[::-1]:
        draw.rectangle(_corners(box, times), outline=tuple(palette[label].tolist()), width=line)
    for box, score, label in zip(boxes, scores, labels):
        color = tuple(palette[label].tolist())
        text = f'{classes[label]} {score:.0%}'
        tag = _free_place(
            _corners(box, times), draw.textlength(text, font) + 6, picture.size, taken
        )
        taken.append(tag)
        draw.rectangle(tag, fill=color)
        middle = (tag[0] + 3, (tag[1] + tag[3]) / 2)
        draw.text(middle, text, fill=_readable_on(color), font=font, anchor='lm')
    return picture


def _corners(box: np.ndarray, times: int) -> Box:
    left, top, right, bottom = (float(value) * times for value in box)
    return left, top, max(left, right), max(top, bottom)


def _free_place(box: Box, width: float, size: Tuple[int, int], taken: Sequence[Box]) -> Box:
    """Return a place for a name that hides no other: above its box, inside at the top or bottom, or below; otherwise above."""
    left, top, _, bottom = box
    x = min(max(left, 0), max(size[0] - width, 0))
    heights = [top - TAG, top, bottom - TAG, bottom]
    tags = [(x, y, x + width, y + TAG) for y in heights if 0 <= y <= size[1] - TAG]
    free = [tag for tag in tags if not any(_overlap(tag, other) for other in taken)]
    return (free or tags or [(x, 0, x + width, TAG)])[0]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def share(value: float) -> str:
    """Format a share in per cent."""
    return f'{value:.1%}' if value >= 0.0005 else '<0.1%'


def draw_scores(image: np.ndarray, scores: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """Draw the image, and below it the five most probable classes."""
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
