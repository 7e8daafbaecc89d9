"""Figures for papers: rows of images, sizes in inches and points, vector text in accepted fonts, and no overlapping texts."""

import itertools
import re

import numpy as np
import pytest
from matplotlib import font_manager

from mm_frelu.visualization import Row, Sheet, draw_comparison, draw_rows, save_figure
from mm_frelu.visualization import palette as colors

CLASSES = ('road', 'pole', 'car', 'sky')
PALETTE = [(128, 64, 128), (153, 153, 153), (0, 0, 142), (70, 130, 180)]
MODELS = ('PSPNet R-18 ReLU', 'PSPNet R-18 FReLU')


def row(size=(160, 80), seed=0, models=MODELS):
    width, height = size
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
    truth = np.zeros((height, width), dtype=np.uint8)
    truth[:, width // 2] = 1
    truth[-3:] = 255
    predictions = {}
    for index, name in enumerate(models):
        labels = np.zeros((height, width), dtype=np.uint8)
        labels[: height // 2, index * 5 : index * 5 + 5] = 2
        predictions[name] = labels
    return Row(image, predictions, truth)


def axes_of(figure, title):
    return [axes for axes in figure.axes if axes.get_label() == title]


def place(axes):
    """Left, top, width and height in inches."""
    across, down = axes.figure.get_size_inches()
    left, bottom, width, height = axes.get_position().bounds
    return left * across, (1 - bottom - height) * down, width * across, height * down


def text_boxes(figure):
    renderer = figure.canvas.get_renderer()
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


def check_texts(figure):
    """Check that every text is inside the figure and overlaps no other text and no picture."""
    width, height = figure.get_size_inches() * figure.dpi
    boxes = text_boxes(figure)
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Boxes of lines one below the other have ascenders and descenders that may touch.
        slack = 0.12 * min(a.height, b.height)
        apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + slack or b.y1 <= a.y0 + slack
        assert apart, (one, other)
    for axes in figure.axes:
        if axes.images:
            picture = axes.get_window_extent()
            for text, box in boxes:
                assert not (
                    box.x0 < picture.x1 - 1
                    and box.x1 > picture.x0 + 1
                    and box.y0 < picture.y1 - 1
                    and box.y1 > picture.y0 + 1
                ), text


def test_rows_are_images_and_columns_are_models():
    rows = [row(seed=0), row((100, 100), seed=1), row(seed=2)]
    figure = draw_rows(rows, classes=CLASSES, palette=PALETTE, sheet=Sheet(width=6.9))
    assert figure.get_size_inches()[0] == pytest.approx(6.9, abs=0.02)
    columns = ['Image', 'Ground truth', *MODELS]
    lefts = []
    for title in columns:
        axes = axes_of(figure, title)
        assert len(axes) == 3
        assert len({round(place(own)[0], 3) for own in axes}) == 1
        lefts.append(place(axes[0])[0])
    assert lefts == sorted(lefts)
    for number in range(3):
        across = [place(axes_of(figure, title)[number]) for title in columns]
        assert len({(round(own[1], 3), round(own[2], 3), round(own[3], 3)) for own in across}) == 1
    # The second image is a square.
    assert place(axes_of(figure, 'Image')[1])[2] == pytest.approx(
        place(axes_of(figure, 'Image')[1])[3], abs=0.01
    )
    check_texts(figure)


def test_titles_stand_above_the_first_row_and_scores_above_each():
    figure = draw_rows([row(seed=0), row(seed=1)], classes=CLASSES, sheet=Sheet(width=6.9))
    first, second = axes_of(figure, MODELS[1])
    assert MODELS[1] in [text.get_text() for text in first.texts]
    assert [text.get_text() for text in second.texts][0].startswith('mIoU ')
    assert len(second.texts) == 1
    figure = draw_rows([row(), row()], classes=CLASSES, sheet=Sheet(scores=False, legend=False))
    assert not axes_of(figure, 'legend')
    assert all('mIoU' not in text for text, _ in text_boxes(figure))


def test_a_crop_is_drawn_as_a_box_on_the_whole_image():
    rows = [row(), row(seed=1)]
    figure = draw_rows(rows, classes=CLASSES, palette=PALETTE, crop=(40, 20, 80, 40))
    for number in range(2):
        axes = axes_of(figure, 'Image')[number]
        frame = axes.patches[-1]
        width, height = axes.get_xlim()[1], axes.get_ylim()[0]
        assert frame.get_xy() == pytest.approx((width / 4, height / 4), abs=0.5)
        assert (frame.get_width(), frame.get_height()) == pytest.approx(
            (width / 2, height / 2), abs=0.5
        )
    crop = axes_of(figure, 'Crop')[0].images[0].get_array()
    truth = axes_of(figure, 'Ground truth')[0].images[0].get_array()
    assert crop.shape == truth.shape
    # The pole, in the middle of the crop, in the colour of the legend, which 'apart' leaves as it is here.
    assert (truth[:, truth.shape[1] // 2] == PALETTE[1]).all()


def test_errors_are_columns_on_request():
    figure = draw_rows([row()], classes=CLASSES, errors=True)
    titles = [axes.get_label() for axes in figure.axes]
    assert titles[2:6] == [MODELS[0], f'{MODELS[0]}: errors', MODELS[1], f'{MODELS[1]}: errors']


@pytest.mark.parametrize('width', [3.25, 6.9])
@pytest.mark.parametrize('columns', [1, 2, 3])
@pytest.mark.parametrize('crop', [None, (8, 8, 40, 20)])
def test_figures_for_the_columns_of_papers(width, columns, crop):
    sheet = Sheet(width=width, columns=columns)
    figure = draw_comparison(*row(), classes=CLASSES, palette=PALETTE, sheet=sheet, crop=crop)
    assert figure.get_size_inches()[0] == pytest.approx(width, abs=0.02)
    sizes = {text.get_fontsize() for axes in figure.axes for text in axes.texts}
    assert min(sizes) >= 7
    assert max(sizes) <= 9
    tops = {
        round(place(axes)[0], 3)
        for axes in figure.axes
        if axes.images and axes.get_label() != 'overview'
    }
    assert len(tops) == columns
    check_texts(figure)


def test_panel_width_font_size_and_dpi():
    sheet = Sheet(panel_width=2.0, columns=2, font_size=9, dpi=300)
    figure = draw_comparison(*row(), classes=CLASSES, sheet=sheet)
    assert figure.dpi == 300
    for axes in figure.axes:
        if axes.images:
            assert place(axes)[2] == pytest.approx(2.0, abs=0.01)
            assert axes.images[0].get_array().shape[1] == 600
    sizes = {text.get_fontsize() for axes in figure.axes for text in axes.texts}
    assert sizes == {9, 8, 8.5}
    check_texts(figure)


@pytest.mark.parametrize(
    ('size', 'expected'), [((2048, 256), 2048), ((3000, 300), 2048), ((256, 128), 500)]
)
def test_no_panel_is_smaller_than_its_image(size, expected):
    figure = draw_comparison(*row(size), classes=CLASSES)
    panel = axes_of(figure, 'Image')[0].images[0].get_array()
    assert panel.shape[1] >= expected
    # A pole of one pixel is there in full.
    truth = axes_of(figure, 'Ground truth')[0].images[0].get_array()
    if size[0] == 2048:
        assert (truth[50] == colors.default_palette(4)[1]).all(axis=1).sum() >= 1


def test_pdf_has_truetype_fonts_and_text(tmp_path):
    figure = draw_rows([row()], classes=CLASSES, sheet=Sheet(width=3.25))
    content = save_figure(figure, tmp_path / 'x.pdf').read_bytes()
    assert re.findall(rb'/MediaBox \[ 0 0 ([\d.]+)', content)[0].startswith(
        b'23'
    )  # 3.25 in are 234 pt
    assert b'/Type3' not in content
    assert b'/FontFile2' in content  # embedded, TrueType
    assert content.count(b'/Subtype /Image') == 4


def test_svg_has_outlines_in_place_of_text(tmp_path):
    figure = draw_rows([row()], classes=CLASSES, sheet=Sheet(width=3.25))
    text = save_figure(figure, tmp_path / 'x.svg').read_text()
    assert '<text' not in text
    assert len(re.findall(r'<image ', text)) == 4
    assert len(re.findall(r'<g id="text_\d+"', text)) >= 10


@pytest.mark.skipif(
    not any('CJK' in path for path in font_manager.findSystemFonts()),
    reason='needs a font with Chinese characters',
)
@pytest.mark.parametrize('kind', ['png', 'pdf', 'svg'])
def test_chinese_names_are_drawn(tmp_path, kind, recwarn):
    names = ('道路', '杆', '汽车', '天空')
    one = row(models=('模型甲', '模型乙'))
    figure = draw_comparison(*one, classes=names, palette=PALETTE)
    content = save_figure(figure, tmp_path / f'x.{kind}').read_bytes()
    shown = {text for text, _ in text_boxes(figure)}
    assert {'道路', '汽车', '模型甲'} <= shown
    assert not [
        w for w in recwarn if 'missing from font' in str(w.message) or 'Glyph' in str(w.message)
    ]
    if kind == 'pdf':
        assert b'/Type3' not in content
    check_texts(figure)


def test_bad_rows_are_named():
    good = row()
    cases = [
        ([], 'rows is empty'),
        ([good, row(models=('other',))], 'the same models'),
        ([good, good._replace(ground_truth=None)], 'Either all rows have ground truth'),
    ]
    for rows, message in cases:
        with pytest.raises(ValueError, match=message):
            draw_rows(rows, classes=CLASSES)
    with pytest.raises(ValueError, match='smaller --dpi, --width or --panel-width'):
        draw_rows([good], classes=CLASSES, sheet=Sheet(panel_width=100))
