"""The head of the DY-ReLU paper's keypoint system, for MMPose.

Importing this package imports MMPose; ``import mm_frelu`` does not. Keypoint configs name it in ``custom_imports``.
"""

from ..compat import import_mmpose

import_mmpose()

from .upsampling_head import UpsamplingHead  # noqa: E402

__all__ = ['UpsamplingHead']
