"""RoIAlign against recorded and installed compiled mmcv, torchvision, finite differences and known values."""

import pytest
import torch
from op_cases import golden, random_boxes

from mm_frelu.compat import MissingOpError
from mm_frelu.compat import roi_align as roi_module
from mm_frelu.compat.torchvision_ops import torchvision_ops

OPTIONS = [(ratio, aligned) for ratio in (0, 2) for aligned in (False, True)]


@pytest.fixture(autouse=True)
def _plain_torch(monkeypatch):
    monkeypatch.setattr(roi_module, 'torchvision_ops', lambda device_type: None)


def rois_over_the_edges(num=60, dtype=torch.float32):
    boxes = random_boxes(num, torch.Generator().manual_seed(0), extent=240, longest=160) - 40
    return torch.cat((torch.arange(num)[:, None] % 2, boxes), dim=1).to(dtype)


def both_steps(ops, features, rois, grad, ratio, aligned):
    """Output and gradient of the features, as mmcv's Function calls the two."""
    output, back, empty = (
        torch.full_like(grad, torch.nan),
        torch.zeros_like(features),
        torch.zeros(0),
    )
    options = dict(zip(('aligned_height', 'aligned_width'), grad.shape[2:]))
    options.update(spatial_scale=0.125, sampling_ratio=ratio, pool_mode=1, aligned=aligned)
    ops.roi_align_forward(features, rois, output, empty, empty, **options)
    ops.roi_align_backward(grad, rois, empty, empty, back, **options)
    return output, back


@pytest.mark.parametrize(('ratio', 'aligned'), OPTIONS)
def test_equals_recorded_compiled_op(ratio, aligned):
    recorded = golden()
    given = (recorded[f'roi/{name}'] for name in ('features', 'rois', 'grad'))
    output, back = both_steps(roi_module, *given, ratio, aligned)
    expected = recorded[f'roi/{ratio}-{aligned}/output']
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    expected = recorded[f'roi/{ratio}-{aligned}/grad_input']
    torch.testing.assert_close(back, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(('ratio', 'aligned'), OPTIONS)
def test_equals_compiled_op(compiled, ratio, aligned):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 8, 25, 30, generator=generator)
    grad = torch.randn(60, 8, 7, 5, generator=generator)
    results = both_steps(roi_module, features, rois_over_the_edges(), grad, ratio, aligned)
    expected = both_steps(compiled, features, rois_over_the_edges(), grad, ratio, aligned)
    torch.testing.assert_close(results[0], expected[0], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(results[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('ratio', 'aligned'), OPTIONS)
def test_torchvision_gives_the_same(monkeypatch, ratio, aligned):
    library = torchvision_ops('cpu')
    if library is None:
        pytest.skip('torchvision is not installed, or not for this torch')
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 8, 25, 30, generator=generator)
    grad = torch.randn(60, 8, 7, 5, generator=generator)
    plain, _ = both_steps(roi_module, features, rois_over_the_edges(), grad, ratio, aligned)
    monkeypatch.setattr(roi_module, 'torchvision_ops', lambda device_type: library)
    output, _ = both_steps(roi_module, features, rois_over_the_edges(), grad, ratio, aligned)
    torch.testing.assert_close(output, plain, rtol=1e-5, atol=2e-6)


def test_plane_is_sampled_at_the_centres_of_the_bins(mmcv_ops):
    # Bilinear samples of a plane are exact, and their mean is its value in the middle of the bin.
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing='ij')
    features = (2 * rows + 3 * columns)[None, None]
    rois = torch.tensor([[0, 4.0, 2, 16, 10]])
    output = mmcv_ops.roi_align(features, rois, (2, 3), 1.0, 0, 'avg', True)
    y, x = torch.tensor([4.0, 8.0]) - 0.5, torch.tensor([6.0, 10.0, 14.0]) - 0.5
    torch.testing.assert_close(output[0, 0], 2 * y[:, None] + 3 * x)


@pytest.mark.parametrize('ratio', [0, 2])
def test_gradcheck(mmcv_ops, ratio):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 2, 6, 7, generator=generator, dtype=torch.float64).requires_grad_()
    rois = rois_over_the_edges(4, torch.float64) / 4
    assert torch.autograd.gradcheck(
        lambda x: mmcv_ops.roi_align(x, rois, (2, 2), 0.125, ratio, 'avg', True), features
    )


def test_parts_add_up(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 25, 30, generator=generator)
    grad = torch.randn(60, 4, 7, 5, generator=generator)
    whole = both_steps(roi_module, features, rois_over_the_edges(), grad, 0, True)
    monkeypatch.setattr(roi_module, 'ENTRIES_PER_CHUNK', 1000)
    parts = both_steps(roi_module, features, rois_over_the_edges(), grad, 0, True)
    torch.testing.assert_close(parts, whole)


def test_roi_without_area_and_no_roi(mmcv_ops):
    features = torch.ones(1, 2, 8, 8)
    turned = torch.tensor([[0, 40.0, 40, 8, 8]])
    assert mmcv_ops.roi_align(features, turned, (3, 3), 0.125, 0, 'avg', True).eq(0).all()
    assert mmcv_ops.roi_align(features, turned[:0], (3, 3), 0.125).shape == (0, 2, 3, 3)


def test_half_precision():
    features = torch.randn(2, 4, 25, 30, generator=torch.Generator().manual_seed(0)).half()
    grad = torch.zeros(60, 4, 7, 5)
    rois = rois_over_the_edges()
    half, _ = both_steps(roi_module, features, rois.half(), grad.half(), 2, True)
    single, _ = both_steps(roi_module, features.float(), rois.half().float(), grad, 2, True)
    assert torch.equal(half, single.half())


def test_max_pooling_says_that_it_is_missing(mmcv_ops):
    with pytest.raises(
        MissingOpError, match=r"roi_align with pool_mode='max'.*mmcv/ops/roi_align.py"
    ):
        mmcv_ops.roi_align(torch.ones(1, 1, 4, 4), torch.zeros(1, 5), (2, 2), 1.0, 0, 'max', True)
