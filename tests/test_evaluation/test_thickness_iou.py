"""Local thickness against disks tried one by one; IoU by thickness adds up to IoU."""

import numpy as np
import pytest
from test_boundary_iou import CLASSES, blobs, sample, score

from mm_frelu.evaluation import ThicknessIoU
from mm_frelu.evaluation.thickness_iou import distance_to_contour, thickness_bins


def test_distance_is_to_the_line_between_pixels():
    labels = np.zeros((1, 7), int)
    labels[0, 2:] = 1
    np.testing.assert_allclose(distance_to_contour(labels), [[1.5, 0.5, 0.5, 1.5, 2.5, 3.5, 4.5]])
    assert np.isinf(distance_to_contour(np.zeros((3, 3), int))).all()


@pytest.mark.parametrize('width', [1, 2, 3, 4, 5, 6, 8, 9, 16, 17])
def test_straight_lines(width):
    labels = np.zeros((40, 80), int)
    labels[:, 30 : 30 + width] = 1
    bins = thickness_bins(labels, (4, 8, 16))
    expected = sum(width > edge for edge in (4, 8, 16))
    np.testing.assert_array_equal(bins[labels == 1], expected)
    assert (bins[:, :20] == 3).all()


def test_slanted_lines_are_as_thin_as_upright_ones():
    y, x = np.mgrid[:80, :80]
    for angle in (0.3, 0.7, 1.1):
        across = np.abs((x - 40) * np.cos(angle) + (y - 40) * np.sin(angle))
        labels = (across < 5).astype(int)  # 10 pixels wide
        inner = (np.hypot(x - 40, y - 40) < 25) & (across < 4)
        assert (thickness_bins(labels, (8, 12))[inner] == 1).all()


def test_equals_disks_tried_one_by_one():
    labels = blobs(3, shape=(24, 30))
    y, x = np.mgrid[:24, :30]
    # The contour: midpoints and ends of the lines between pixels of different classes.
    radius = np.full(labels.shape, np.inf)
    for dy, dx in ((0, 1), (1, 0)):
        for i in range(24 - dy):
            for j in range(30 - dx):
                if labels[i, j] == labels[i + dy, j + dx]:
                    continue
                for end in (-0.5, 0, 0.5):
                    line = (i + dy / 2 + dx * end, j + dx / 2 + dy * end)
                    if 0 <= line[0] <= 23 and 0 <= line[1] <= 29:
                        radius = np.minimum(radius, np.hypot(y - line[0], x - line[1]))
    for edge in (4, 6):
        covered = np.zeros(labels.shape, bool)
        for i, j in zip(*np.nonzero(radius > edge / 2)):
            covered |= np.hypot(y - i, x - j) <= edge / 2
        np.testing.assert_array_equal(thickness_bins(labels, (edge,)) == 1, covered)


def test_counts_add_up_to_those_of_iou():
    prediction, label = blobs(4), blobs(5)
    label[:5] = 255
    metric = ThicknessIoU(edges=(4, 8))
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, [sample(prediction, label)])
    present, hits, all_pixels = metric.results[0]
    known = label != 255
    for column, number in enumerate(present):
        a, b = (prediction == number) & known, label == number
        assert hits[:, column].sum() == (a & b).sum()
        # A pixel of two classes is a miss of one and a false alarm of the other: both unions have it once.
        assert all_pixels[:, column].sum() == (a | b).sum()


def test_tells_a_lost_pole_from_a_shifted_wall():
    label = np.zeros((100, 200), int)
    label[20:80, 20:80] = 1
    label[10:90, 150:153] = 2
    lost = np.where(label == 2, 0, label)
    found = score(ThicknessIoU(), (lost, label))
    # The wall's corners are thin; the background around both is thick.
    assert found['mIoU_0-4px'] < 51
    shifted = label.copy()
    shifted[20:80, 80:84] = 1
    found = score(ThicknessIoU(), (shifted, label))
    assert found['mIoU_0-4px'] > 80  # the pole is whole; a few pixels at the wall's corners moved
    assert 99 > found['mIoU_16px+'] > 90


def test_edges_ascend():
    for edges in ((), (8, 4), (4, 4), (0.5, 2)):
        with pytest.raises(ValueError, match='ascending diameters'):
            ThicknessIoU(edges=edges)
