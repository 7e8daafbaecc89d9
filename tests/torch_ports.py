"""ResNets with FReLU like in public PyTorch ports, whose checkpoints the tests convert.

Names, biases, and the positions of strides and activations are those of public ports. The code was written for the tests and does not
use mm_frelu.
"""

import torch
from torch import nn

LAYERS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class Funnel(nn.Module):
    """max(x, norm(window(x))), with members named by ``names``."""

    def __init__(self, channels, names=('conv_frelu', 'bn_frelu'), size=3, bias=True):
        super().__init__()
        window = nn.Conv2d(channels, channels, size, 1, size // 2, groups=channels, bias=bias)
        self.members = names
        self.add_module(names[0], window)
        self.add_module(names[1], nn.BatchNorm2d(channels))

    def forward(self, x):
        window, norm = (getattr(self, name) for name in self.members)
        return torch.max(x, norm(window(x)))


class SequentialFunnel(nn.Module):
    """The same as a Sequential, without bias."""

    def __init__(self, channels):
        super().__init__()
        window = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.depthwise_conv_bn = nn.Sequential(window, nn.BatchNorm2d(channels))

    def forward(self, x):
        return torch.max(x, self.depthwise_conv_bn(x))


class LightFunnel(nn.Module):
    """max(x, norm1(row(x)) + norm2(column(x))), with convolutions registered first. ``column_first`` swaps their numbers."""

    def __init__(self, channels, bias=False, column_first=False):
        super().__init__()
        shapes = [((1, 3), (0, 1)), ((3, 1), (1, 0))][:: -1 if column_first else 1]
        for number, (size, padding) in enumerate(shapes, start=1):
            conv = nn.Conv2d(channels, channels, size, 1, padding, groups=channels, bias=bias)
            self.add_module(f'conv_frelu{number}', conv)
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.max(x, self.bn1(self.conv_frelu1(x)) + self.bn2(self.conv_frelu2(x)))


class Block(nn.Module):
    """A basic block or a bottleneck. ``acts`` maps the positions 1, 2, 3 to (name, activation); other positions have ReLU."""

    def __init__(self, inner, width, stride, wide, style, bias, acts, shortcut):
        super().__init__()
        out = 4 * width if wide else width
        if wide:
            on_first = stride if style == 'caffe' else 1
            shapes = [(inner, width, 1, on_first), (width, width, 3, stride // on_first)]
            shapes.append((width, out, 1, 1))
        else:
            shapes = [(inner, width, 3, stride), (width, width, 3, 1)]
        self.size, self.shortcut_name, self.acts = len(shapes), shortcut, acts
        for number, (start, end, size, step) in enumerate(shapes, start=1):
            conv = nn.Conv2d(start, end, size, step, size // 2, bias=bias)
            self.add_module(f'conv{number}', conv)
            self.add_module(f'bn{number}', nn.BatchNorm2d(end))
            if number in acts:
                name, make = acts[number]
                self.add_module(name, make(end))
        if stride > 1 or inner != out:
            layers = nn.Conv2d(inner, out, 1, stride, bias=bias), nn.BatchNorm2d(out)
            self.add_module(shortcut, nn.Sequential(*layers))

    def forward(self, x):
        out, passed = x, x
        if hasattr(self, self.shortcut_name):
            passed = getattr(self, self.shortcut_name)(x)
        for place in range(1, self.size + 1):
            out = getattr(self, f'bn{place}')(getattr(self, f'conv{place}')(out))
            if place == self.size:
                out = out + passed
            out = getattr(self, self.acts[place][0])(out) if place in self.acts else out.relu()
        return out


class Port(nn.Module):
    """A classifier. ``forward`` returns the four stages and the logits."""

    def __init__(
        self,
        depth=50,
        width=8,
        style='pytorch',
        bias=True,
        make=Funnel,
        names=('frelu1', 'frelu2', 'frelu3'),
        places=(1, 2, 3),
        stages=(1, 2, 3),
        stem=None,
        shortcut='downsample',
        head='fc',
        classes=5,
    ):
        super().__init__()
        wide = depth >= 50
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.stem_name, self.head_name = stem, head
        if stem:
            self.add_module(stem, make(width))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        acts = {place: (name, make) for place, name in zip(places, names)}
        inner = width
        for stage, number in enumerate(LAYERS[depth], start=1):
            blocks = []
            for index in range(number):
                stride = 2 if stage > 1 and index == 0 else 1
                chosen = acts if stage in stages else {}
                now = width * 2 ** (stage - 1)
                blocks.append(Block(inner, now, stride, wide, style, bias, chosen, shortcut))
                inner = now * (4 if wide else 1)
            self.add_module(f'layer{stage}', nn.Sequential(*blocks))
        self.add_module(head, nn.Linear(inner, classes))

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x = self.maxpool(getattr(self, self.stem_name)(x) if self.stem_name else x.relu())
        stages = []
        for stage in (1, 2, 3, 4):
            x = getattr(self, f'layer{stage}')(x)
            stages.append(x)
        return stages, getattr(self, self.head_name)(x.mean((2, 3)))


def trained(model, seed=0):
    """Set weights, norms and statistics like in a trained network: nothing is at its initial value, and features neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('num_batches_tracked'):
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith('running_var'):
                tensor.copy_(1 + 0.5 * noise.clamp(-1, 1))
            elif tensor.ndim > 1:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif name.endswith('.weight'):
                tensor.copy_(0.8 + 0.2 * noise)
            else:
                tensor.copy_(0.3 * noise)
    return model.eval()
