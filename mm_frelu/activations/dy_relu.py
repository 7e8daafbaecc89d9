"""DY-ReLU-A and -B, whose coefficients are the same at every position: Chen et al., "Dynamic ReLU", ECCV 2020."""

from mmengine.registry import MODELS

from .dynamic_relu import DynamicReLU


@MODELS.register_module()
class DyReLUA(DynamicReLU):
    """Dynamic ReLU whose coefficients are shared by all positions and channels (figure 2a).

    There are 2K coefficients per image. It is the weakest of the three variants in the paper. For the arguments, see
    :class:`.DynamicReLU`.

    Examples:
        >>> import torch
        >>> DyReLUA(64)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    channel_wise = False


@MODELS.register_module()
class DyReLUB(DynamicReLU):
    """Dynamic ReLU whose coefficients are shared by all positions; each channel has its own (figure 2b).

    There are 2KC coefficients per image. The paper uses this variant in classification backbones. ``DyReLUB(C, reduction=4,
    gate='hard_sigmoid')`` computes the same as mmdet's ``DyReLU(C)``. For the arguments, see :class:`.DynamicReLU`.

    Examples:
        >>> import torch
        >>> DyReLUB(64, num_pieces=3)(torch.rand(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """

    channel_wise = True
