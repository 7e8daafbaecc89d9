"""MMPose 1.3 on today's NumPy and mmcv.

Its last release asks for ``xtcocotools``, whose wheels are built for NumPy 1, and for ``chumpy``, which only its 3-D bodies
need and which does not build. pycocotools has the same classes under the same names, but for two more arguments of
``COCOeval``, which are added here. mmcv up to 3.0.0 passes MMPose's own test of versions.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, Optional, Sequence

import numpy as np

from .stand_in import install_missing_ops

HOW_TO_INSTALL = (
    "pip install 'mm_frelu[pose]', then pip install --no-deps mmpose==1.3.2 (which leaves out chumpy and xtcocotools, "
    'not needed here)'
)

_PARTS = ('models', 'datasets', 'evaluation', 'engine', 'visualization')
_STAND_INS = ('coco', 'cocoeval', 'mask')


def import_mmpose() -> None:
    """Import MMPose, with pycocotools in the place of an ``xtcocotools`` that is missing or does not load.

    Calling it again changes nothing.

    Raises:
        ImportError: In one sentence: what is missing or broken, and how to install it.
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
    except Exception as error:  # a torchvision that was built for another torch is a RuntimeError
        if isinstance(error, ModuleNotFoundError) and error.name:
            missing = error.name.partition('.')[0]
            reason = f'{missing}, which is not installed'
        else:
            reason = f'{missing}, which does not load ({" ".join(str(error).split())})'
        raise ImportError(
            f'Keypoint detection needs {reason}. Install it: {HOW_TO_INSTALL}.', name=missing
        ) from None


def _replace_xtcocotools() -> None:
    """Put pycocotools under the other name where that one cannot be imported."""
    try:
        for name in _STAND_INS:
            importlib.import_module(f'xtcocotools.{name}')
    except (ImportError, ValueError, AttributeError):  # NumPy's words for another ABI
        for name in [name for name in sys.modules if name.partition('.')[0] == 'xtcocotools']:
            del sys.modules[name]
        sys.modules['xtcocotools'] = importlib.import_module('pycocotools')
        for name in ('coco', 'mask'):
            sys.modules[f'xtcocotools.{name}'] = importlib.import_module(f'pycocotools.{name}')
        cocoeval = ModuleType('xtcocotools.cocoeval')
        cocoeval.COCOeval = _keypoint_eval()  # type: ignore[attr-defined]
        sys.modules[cocoeval.__name__] = cocoeval


_BODY_IN_BOX = 0.53
"""Share of its box that a person covers on average, where the annotations have no area. xtcocotools has the same."""


def _keypoint_eval() -> type:
    """The ``COCOeval`` of pycocotools with the arguments that MMPose gives to that of xtcocotools."""
    from pycocotools.cocoeval import COCOeval

    class KeypointEval(COCOeval):
        """COCO's evaluation.

        Args:
            coco_gt: The annotations.
            coco_dt: The predictions.
            iou_type: What is compared, such as ``'keypoints'``.
            sigmas: How far annotators are apart at each keypoint; COCO's own if None.
            use_area: Whether the size of a person is the area of the annotation; else it follows from the box.
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
