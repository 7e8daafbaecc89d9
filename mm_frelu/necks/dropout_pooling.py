"""Global average pooling followed by dropout, as in the classifiers of the FReLU authors (FReLU paper, ImageNet settings).

mmpretrain has a pooling neck and a linear head, but neither has dropout. This neck has no parameters, so a classifier keeps
the names ``backbone.*`` and ``head.fc.*``.
"""

from typing import Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS


@MODELS.register_module()
class DropoutPooling(BaseModule):
    """Average each channel over all positions, then apply dropout to the averages.

    Args:
        drop_rate: Probability that an average is dropped, at least 0 and below 1.

    Raises:
        ValueError: If ``drop_rate`` is out of range.

    Examples:
        >>> import torch
        >>> [tuple(vector.shape) for vector in DropoutPooling(0.1)((torch.rand(2, 64, 7, 7),))]
        [(2, 64)]
    """

    def __init__(self, drop_rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= drop_rate < 1:
            raise ValueError(
                f'DropoutPooling: drop_rate must be at least 0 and below 1; got {drop_rate!r}.'
            )
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, features: Union[Tensor, Tuple[Tensor, ...]]) -> Tuple[Tensor, ...]:
        """Pool the features.

        Args:
            features: Feature maps of shape (N, C, H, W), one or several.

        Returns:
            Vectors of shape (N, C), one for each map.
        """
        maps = (features,) if isinstance(features, Tensor) else features
        return tuple(self.dropout(x.mean(dim=(2, 3))) for x in maps)
