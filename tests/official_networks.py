"""The official networks and their files, rebuilt for the tests: checkpoints, inputs, and an independent evaluation.

This module does not use mm_frelu. Its results are the reference for the package.
"""

import json
import math
import pickle
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

GOLDEN = Path(__file__).parent / 'data' / 'golden' / 'shufflenet_v2_x0_5_fixture.npz'


def shufflenet_fixture():
    """Checkpoint (MegEngine 1.13 layout), golden tensors and strides of the official ShuffleNetV2 0.5x.

    Convolution and linear weights are a pure function of their name: normal numbers of a legacy RandomState whose seed is
    the name's CRC-32 plus the fixture's seed, times the official starting scale.
    """
    golden = np.load(GOLDEN)
    meta = json.loads(str(golden['meta']))
    state = {}
    for entry in golden.files:
        kind, _, name = entry.partition('/')
        if kind == 'param':
            state[name] = golden[entry]
        elif kind == 'shape':
            shape = tuple(golden[entry].tolist())
            scale = 0.01 if len(shape) == 2 or 'first' in name else 1 / shape[1]
            numbers = np.random.RandomState((zlib.crc32(name.encode()) + meta['seed']) % 2**32)
            state[name] = (numbers.standard_normal(shape) * scale).astype(np.float32)
    return state, golden, meta


