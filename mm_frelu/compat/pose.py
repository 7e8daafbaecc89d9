"""Import MMPose 1.3 with current versions of NumPy and mmcv.

The last release of MMPose requires ``xtcocotools`` and ``chumpy``. The wheels of ``xtcocotools`` are built for NumPy 1.
``chumpy`` does not build, and only the 3-D bodies of MMPose need it. pycocotools has the same classes as ``xtcocotools`` under
the same names, except that ``COCOeval`` lacks two arguments, which are added here. MMPose's version check accepts mmcv up to
3.0.0.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, Optional, Sequence

import numpy as np

from .stand_in import install_missing_ops

HOW_TO_INSTALL = (
    "pip install 'mm_frelu[pose]', then pip install --no-deps mmpose==1.3.2 (--no-deps leaves out chumpy and xtcocotools, "
    'which are not needed here)'
)

_PARTS = ('models', 'datasets', 'evaluation', 'engine', 'visualization')
_STAND_INS = ('coco', 'cocoeval', 'mask')


def import_mmpose() -> None:
    """Import MMPose, and replace ``xtcocotools`` with pycocotools if it is missing or cannot be imported.

    Further calls have no effect.

    Raises:
        ImportError: If a package is missing or cannot be imported. The message names it and says how to install it.
    """
    install_missing_ops()
    missing = 'mmpose'
    try:
        importlib.import_module('mmpose')
        missing = 'pycocotools'
        _replace_xtcocotools()
        for part in _PARTS:
            missing = f'mmpose.{part}'
            importlib.import_module(f'mmpose.{part}')
    except Exception as error:  # a torchvision built for another torch raises RuntimeError
        if isinstance(error, ModuleNotFoundError) and error.name:
            missing = error.name.partition('.')[0]
            reason = f'{missing}, which is not installed'
        else:
            reason = f'{missing}, which cannot be imported ({" ".join(str(error).split())})'
        raise ImportError(
            f'Keypoint detection needs {reason}. Install it: {HOW_TO_INSTALL}.', name=missing
        ) from None


def _replace_xtcocotools() -> None:
    """Register pycocotools under the name ``xtcocotools`` if the latter cannot be imported."""
    try:
        for name in _STAND_INS:
            importlib.import_module(f'xtcocotools.{name}')
    except (ImportError, ValueError, AttributeError):  # NumPy raises ValueError for another ABI
        for name in [name for name in sys.modules if name.partition('.')[0] == 'xtcocotools']:
            del sys.modules[name]
        sys.modules['xtcocotools'] = importlib.import_module('pycocotools')
        for name in ('coco', 'mask'):
            sys.modules[f'xtcocotools.{name}'] = importlib.import_module(f'pycocotools.{name}')
        cocoeval = ModuleType('xtcocotools.cocoeval')
        cocoeval.COCOeval = _keypoint_eval()  # type: ignore[attr-defined]
        sys.modules[cocoeval.__name__] = cocoeval


_BODY_IN_BOX = 0.53
"""Average share of its box that a person covers. Used if the annotations have no area; xtcocotools uses the same value."""


def _keypoint_eval() -> type:
    """Return a subclass of pycocotools' ``COCOeval`` with the arguments that MMPose passes to that of xtcocotools."""
    from pycocotools.cocoeval import COCOeval

    class KeypointEval(COCOeval):
        """COCO's evaluation with two more arguments, ``sigmas`` and ``use_area``.

        Args:
            coco_gt: The annotations.
            coco_dt: The predictions.
            iou_type: Kind of results to compare, such as ``'keypoints'``.
            sigmas: Spread of the annotators at each keypoint. None means COCO's own values.
            use_area: Whether the size of a person is the area of the annotation. If False, it is estimated from the box.
        """

        def __init__(
            self,
            coco_gt: Any = None,
            coco_dt: Any = None,
            iou_type: str = 'segm',
            sigmas: Optional[Sequence[float]] = None,
            use_area: bool = True,
        ) -> None:
            super().__init__(coco_gt, coco_dt, iou_type)
            self._use_area = use_area
            if sigmas is not None:
                self.params.kpt_oks_sigmas = np.asarray(sigmas)

        def _prepare(self) -> None:
            super()._prepare()
            if self._use_area:
                return
            for key, entries in self._gts.items():
                self._gts[key] = [
                    dict(entry, area=entry['bbox'][2] * entry['bbox'][3] * _BODY_IN_BOX)
                    for entry in entries
                ]

    return KeypointEval
