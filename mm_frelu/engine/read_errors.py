"""Name the file when an image or a label cannot be read or worked on.

mmcv decodes from bytes, so OpenCV and Pillow speak of a buffer: on an empty image OpenCV raises an assertion about
``buf``, on a broken label Pillow "cannot identify image file <_io.BytesIO ...>". In a dataset of 20,000 files that is no help.
"""

import logging
import os
from typing import Any, Callable, Iterator, Optional

import cv2
from mmengine.logging import print_log

from .errors import UserError


class NamingTransform:
    """A transform that says which file it failed on.

    Args:
        transform (Callable): A transform of a built pipeline, e.g. ``LoadImageFromFile`` or ``Resize``.
    """

    def __init__(self, transform: Callable[[dict], Optional[dict]]) -> None:
        self.transform = transform

    def __call__(self, results: dict) -> Optional[dict]:
        """Do what the wrapped transform does.

        Raises:
            UserError: With the path, when a file cannot be read, or has a picture that OpenCV cannot work on or that is one pixel
                high or wide.
            Exception: Any other error as it is, once the path is in the log.
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
        # Hooks look for settings of a transform. Pickling asks before there is one.
        if name == 'transform':
            raise AttributeError(name)
        return getattr(self.transform, name)

    def _unreadable(self, results: dict, error: Exception) -> UserError:
        place = 'img_path'
        if 'Annotations' in type(self.transform).__name__:
            # Boxes come from the annotation file: nothing is wrong with the image then.
            place = 'seg_map_path' if results.get('seg_map_path') else 'annotations of img_path'
        path = results.get(place.split()[-1])
        return UserError(
            f'{place} {path}: {_reason(path, error)}. Replace the file or take it out of the dataset.'
        )

    def _raise_if_the_picture_is_why(self, results: dict, error: Exception) -> None:
        height, width = (*(results.get('ori_shape') or (0, 0)), 0)[:2]
        narrow = 1 in (height, width, *(results.get('img_shape') or ())[:2])
        if not narrow and not isinstance(error, cv2.error):
            return
        raise UserError(
            f'img_path {results.get("img_path")} ({width}x{height}, width x height): '
            f'{type(self.transform).__name__} cannot work on it ({type(error).__name__}: {_first_line(error)}). A picture that '
            'is one pixel high or wide, or becomes less when it is resized, is too narrow: take it out of the dataset.'
        ) from error

    def __repr__(self) -> str:
        return repr(self.transform)


def _reason(path: Any, error: Exception) -> str:
    """What the disk says, where it says more than the decoder."""
    if isinstance(path, str) and '://' not in path:
        if not os.path.isfile(path):
            return f'there is no such file (looked for {os.path.abspath(path)})'
        if not os.path.getsize(path):
            return 'the file is empty (0 bytes)'
    return f'cannot be read, cut off or not what it should be ({type(error).__name__}: {_first_line(error)})'


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), '')


def name_files(dataset: Any) -> None:
    """Wrap the transforms of a built dataset, inside dataset wrappers too.

    Must happen before the DataLoader starts its workers, which copy the dataset.
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