def pictures(number, seed, size=224):
    """Image-like BGR pictures with integers 0..255: coarse to fine checkerboards, noise, and ImageNet's mean colour."""
    random = np.random.RandomState(seed)
    batch = np.zeros((number, 3, size, size))
    for cells, contrast in [(4, 60.0), (8, 45.0), (16, 30.0), (56, 20.0)]:
        checker = random.uniform(-1, 1, (number, 3, cells, cells)) * contrast
        batch += checker.repeat(size // cells, axis=2).repeat(size // cells, axis=3)
    batch += random.normal(0, 12.0, batch.shape)
    batch += np.array([104.0, 116.0, 124.0])[:, None, None]
    return batch.round().clip(0, 255).astype(np.float32)


def resnet50_state(seed=0, classes=1000):
    """A complete official ResNet-50 FReLU checkpoint: official initialisation, random norms and statistics (554 tensors)."""
    random = np.random.RandomState(seed)
    state = {}

    def conv(name, out, inner, size, groups=1):
        shape = (out, inner // groups, size, size)
        # MegEngine up to 1.8 takes the first side of the stored shape, for grouped weights the number of groups.
        state[f'{name}.weight'] = random.normal(0, math.sqrt(2 / (out * size**2)), shape)
        if groups > 1:
            state[f'{name}.weight'] = state[f'{name}.weight'][:, None]
        bound = 1 / math.sqrt(inner // groups * size**2)
        state[f'{name}.bias'] = random.uniform(-bound, bound, (1, out, 1, 1))

    def norm(name, channels):
        state[f'{name}.weight'] = random.uniform(0.6, 1.4, channels)
        state[f'{name}.bias'] = random.normal(0, 0.25, channels)
        state[f'{name}.running_mean'] = random.normal(0, 0.3, channels)
        state[f'{name}.running_var'] = random.uniform(0.7, 1.4, channels)

    conv('conv1', 64, 3, 7)
    norm('bn1', 64)
    # What 0..255 pixels give behind the first convolution.
    state['bn1.running_var'] = state['bn1.running_var'] * 20000
    inner = 64
    for stage, blocks in enumerate([3, 4, 6, 3], start=1):
        width = 32 * 2**stage
        for index in range(blocks):
            block = f'layer{stage}.{index}'
            for number, (out, into, size) in enumerate(
                [(width, inner, 1), (width, width, 3), (4 * width, width, 1)], start=1
            ):
                conv(f'{block}.conv{number}', out, into, size)
                norm(f'{block}.bn{number}', out)
                if stage < 4:
                    conv(f'{block}.frelu{number}.conv_frelu', out, out, 3, groups=out)
                    norm(f'{block}.frelu{number}.bn_frelu', out)
            if index == 0:
                conv(f'{block}.downsample.0', 4 * width, inner, 1)
                norm(f'{block}.downsample.1', 4 * width)
            inner = 4 * width
    state['fc.weight'] = random.uniform(-1, 1, (classes, 2048)) / math.sqrt(2048)
    state['fc.bias'] = random.uniform(-1, 1, classes) / math.sqrt(2048)
    return {name: value.astype(np.float32) for name, value in state.items()}


def official_resnet50(state, images):
    """Evaluate the official ResNet-50 FReLU in float64, from its own checkpoint with all its biases.

    The stride is on the first 1x1 of a block; the stem and layer4 have ReLU.

    Returns:
        'stem' (after max pooling), 'res2' to 'res5' and 'logits'.
    """
    weights = {name: torch.from_numpy(value).double() for name, value in state.items()}

    def conv(x, name, **options):
        weight = weights[f'{name}.weight']
        if weight.ndim == 5:
            weight, options = weight.squeeze(1), dict(options, groups=weight.shape[0])
        return F.conv2d(x, weight, weights[f'{name}.bias'].flatten(), **options)

    def norm(x, name):
        mean, var, scale, shift = (
            weights[f'{name}.{key}'].reshape(-1, 1, 1)
            for key in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift

    def activate(x, name):
        if f'{name}.conv_frelu.weight' not in weights:
            return x.clamp(min=0)
        condition = norm(conv(x, f'{name}.conv_frelu', padding=1), f'{name}.bn_frelu')
        return torch.maximum(x, condition)

    x = torch.from_numpy(images).double()
    x = norm(conv(x, 'conv1', stride=2, padding=3), 'bn1').clamp(min=0)
    x = F.max_pool2d(x, 3, 2, 1)
    features = dict(stem=x)
    for stage, blocks in enumerate([3, 4, 6, 3], start=1):
        for index in range(blocks):
            block = f'layer{stage}.{index}'
            stride = 2 if stage > 1 and index == 0 else 1
            shortcut = x
            if index == 0:
                shortcut = norm(
                    conv(x, f'{block}.downsample.0', stride=stride), f'{block}.downsample.1'
                )
            x = activate(
                norm(conv(x, f'{block}.conv1', stride=stride), f'{block}.bn1'), f'{block}.frelu1'
            )
            x = activate(
                norm(conv(x, f'{block}.conv2', padding=1), f'{block}.bn2'), f'{block}.frelu2'
            )
            x = norm(conv(x, f'{block}.conv3'), f'{block}.bn3')
            x = activate(x + shortcut, f'{block}.frelu3')
        features[f'res{stage + 1}'] = x
    features['logits'] = x.mean((2, 3)) @ weights['fc.weight'].T + weights['fc.bias']
    return features


def in_old_layout(state):
    """The same checkpoint as MegEngine 0.5.1 to 1.0 wrote it: running statistics of shape (1, C, 1, 1)."""
    return {
        name: value.reshape(1, -1, 1, 1) if '.running_' in name else value
        for name, value in state.items()
    }


def dump(state, path, protocol=4, numpy_core=None):
    """Write a state dict like megengine.save.

    Args:
        numpy_core: 'numpy.core' or 'numpy._core' to write it like NumPy 1 or 2; None for the installed version.
    """
    data = pickle.dumps(OrderedDict(state), protocol)
    if numpy_core is not None:
        data = rename_numpy_core(data, numpy_core)
        assert numpy_core.encode() + b'.' in data
    path.write_bytes(data)
    return path


def rename_numpy_core(data, numpy_core):
    """Exchange numpy.core and numpy._core where a pickle names a module, lengths and frames included."""
    for old in ('numpy.core', 'numpy._core'):
        for module in ('.multiarray', '.numeric'):
            old_name, new_name = (old + module).encode(), (numpy_core + module).encode()
            data = data.replace(b'c' + old_name + b'\n', b'c' + new_name + b'\n')
            short = b'\x8c%c%b'
            before, after = short % (len(old_name), old_name), short % (len(new_name), new_name)
            start = data.find(before)
            if start >= 0:
                data = data[:start] + after + data[start + len(before) :]
                data = _lengthen_first_frame(data, len(after) - len(before))
    return data


def _lengthen_first_frame(data, by):
    """The name is in the first frame, which starts after the two bytes of PROTO."""
    if data[2:3] != b'\x95':
        return data
    length = int.from_bytes(data[3:11], 'little') + by
    return data[:3] + length.to_bytes(8, 'little') + data[11:]
