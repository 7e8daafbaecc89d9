"""Name the file when an image or a label cannot be read.

mmcv decodes from bytes, so OpenCV and Pillow speak of a buffer: on an empty image OpenCV raises an assertion about
``buf``, on a broken label Pillow "cannot identify image file <_io.BytesIO ...>". In a dataset of 20,000 files that is no help.
"""

import os
from typing import Any, Callable, Iterator, Optional

from .errors import UserError


class NamingLoader:
    """A loading transform that says which file it failed on.

    Args:
        transform (Callable): A transform of a built pipeline, e.g. ``LoadImageFromFile`` or ``LoadAnnotations``.
    """

    def __init__(self, transform: Callable[[dict], Optional[dict]]) -> None:
        self.transform = transform

    def __call__(self, results: dict) -> Optional[dict]:
        """Load as the wrapped transform does; errors become a :class:`UserError` with the path."""
        try:
            return self.transform(results)
        except UserError:
            raise
        except Exception as error:
            place = 'img_path'
            if 'Annotations' in type(self.transform).__name__:
                # Boxes come from the annotation file: nothing is wrong with the image then.
                place = 'seg_map_path' if results.get('seg_map_path') else 'annotations of img_path'
            path = results.get(place.split()[-1])
            raise UserError(
                f'{place} {path}: {_reason(path, error)}. Replace the file or take it out of the dataset.'
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
    first, *_ = str(error).strip().splitlines() or ['']
    return f'cannot be read, cut off or not what it should be ({type(error).__name__}: {first})'


def name_files(dataset: Any) -> None:
    """Wrap the ``Load*`` transforms of a built dataset, inside dataset wrappers too.

    Must happen before the DataLoader starts its workers, which copy the dataset.
    """
    for leaf in _leaves(dataset):
        _wrap(getattr(leaf, 'pipeline', None))


def _wrap(pipeline: Any) -> None:
    transforms = getattr(pipeline, 'transforms', [])
    for index, transform in enumerate(transforms):
        if type(transform).__name__.startswith('Load'):
            transforms[index] = NamingLoader(transform)
        for subroutine in getattr(transform, 'subroutines', []):  # of TestTimeAug
            _wrap(subroutine)


def _leaves(dataset: Any) -> Iterator[Any]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield dataset
    else:
        for child in inner:
            yield from _leaves(child)
