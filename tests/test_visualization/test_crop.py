"""The automatic crop finds a planted difference; crops of the user are parsed and checked."""

import numpy as np
import pytest

from mm_frelu.visualization import Box, difference_density, find_crop


def planted(shape, rows, columns):
    first = np.zeros(shape, dtype=np.uint8)
    second = first.copy()
    second[rows, columns] = 3
    return first, second


@pytest.mark.parametrize(
    ('rows', 'columns'),
    [
        (slice(200, 230), slice(700, 760)),
        (slice(0, 20), slice(0, 20)),
        (slice(480, 512), slice(1000, 1024)),
        (slice(100, 101), slice(512, 513)),
    ],
)
def test_auto_crop_holds_a_planted_difference_with_the_proportions_of_the_image(rows, columns):
    box = find_crop(difference_density(planted((512, 1024), rows, columns)))
    assert box.width == 2 * box.height
    assert box.width == 256
    box.check_inside((1024, 512))
    assert box.x <= columns.start
    assert columns.stop <= box.x + box.width
    assert box.y <= rows.start
    assert rows.stop <= box.y + box.height


def test_auto_crop_puts_a_small_difference_in_its_middle():
    box = find_crop(difference_density(planted((512, 1024), slice(300, 304), slice(500, 504))))
    assert abs(box.x + box.width / 2 - 502) <= 4
    assert abs(box.y + box.height / 2 - 302) <= 4


def test_auto_crop_prefers_the_larger_of_two_differences():
    first, second = planted((400, 400), slice(20, 40), slice(20, 40))
    second[300:330, 300:330] = 1
    box = find_crop(difference_density([first, second]))
    assert (box.x, box.y) > (150, 150)


def test_differences_all_over_the_image_ask_for_the_largest_window():
    box = find_crop(np.ones((400, 600), dtype=np.int64))
    assert (box.width, box.height) == (300, 200)


def test_a_window_is_never_smaller_than_64_pixels():
    density = np.zeros((100, 150), dtype=np.int64)
    density[50, 75] = 1
    box = find_crop(density)
    assert min(box.width, box.height) == 64


@pytest.mark.parametrize('shape', [(40, 90), (64, 64), (1, 1)])
def test_an_image_too_small_to_cut_gives_no_crop(shape):
    assert find_crop(np.ones(shape, dtype=np.int64)) is None


def test_no_difference_gives_no_crop():
    assert find_crop(np.zeros((300, 300), dtype=np.int64)) is None


def test_density_leaves_out_pixels_without_label():
    first, second = planted((10, 10), slice(0, 4), slice(0, 5))
    truth = np.zeros((10, 10), dtype=np.uint8)
    truth[:2] = 255
    assert difference_density([first, second]).sum() == 20
    assert difference_density([first, second], truth).sum() == 10


def test_density_of_one_model_is_its_errors():
    first, second = planted((10, 10), slice(0, 4), slice(0, 5))
    assert difference_density([second], first).sum() == 20
    assert difference_density([second]).sum() == 0


def test_box_from_text():
    assert Box.from_text('10,20,30,40') == (10, 20, 30, 40)


@pytest.mark.parametrize('text', ['10,20,30', 'a,b,c,d', '-1,0,5,5', '0,0,0,5', '', '1,2,3,4,5'])
def test_bad_box_says_what_to_write(text):
    with pytest.raises(ValueError, match='x,y,w,h') as error:
        Box.from_text(text)
    assert repr(text) in str(error.value)


def test_box_outside_names_both():
    with pytest.raises(ValueError, match='640x480.*right edge is 700'):
        Box(600, 0, 100, 50).check_inside((640, 480))


def test_cut_takes_rows_by_y():
    array = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(Box(1, 2, 3, 1).cut(array), [[11, 12, 13]])
