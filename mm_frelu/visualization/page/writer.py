"""Write the page: first the parts that a browser needs immediately, then the images, which it decodes on demand.

The page has three parts. A list of the images with thumbnails can be sorted by the gain of one model over another. A viewer shows any two
models or the ground truth with a slider between them, or all of them side by side, with common zoom and pan. A table lists the classes
and their scores, with a filter. The page needs no network, and its content security policy forbids network access.

A *painter*, JavaScript code given by the caller, draws the predictions. Segmentation and detection have their own painters; ``page.js``
documents the functions that it calls. A page is written like this::

    with PageWriter('page.html', title='Street scenes', models=['ReLU', 'FReLU'], truth='Ground truth',
                    classes=[PageClass('road', (128, 64, 128)), ...], painter=javascript, measure='IoU',
                    mean_measure='mIoU') as page:
        for ...:
            page.add(PageImage(
                name='aachen_000000', photo=rgb_array,
                layers={'ReLU': Layer({'boxes': [...]}, {'labels': compressed_bytes}), 'Ground truth': ...},
                scores={'ReLU': 0.52, 'FReLU': 0.57}, class_scores={'ReLU': [0.9, None, ...], ...}))
        page.totals = {'ReLU': (0.61, [0.95, ...]), ...}

The file is created if the block ends without an error and at least one image was added. Until then, images are kept in a temporary file, so
that memory use does not grow.
"""

import base64
import html
import importlib.resources
import io
import json
import math
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

import numpy as np
from PIL import Image

from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.write_file import require_target, write_file
from mm_frelu.visualization.overlay import limited

MAX_SIDE = 2048
"""Longest side of an image on the page, in pixels; larger images are reduced."""

_THUMBNAIL = (192, 128)
_PHOTO_QUALITY = 85
_THUMBNAIL_QUALITY = 70

Size = Tuple[int, int]


class PageClass(NamedTuple):
    """A class in the filter and in the table.

    Attributes:
        name: Its name.
        color: Its RGB colour, 0 to 255.
    """

    name: str
    color: Tuple[int, int, int]


class Layer(NamedTuple):
    """Data that is drawn over an image for one model or for the ground truth.

    Attributes:
        data: JSON-serialisable data for the painter.
        blobs: Binary data by name, which the page decodes on demand. The painter gets ``ArrayBuffer`` objects.
        remarks: Lines about this model on this image, shown below its name in the side-by-side view.
    """

    data: Mapping[str, Any] = {}
    blobs: Mapping[str, bytes] = {}
    remarks: Sequence[str] = ()


class PageImage(NamedTuple):
    """One image of the page.

    Attributes:
        name: Name in the list of images.
        photo: RGB ``uint8`` array (H, W, 3) at full size. The page shows it with at most :data:`MAX_SIDE` pixels a side, see
            :func:`shown_size`. The painter gets the scale factor as ``image.scale``.
        layers: Layers by model, and by the writer's ``truth`` for the ground truth.
        scores: Score of each model on this image, 0..1, or None.
        class_scores: Scores per class, in the order of the writer's classes.
        differences: Share of the image on which two models differ, 0..1, by the pair of their names in the order of the models.
            Images without ground truth can be sorted by it.
    """

    name: str
    photo: np.ndarray
    layers: Mapping[str, Layer]
    scores: Mapping[str, Optional[float]] = {}
    class_scores: Mapping[str, Sequence[Optional[float]]] = {}
    differences: Mapping[Tuple[str, str], float] = {}


def shown_size(size: Size) -> Size:
    """Compute the size at which the page shows an image.

    Args:
        size: Width and height of the image.

    Returns:
        Width and height on the page.
    """
    return limited(size, MAX_SIDE)


