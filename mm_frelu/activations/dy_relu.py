"""DY-ReLU-A and -B: Chen et al., "Dynamic ReLU", ECCV 2020. The same coefficients at every position."""

from mmengine.registry import MODELS

from .dynamic_relu import DynamicReLU


@MODELS.register_module()
class DyReLUA(DynamicReLU):
    """Dynamic ReLU whose coefficients are shared by all positions and channels (figure 2a).

    2K numbers for each image; the weakest of the three in the paper. Arguments: :class:`.DynamicReLU`.

    Examples:
        >>> import torch
        >>> DyReLUA(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    channel_wise = False


@MODELS.register_module()
class DyReLUB(DynamicReLU):
    """Dynamic ReLU whose coefficients are shared by all positions; each channel has its own (figure 2b).

    2KC numbers for each image; what the paper uses for classification backbones. ``DyReLUB(C, reduction=4,
    gate='hard_sigmoid')`` computes what mmdet's ``DyReLU(C)`` does. Arguments: :class:`.DynamicReLU`.

    Examples:
        >>> import torch
        >>> DyReLUB(64, num_pieces=3)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    channel_wise = True
