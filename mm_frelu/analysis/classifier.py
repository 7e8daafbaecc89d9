"""ImageNet classifier with a backbone, to count parameters and multiply-adds like the tables of the papers."""

from typing import NamedTuple, Sequence

import torch
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from .complexity import count_macs

IMAGE_SIZE = 224


class ClassifierCost(NamedTuple):
    """Complexity of a classifier.

    Attributes:
        parameters: Number of all parameters.
        norm_parameters: Number of parameters of its norms, which some papers do not count.
        macs: Multiply-adds for one image.
    """

    parameters: int
    norm_parameters: int
    macs: int


class Classifier(nn.Module):
    """Backbone, global pooling, linear layers.

    Args:
        backbone: Config of the backbone, whose last output is classified.
        widths: Number of features after the pooling, of hidden layers if there are any, and of classes.
    """

    def __init__(self, backbone: dict, widths: Sequence[int]) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.head = nn.Sequential(*(nn.Linear(*pair) for pair in zip(widths, widths[1:])))

    def forward(self, x: Tensor) -> Tensor:
        """Classify. The activation between linear layers is omitted, because it is not counted.

        Args:
            x: Images of shape (N, 3, H, W).

        Returns:
            Scores of shape (N, classes).
        """
        return self.head(self.backbone(x)[-1].mean((2, 3)))


def classifier_cost(backbone: dict, widths: Sequence[int]) -> ClassifierCost:
    """Count a classifier for one image of 224x224, on torch's meta device.

    Args:
        backbone: See :class:`Classifier`.
        widths: See :class:`Classifier`.
    """
    with torch.device('meta'):
        model = Classifier(backbone, widths).eval()
        images = torch.empty(1, 3, IMAGE_SIZE, IMAGE_SIZE)
        macs = count_macs(model, lambda model: model(images))
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    return ClassifierCost(
        parameters=_number(model.parameters()),
        norm_parameters=sum(_number(norm.parameters()) for norm in norms),
        macs=sum(macs.values()),
    )


def _number(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)
