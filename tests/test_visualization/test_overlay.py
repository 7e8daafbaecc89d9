"""Painting: opacity, hatching, errors, and slender objects after resizing."""

import numpy as np
import pytest

from mm_frelu.visualization import overlay
from mm_frelu.visualization import palette as colors
from mm_frelu.visualization.differences import CORRECT, IGNORED, SLIP, WRONG

PALETTE = np.array([(10, 20, 30), (200, 100, 50), (0, 255, 0)], dtype=np.uint8)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize('opacity', [0.0, 0.3, 0.65, 1.0])
def test_opacity_mixes_class_colour_and_an_image_that_loses_its_own(image, opacity):
    labels = np.random.default_rng(1).integers(0, 3, (6, 8))
    picture = overlay.paint_labels(image, labels, PALETTE, opacity)
    luma = 0.299 * image[..., :1] + 0.587 * image[..., 1:2] + 0.114 * image[..., 2:]
    ground = opacity * luma + (1 - opacity) * image
    expected = (1 - opacity) * ground + opacity * PALETTE[labels].astype(float)
    assert np.abs(picture - expected).max() <= 0.51
    if opacity == 0:
        np.testing.assert_array_equal(picture, image)


def test_outlines_have_the_colour_of_the_legend():
    image = np.full((20, 30, 3), 90, np.uint8)
    labels = np.zeros((20, 30), int)
    labels[:, 10:] = 1
    labels[:, 20] = 2  # a pole of one pixel
    picture = overlay.paint_labels(image, labels, PALETTE, 0.5, outline=1)
    for column, label in ((9, 0), (10, 1), (19, 1), (20, 2), (21, 1)):
        assert (picture[:, column] == PALETTE[label]).all(), column
    for column in (8, 11, 18, 22):
        assert (picture[:, column] != PALETTE[labels[0, column]]).any(), column


def test_pixels_without_label_are_hatched_whatever_the_opacity(image):
    labels = np.full((6, 8), 255)
    picture = overlay.paint_labels(image, labels, PALETTE, 0.2, hatch_period=4)
    found = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert found == {colors.HATCH_LIGHT, colors.HATCH_DARK}


def test_errors_have_the_colour_of_what_was_predicted_and_show_the_image(image):
    states = np.full((6, 8), CORRECT, dtype=np.uint8)
    labels = np.zeros((6, 8), int)
    states[1, 2:5] = WRONG
    labels[1, 2:5] = 1
    states[2, 2] = SLIP
    states[4] = IGNORED
    picture = overlay.paint_errors(image, states, labels, PALETTE, 0.7)
    luma = image[1, 3] @ [0.299, 0.587, 0.114]
    assert np.abs(picture[1, 3] - (0.7 * PALETTE[1] + 0.3 * luma)).max() <= 0.51
    assert tuple(picture[2, 2]) == colors.SLIP
    assert {tuple(color) for color in picture[4].tolist()} <= {
        colors.HATCH_LIGHT,
        colors.HATCH_DARK,
    }
    assert (picture[0] == overlay.faded(image)[0]).all()


def test_disagreement_gets_darker_with_the_number_of_answers(image):
    answers = np.ones((6, 8), dtype=np.uint8)
    answers[0, :3] = 1, 2, 3
    picture = overlay.paint_disagreement(image, answers, 3, opacity=1)
    assert (picture[1:] == colors.CORRECT).all()
    assert picture[0, 1].sum() > picture[0, 2].sum()
    picture = overlay.paint_disagreement(image, answers, 3)
    assert (picture[1:] == overlay.faded(image)[1:]).all()


def test_growing_labels_invents_no_label():
    labels = np.array([[0, 7], [3, 7]])
    grown = overlay.nearest_labels(labels, (6, 4))
    np.testing.assert_array_equal(grown, np.kron(labels, np.ones((2, 3), int)))


def test_a_pole_of_one_pixel_survives_reduction_in_every_column():
    # Picking the nearest of 8 columns would show one pole in eight.
    for column in range(64):
        picture = np.full((32, 64, 3), 255, dtype=np.uint8)
        picture[:, column] = 0
        small = overlay.shrink(picture, (8, 4))
        np.testing.assert_array_equal(small[:, column // 8], 223)  # 7/8 white


def test_difference_colors_begin_with_agreement():
    for number in (1, 2, 3, 5):
        table = colors.difference_colors(number)
        assert table.shape == (number, 3)
        assert tuple(table[0]) == colors.CORRECT
        assert len({tuple(color) for color in table.tolist()}) == number


def test_default_palette_begins_like_pascal_voc_after_its_black():
    from mmseg.utils.class_names import voc_palette

    np.testing.assert_array_equal(colors.default_palette(20), voc_palette()[1:21])
    assert len(np.unique(colors.default_palette(255), axis=0)) == 255


@pytest.mark.parametrize(
    ('palette', 'message'),
    [([[0, 0, 0]], r'each of the 2 classes'), ([[0, 0, 0], [0, 300, 0]], r'0 to 300')],
)
def test_bad_palette(palette, message):
    with pytest.raises(ValueError, match=message):
        colors.as_palette(palette, 2)