class PageWriter:
    """Context manager that writes one page, see the module docstring.

    Args:
        path: The file to write, ending in ``.html``.
        title: Title of the page.
        models: Names of the models, the baseline first.
        classes: The classes.
        painter: JavaScript that calls ``definePainter({...})``.
        truth: Name of the layer of the ground truth, or None.
        measure: Name of a class score, such as ``'IoU'``.
        mean_measure: Name of an image score, such as ``'mIoU'``.
        notes: Paragraphs for the page's help: how scores are computed, and the meaning of colours.

    Attributes:
        totals: Score over all images and its parts by class, by model. Set it before the block ends, or leave it empty.

    Raises:
        UserError: If the file cannot be written.
        ValueError: If a name occurs twice, or the layers or scores of an image do not fit the models and classes.
    """

    def __init__(
        self,
        path: Union[str, Path],
        *,
        title: str,
        models: Sequence[str],
        classes: Sequence[PageClass],
        painter: str,
        truth: Optional[str] = None,
        measure: str = 'score',
        mean_measure: str = 'mean',
        notes: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        require_target('', self.path)
        require_writable('', self.path.parent)
        names = [*models, *([truth] if truth else [])]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'Two layers of the page have the name {twice[0]!r}.')
        self.models, self.truth, self.classes = list(models), truth, list(classes)
        self.painter = painter
        self.totals: Dict[str, Tuple[Optional[float], Sequence[Optional[float]]]] = {}
        self._head: Dict[str, Any] = dict(
            title=title,
            models=self.models,
            truth=truth,
            classes=[
                dict(name=entry.name, color=[int(c) for c in entry.color]) for entry in classes
            ],
            measure=measure,
            meanMeasure=mean_measure,
            notes=list(notes),
        )
        self._images: List[Dict[str, Any]] = []
        self._num_blocks = 0
        self._blocks: Optional[IO[bytes]] = None

    def __enter__(self) -> 'PageWriter':
        self._blocks = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            if kind is None and self._images:
                self._write()
        finally:
            assert self._blocks is not None
            self._blocks.close()

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: PageImage) -> None:
        """Appends an image."""
        self._check(image)
        size = image.photo.shape[1::-1]
        shown = shown_size(size)
        photo = Image.fromarray(image.photo)
        if shown != size:
            photo = photo.resize(shown, Image.Resampling.BOX)
        small = photo.copy()
        small.thumbnail(_THUMBNAIL)
        self._images.append(
            dict(
                name=image.name,
                width=shown[0],
                height=shown[1],
                scale=shown[0] / size[0],
                originalSize=list(size),
                thumbnail=_text(_jpeg(small, _THUMBNAIL_QUALITY)),
                photo=self._add_block(_jpeg(photo, _PHOTO_QUALITY)),
                layers={
                    name: dict(
                        data=layer.data,
                        blobs={key: self._add_block(blob) for key, blob in layer.blobs.items()},
                        remarks=list(layer.remarks),
                    )
                    for name, layer in image.layers.items()
                },
                scores={name: _number(value) for name, value in image.scores.items()},
                classScores={
                    name: [_number(value) for value in values]
                    for name, values in image.class_scores.items()
                },
                differences=[[*pair, _number(x)] for pair, x in image.differences.items()],
            )
        )

    def _check(self, image: PageImage) -> None:
        if self._blocks is None:
            raise ValueError('Images must be added inside of "with PageWriter(...) as page".')
        if image.photo.dtype != np.uint8 or image.photo.ndim != 3 or image.photo.shape[2] != 3:
            raise ValueError(
                f'{image.name}: the photo must be a uint8 array of shape (H, W, 3); found {image.photo.dtype} '
                f'{image.photo.shape}.'
            )
        known = {*self.models, *([self.truth] if self.truth else [])}
        pairs = {name for pair in image.differences for name in pair}
        for name in (*image.layers, *image.scores, *image.class_scores, *pairs):
            if name not in known:
                raise ValueError(
                    f'{image.name}: the page has no layer {name!r}; it has {sorted(known)}.'
                )
        for name, values in image.class_scores.items():
            if len(values) != len(self.classes):
                raise ValueError(
                    f'{image.name}: {name} has {len(values)} scores for {len(self.classes)} classes.'
                )

    def _add_block(self, content: bytes) -> List[int]:
        """Store a blob; return its index and the length of its text, by which the page detects a truncated blob."""
        assert self._blocks is not None
        number, self._num_blocks = self._num_blocks, self._num_blocks + 1
        text = base64.b64encode(content)
        self._blocks.write(b'<script type="text/plain" id="b%d">%s</script>\n' % (number, text))
        return [number, len(text)]

    def _write(self) -> None:
        totals = {
            name: dict(score=_number(mean), classes=[_number(value) for value in values])
            for name, (mean, values) in self.totals.items()
        }
        index = dict(self._head, images=self._images, totals=totals)
        before, after = _part('page.html').split('{{blocks}}')
        parts = {
            'title': html.escape(self._head['title']),
            'style': _part('page.css'),
            'index': json.dumps(index, ensure_ascii=False, allow_nan=False).replace('<', '\\u003c'),
            'scripts': '\n'.join(
                [_part('viewer.js'), _part('list.js'), _part('page.js'), self.painter]
            ),
        }
        assert self._blocks is not None
        self._blocks.seek(0)
        with write_file(self.path, 'wb') as stream:
            stream.write(_fill(before, parts).encode())
            while True:
                chunk = self._blocks.read(1 << 20)
                if not chunk:
                    break
                stream.write(chunk)
            stream.write(after.encode())


def _part(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding='utf-8')


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace each ``{{name}}``. Replaced text is not searched again."""
    pieces = template.split('{{')
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split('}}', 1)
        filled += [parts[name], rest]
    return ''.join(filled)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, 'JPEG', quality=quality)
    return stream.getvalue()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode('ascii')


def _number(value: Optional[float]) -> Optional[float]:
    """Round to four digits for JSON; NaN and infinity become None."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 4)
