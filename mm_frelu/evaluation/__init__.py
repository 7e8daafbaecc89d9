"""Metrics for MMEngine's evaluators and the analysis tools, in addition to those of mmdet and mmseg."""

from .boundary_iou import BoundaryIoU
from .thickness_iou import ThicknessIoU

__all__ = ['BoundaryIoU', 'ThicknessIoU']
