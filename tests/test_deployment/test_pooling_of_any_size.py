"""Pooling by matrices is torch's adaptive average pooling, also inside an ONNX graph whose input changes its size."""

import contextlib
import io

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mm_frelu.deployment.onnx_file import to_onnx
from mm_frelu.deployment.pooling import average_bins, bin_matrix, exportable_pooling


@pytest.mark.parametrize('bins', [1, 2, 3, 6, 7])
def test_bins_are_those_of_the_formula(bins):
    """Bin i of n covers floor(i L / n) to ceil((i + 1) L / n)."""
    for length in (1, 2, 5, 6, 7, 13, 32, 97):
        expected = np.zeros((bins, length))
        for i in range(bins):
            start, stop = i * length // bins, -(-(i + 1) * length // bins)
            expected[i, start:stop] = 1 / (stop - start)
        np.testing.assert_allclose(bin_matrix(length, bins), expected, rtol=1e-6)


@pytest.mark.parametrize('output_size', [1, 6, (2, 3), [3, None], (None, 4)])
def test_averages_are_torchs(output_size):
    for shape in ((2, 3, 16, 32), (1, 2, 5, 7), (1, 1, 1, 1), (1, 2, 61, 97)):
        x = torch.randn(shape)
        expected = F.adaptive_avg_pool2d(x, output_size)
        torch.testing.assert_close(average_bins(x, output_size), expected, rtol=1e-5, atol=1e-6)


def test_half_precision_is_kept():
    x = torch.randn(1, 2, 9, 9).half()
    assert average_bins(x, 2).dtype == torch.float16


def test_torch_is_as_it_was_afterwards():
    original = F.adaptive_avg_pool2d
    with contextlib.suppress(KeyError), exportable_pooling():
        assert F.adaptive_avg_pool2d is not original
        raise KeyError
    assert F.adaptive_avg_pool2d is original


class Pyramid(torch.nn.Module):
    outputs = {f'pooled{bins}': {} for bins in (1, 2, 3, 6)}
    one_image = False

    def __init__(self):
        super().__init__()
        self.pools = torch.nn.ModuleList(torch.nn.AdaptiveAvgPool2d(n) for n in (1, 2, 3, 6))

    def forward(self, image):
        return [pool(image) for pool in self.pools]


def test_one_graph_pools_every_size():
    onnxruntime = pytest.importorskip('onnxruntime')
    pyramid = Pyramid()
    content = to_onnx(pyramid, torch.randn(1, 3, 16, 32), True, 17, {})
    session = onnxruntime.InferenceSession(io.BytesIO(content).getvalue())
    for size in ((16, 32), (6, 6), (3, 2), (97, 131), (1, 200)):
        image = torch.randn(1, 3, *size)
        for found, wanted in zip(session.run(None, {'image': image.numpy()}), pyramid(image)):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
