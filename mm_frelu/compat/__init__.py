"""Lets mmdet and mmseg run on an mmcv that was installed without its compiled ops, and mmpose on today's NumPy.

``pip install onedl-mmcv`` takes seconds and brings no ``mmcv._ext``; compiling it takes a compiler and many minutes.
RetinaNet and PSPNet need few of the ops, which are implemented here in plain torch. The package imports torch,
mmengine and mmcv's pure Python part, nothing else; :func:`import_mmpose` imports MMPose when it is called.
"""

from .missing_op import MissingOpError
from .pose import import_mmpose
from .stand_in import StandInOps, install_missing_ops

__all__ = ['MissingOpError', 'StandInOps', 'import_mmpose', 'install_missing_ops']
