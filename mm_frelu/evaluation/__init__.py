"""What MMEngine's evaluators and the analysis tools compute beyond the metrics of mmdet and mmseg."""

from .boundary_iou import BoundaryIoU
from .thickness_iou import ThicknessIoU

__all__ = ['BoundaryIoU', 'ThicknessIoU']
