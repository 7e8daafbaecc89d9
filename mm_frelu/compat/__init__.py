"""Run mmdet and mmseg with an mmcv that was installed without its compiled ops, and MMPose with today's NumPy.

``pip install onedl-mmcv`` takes seconds but does not include ``mmcv._ext``, which takes a compiler and many minutes to build.
RetinaNet and PSPNet need only a few of the ops, which are implemented here in plain torch. The package imports only torch,
mmengine and the pure Python part of mmcv; :func:`import_mmpose` imports MMPose when it is called.
"""

from .missing_op import MissingOpError
from .pose import import_mmpose
from .stand_in import StandInOps, install_missing_ops

__all__ = ['MissingOpError', 'StandInOps', 'import_mmpose', 'install_missing_ops']
