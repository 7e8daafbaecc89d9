"""Name the file when a transform cannot read or process an image or a label.

mmcv decodes from bytes, so the errors of OpenCV and Pillow name a buffer, not a file. For an empty image, OpenCV raises an assertion about
``buf``; for a broken label, Pillow says "cannot identify image file <_io.BytesIO ...>". That does not help in a dataset of 20,000 files.
"""

import logging
import os
from typing import Any, Callable, Iterator, Optional

import cv2
from mmengine.logging import print_log

from .errors import UserError, first_line


class NamingTransform:
    """Wrapper around a transform that names the file it fails on.

    Args:
        transform (Callable): A transform of a built pipeline, e.g. ``LoadImageFromFile`` or ``Resize``.
    """

    def __init__(self, transform: Callable[[dict], Optional[dict]]) -> None:
        self.transform = transform

    def __call__(self, results: dict) -> Optional[dict]:
        """Apply the wrapped transform.

        Raises:
            UserError: With the path, when a file cannot be read, when OpenCV cannot process the image, or when the image is one pixel
                high or wide.
            Exception: Any other error, unchanged; the path is logged.
        """
        try:
            return self.transform(results)
        except UserError:
            raise
        except Exception as error:
            if type(self.transform).__name__.startswith('Load'):
                raise self._unreadable(results, error) from error
            self._raise_if_the_picture_is_why(results, error)
            print_log(
                f'{type(self.transform).__name__} failed on img_path {results.get("img_path")}.',
                'current',
                logging.ERROR,
            )
            raise

    def __getattr__(self, name: str) -> Any:
        # Hooks read settings of a transform. Unpickling calls this before ``transform`` is set.
        if name == 'transform':
            raise AttributeError(name)
        return getattr(self.transform, name)

    def _unreadable(self, results: dict, error: Exception) -> UserError:
        place = 'img_path'
        if 'Annotations' in type(self.transform).__name__:
            # Boxes come from the annotation file, so the image itself is not the problem.
            place = 'seg_map_path' if results.get('seg_map_path') else 'annotations of img_path'
        path = results.get(place.split()[-1])
        return UserError(
            f'{place} {path}: {_reason(path, error)}. Replace the file or remove it from the dataset.'
        )

    def _raise_if_the_picture_is_why(self, results: dict, error: Exception) -> None:
        height, width = (*(results.get('ori_shape') or (0, 0)), 0)[:2]
        narrow = 1 in (height, width, *(results.get('img_shape') or ())[:2])
        if not narrow and not isinstance(error, cv2.error):
            return
        raise UserError(
            f'img_path {results.get("img_path")} ({width}x{height}, width x height): '
            f'{type(self.transform).__name__} cannot process it ({type(error).__name__}: {first_line(error)}). An image that '
            'is one pixel high or wide, or that resizing makes smaller than a pixel, is too narrow: remove it from the dataset.'
        ) from error

    def __repr__(self) -> str:
        return repr(self.transform)


def _reason(path: Any, error: Exception) -> str:
    """Return why a file cannot be read: it is missing, empty, or the decoder failed."""
    if isinstance(path, str) and '://' not in path:
        if not os.path.isfile(path):
            return f'there is no such file (looked for {os.path.abspath(path)})'
        if not os.path.getsize(path):
            return 'the file is empty (0 bytes)'
    return f'it cannot be read; it may be cut off or of another format ({type(error).__name__}: {first_line(error)})'


def name_files(dataset: Any) -> None:
    """Wrap the transforms of a built dataset in :class:`NamingTransform`, inside dataset wrappers too.

    Call it before the DataLoader starts its workers, which copy the dataset.
    """
    for leaf in _leaves(dataset):
        _wrap(getattr(leaf, 'pipeline', None))


def _wrap(pipeline: Any) -> None:
    transforms = getattr(pipeline, 'transforms', [])
    for index, transform in enumerate(transforms):
        transforms[index] = NamingTransform(transform)
        for subroutine in getattr(transform, 'subroutines', []):  # of TestTimeAug
            _wrap(subroutine)


def _leaves(dataset: Any) -> Iterator[Any]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield dataset
    else:
        for child in inner:
            yield from _leaves(child)
