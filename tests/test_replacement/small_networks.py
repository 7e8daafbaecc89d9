"""Small networks with activations where they are hard to find."""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A residual block as torchvision and mmdet write it: one ``relu`` for three sites of two widths."""

    def __init__(self, width=4, with_cp=False):
        super().__init__()
        self.conv1 = nn.Conv2d(2 * width, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 2 * width, 1)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.relu = nn.ReLU(inplace=True)
        self.with_cp = with_cp

    def inner(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.bn3(self.conv3(out)) + x

    def forward(self, x):
        if self.with_cp and x.requires_grad:
            return self.relu(checkpoint(self.inner, x, use_reentrant=False))
        return self.relu(self.inner(x))


class Net(BaseModule):
    """A stem, two blocks, and a head that is called for two levels."""

    def __init__(self, with_cp=False, init_cfg=None):
        super().__init__(init_cfg)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Block(4, with_cp), Block(4, with_cp)
        )
        self.head = ConvModule(8, 6, 3, padding=1, norm_cfg=dict(type='BN'))

    def forward(self, x):
        x = self.backbone(x)
        return self.head(x), self.head(x[..., ::2, ::2])


def shake(model, seed=0):
    """Give every parameter and statistic a value of its own, so that no site looks like another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=generator)
                value.copy_(noise + 0.5 if 'var' in name else (noise - 0.5) * 0.8)
    return model


def images(*size, seed=0):
    return torch.randn(*(size or (2, 3, 12, 16)), generator=torch.Generator().manual_seed(seed))
