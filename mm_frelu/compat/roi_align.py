"""RoIAlign with average pooling (He et al., "Mask R-CNN", ICCV 2017, figure 3), with the interface of ``mmcv.ops.roi_align``.

Each output bin is a weighted sum of feature pixels. The op is therefore the product of a sparse matrix, which depends only
on the RoIs, and the features with one row per pixel. The gradient is the product with the transpose.
"""

from typing import Iterator, Tuple

import torch
from torch import Tensor

from .missing_op import MissingOpError, missing_op_message
from .torchvision_ops import torchvision_ops

# Entries of the sparse matrix that are in memory at a time: about 100 MB of indices and weights.
ENTRIES_PER_CHUNK = 1 << 22
AVERAGE = 1


@torch.no_grad()
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples in each bin of each RoI.

    Args:
        input: ``(B, C, H, W)`` features.
        rois: ``(K, 5)`` image index and corners ``x1, y1, x2, y2`` in pixels of the image.
        output: ``(K, C, aligned_height, aligned_width)``, overwritten.
        argmax_y: Used by max pooling only.
        argmax_x: Used by max pooling only.
        aligned_height: Bins per column.
        aligned_width: Bins per row.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and direction; 0 means one per feature pixel, rounded up.
        pool_mode: 1 for average pooling; 0, max pooling, is not supported.
        aligned: Whether pixel centres are at half coordinates.

    Raises:
        MissingOpError: If ``pool_mode`` is max pooling.
    """
    _check_average(pool_mode)
    size = (aligned_height, aligned_width)
    dtype = torch.promote_types(input.dtype, torch.float32)
    features, rois = input.to(dtype), rois.to(dtype)
    library = torchvision_ops(input.device.type)
    if library is not None:
        output.copy_(
            library.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned)
        )
        return
    batch, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)
    for part, matrix in _bins_from_pixels(
        rois, (batch, height, width), size, spatial_scale, sampling_ratio, aligned
    ):
        bins = torch.sparse.mm(matrix, pixels).view(-1, *size, channels)
        output[part] = bins.permute(0, 3, 1, 2).to(output.dtype)


@torch.no_grad()
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Compute the gradient of :func:`roi_align_forward` with respect to the features, always in plain torch.

    Args:
        grad_output: ``(K, C, aligned_height, aligned_width)``.
        rois: See :func:`roi_align_forward`.
        argmax_y: See there.
        argmax_x: See there.
        grad_input: ``(B, C, H, W)``, overwritten.
        aligned_height: See there.
        aligned_width: See there.
        spatial_scale: See there.
        sampling_ratio: See there.
        pool_mode: See there.
        aligned: See there.

    Raises:
        MissingOpError: If ``pool_mode`` is max pooling.
    """
    _check_average(pool_mode)
    size = (aligned_height, aligned_width)
    dtype = torch.promote_types(grad_output.dtype, torch.float32)
    grad, rois = grad_output.to(dtype), rois.to(dtype)
    batch, channels, height, width = grad_input.shape
    pixels = grad.new_zeros(batch * height * width, channels)
    for part, matrix in _bins_from_pixels(
        rois, (batch, height, width), size, spatial_scale, sampling_ratio, aligned
    ):
        bins = grad[part].permute(0, 2, 3, 1).reshape(-1, channels)
        pixels += torch.sparse.mm(matrix.t(), bins)
    grad_input.copy_(pixels.view(batch, height, width, channels).permute(0, 3, 1, 2))


def _check_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise MissingOpError(
            missing_op_message("roi_align with pool_mode='max'", 'roi_align_forward')
        )


