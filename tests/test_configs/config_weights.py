"""The weights that a config's name promises, and the pixels that they were trained on. Helper of the tests here."""

from typing import List, NamedTuple, Optional

from config_files import Promise


class Pixels(NamedTuple):
    """Preprocessing of the network's input."""

    mean: List[float]
    std: List[float]
    rgb: bool


TORCHVISION = Pixels([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], rgb=True)
CAFFE = Pixels([103.53, 116.28, 123.675], [1.0] * 3, rgb=False)
OFFICIAL = Pixels([0.0] * 3, [1.0] * 3, rgb=False)
"""Unscaled BGR pixels, like in the training of FReLU's authors."""


class Weights(NamedTuple):
    """Initial weights of a backbone."""

    checkpoint: Optional[str]
    pixels: Pixels

    @property
    def local(self) -> bool:
        """Whether the user makes the file, with a converter or by training."""
        return self.checkpoint is not None and '://' not in self.checkpoint


PUBLIC = {
    (18, 'pytorch'): Weights('https://download.pytorch.org/models/resnet18-f37072fd.pth', TORCHVISION),
    (50, 'pytorch'): Weights('https://download.pytorch.org/models/resnet50-0676ba61.pth', TORCHVISION),
    (101, 'pytorch'): Weights('https://download.pytorch.org/models/resnet101-63fe2227.pth', TORCHVISION),
    (50, 'caffe'): Weights('open-mmlab://detectron2/resnet50_caffe', CAFFE),
    (101, 'caffe'): Weights('open-mmlab://detectron2/resnet101_caffe', CAFFE),
}  # fmt: skip
# Trained by the official recipe, each with its own activation: names in the folder `weights`.
LOCAL = {
    'shufflenet-v2-150': 'weights/shufflenet_v2_x1_5_{act}.pth',
    'mobilenet-v1-075': 'weights/mobilenet_v1_x0_75_{act}.pth',
    'resnet': 'weights/resnet50_{act}.pth',
}


def weights_of(name: Promise) -> Weights:
    """The weights that belong to a config."""
    if name.schedule == 'demo':
        return Weights(None, TORCHVISION)
    if name.network == 'mobilenet-v2':
        return Weights('mmcls://mobilenet_v2', TORCHVISION)
    # detectron2's caffe weights have no statistics, so a PSPNet, which trains its norms, cannot start from them.
    official = (name.depth, name.style, name.act) == (50, 'caffe', 'frelu')
    from_caffe = name.style == 'caffe' and name.method == 'pspnet'
    if name.network != 'resnet' or official or from_caffe:
        return Weights(LOCAL[name.network].format(act=name.act), OFFICIAL)
    return PUBLIC[name.depth, name.style]