def _bins_from_pixels(
    rois: Tensor,
    feature_size: Tuple[int, int, int],
    output_size: Tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Iterator[Tuple[slice, Tensor]]:
    """Yield RoIAlign as sparse matrices, for some RoIs at a time.

    Args:
        rois: ``(K, 5)``.
        feature_size: Number of images, height and width of the features.
        output_size: Bins per column and per row.
        spatial_scale: See :func:`roi_align_forward`.
        sampling_ratio: See there.
        aligned: See there.

    Yields:
        The RoIs of the part, and a sparse ``(bins of the part, pixels of all images)`` matrix.
    """
    start, bin_size, samples = _sampling(rois, output_size, spatial_scale, sampling_ratio, aligned)
    per_roi = samples.prod(dim=1) * output_size[0] * output_size[1]
    # An entry for each of a sample's four neighbours.
    chunk_of_roi = ((4 * per_roi).cumsum(0) // ENTRIES_PER_CHUNK).tolist()
    first = 0
    for stop in range(1, len(rois) + 1):
        if stop < len(rois) and chunk_of_roi[stop] == chunk_of_roi[first]:
            continue
        part = slice(first, stop)
        yield (
            part,
            _matrix(
                rois[part, 0].long(),
                start[part],
                bin_size[part],
                samples[part],
                feature_size,
                output_size,
            ),
        )
        first = stop


def _sampling(
    rois: Tensor,
    output_size: Tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Compute the start of each RoI, the size of its bins (in feature pixels) and their number of samples.

    All are ``(K, 2)``, y before x. A RoI without positive size has no samples.
    """
    corners = rois[:, [2, 1, 4, 3]] * spatial_scale - (0.5 if aligned else 0.0)
    start, extent = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not aligned:
        extent = extent.clamp(min=1)
    bins = torch.tensor(output_size, dtype=rois.dtype, device=rois.device)
    if sampling_ratio > 0:
        samples = torch.full_like(extent, sampling_ratio, dtype=torch.long)
    else:
        # The compiled op rounds up in float32 for features of any type.
        samples = (extent / bins).float().ceil().long().clamp(min=0)
    return start, extent / bins, samples


def _matrix(
    image: Tensor,
    start: Tensor,
    bin_size: Tensor,
    samples: Tensor,
    feature_size: Tuple[int, int, int],
    output_size: Tuple[int, int],
) -> Tensor:
    """Build the sparse matrix of some RoIs, from one flat list of all their sample points."""
    batch, height, width = feature_size
    bins = output_size[0] * output_size[1]
    per_bin = samples.prod(dim=1)
    count = per_bin * bins
    roi = torch.arange(len(image), device=image.device).repeat_interleave(count)
    # The number of a point within its RoI encodes its bin and its place in the bin, row by row.
    number = torch.arange(len(roi), device=image.device) - (count.cumsum(0) - count)[roi]
    bin_number, place = number // per_bin[roi], number % per_bin[roi]
    bin_place = torch.stack((bin_number // output_size[1], bin_number % output_size[1]), dim=1)
    place = torch.stack((place // samples[roi, 1], place % samples[roi, 1]), dim=1)

    size = bin_size[roi]
    point = start[roi] + bin_place * size + (place + 0.5) * size / samples[roi]
    limit = torch.tensor([height, width], device=image.device)
    inside = ((point >= -1) & (point <= limit)).all(dim=1)
    roi, bin_number, point = roi[inside], bin_number[inside], point[inside].clamp(min=0)

    low = torch.minimum(point.long(), limit - 1)
    high = torch.minimum(low + 1, limit - 1)
    upper = torch.where(low == limit - 1, 0, point - low)
    share = 1 / per_bin[roi].to(point.dtype)
    columns, weights = [], []
    for y, y_weight in ((low[:, 0], 1 - upper[:, 0]), (high[:, 0], upper[:, 0])):
        for x, x_weight in ((low[:, 1], 1 - upper[:, 1]), (high[:, 1], upper[:, 1])):
            columns.append((image[roi] * height + y) * width + x)
            weights.append(y_weight * x_weight * share)
    rows = (roi * bins + bin_number).repeat(4)
    # The entries are valid by construction. torch warns unless their check is disabled explicitly.
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        return torch.sparse_coo_tensor(
            torch.stack((rows, torch.cat(columns))),
            torch.cat(weights),
            (len(image) * bins, batch * height * width),
        )
