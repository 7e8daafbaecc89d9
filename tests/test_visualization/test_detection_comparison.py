"""Rendered pictures of detections: layout, texts, colours at known pixels, and labels that stay apart."""

import numpy as np
import pytest

from mm_frelu.evaluation.boxes import Detections, TrueBoxes
from mm_frelu.evaluation.outcomes import Outcome
from mm_frelu.visualization.detection_comparison import (
    MISSED,
    OUTCOME_COLORS,
    box_palette,
    draw_detections,
)
from mm_frelu.visualization.layout import Sheet

CLASSES = ('person', 'car')
PALETTE = [(220, 20, 60), (0, 0, 142)]
IMAGE = np.full((100, 200, 3), 120, np.uint8)
TRUTH = TrueBoxes.of([[20, 30, 60, 80], [100, 20, 180, 80], [5, 88, 15, 98]], [0, 1, 0])
FOUND = Detections.of(
    [[20, 30, 60, 80], [24, 30, 60, 80], [100, 20, 180, 80], [120, 84, 160, 98]],
    [0, 0, 0, 1],
    [0.9, 0.6, 0.5, 0.4],
)


def render(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def axes_of(figure, label):
    (axes,) = (axes for axes in figure.axes if axes.get_label() == label)
    return axes


def color_at(figure, pixels, axes, x, y):
    """Colour of the pixel at a place of the image."""
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    place = axes.transData.transform((x / IMAGE.shape[1] * width, y / IMAGE.shape[0] * height))
    return pixels[round(figure.bbox.height - place[1]), round(place[0])]


def test_panels_texts_and_colours():
    figure = draw_detections(
        IMAGE,
        {'ReLU': FOUND, 'FReLU': FOUND},
        TRUTH,
        classes=CLASSES,
        palette=PALETTE,
        score_thrs={'FReLU': 0.55},
    )
    pixels = render(figure)
    assert [axes.get_label() for axes in figure.axes] == ['Ground truth', 'ReLU', 'FReLU', 'legend']
    relu, frelu = axes_of(figure, 'ReLU'), axes_of(figure, 'FReLU')
    texts = {text.get_text() for text in relu.texts}
    assert {
        'person 0.90',
        'person 0.60',
        'person 0.50',
        'car 0.40',
        '1 of 3 found, 3 wrong',
    } <= texts
    assert {'person 0.90', 'person 0.60', 'car', 'person', '1 of 3 found, 1 wrong'} <= {
        text.get_text() for text in frelu.texts
    }

    def assert_color(axes, x, y, color):
        np.testing.assert_allclose(color_at(figure, pixels, axes, x, y), color, atol=40)

    truth = axes_of(figure, 'Ground truth')
    assert_color(truth, 20, 55, PALETTE[0])
    assert_color(truth, 180, 50, PALETTE[1])
    assert_color(relu, 20, 55, OUTCOME_COLORS[Outcome.HIT])
    assert_color(relu, 24, 55, OUTCOME_COLORS[Outcome.DUPLICATE])
    assert_color(relu, 180, 50, OUTCOME_COLORS[Outcome.WRONG_CLASS])
    assert_color(relu, 160, 91, OUTCOME_COLORS[Outcome.BACKGROUND])
    assert_color(relu, 80, 50, (120, 120, 120))
    # The car is missed by FReLU, whose threshold is higher; a dashed line has gaps.
    line = np.array([color_at(figure, pixels, frelu, x, 80) for x in np.linspace(104, 176, 60)])
    near = np.abs(line - MISSED).max(axis=1) < 40
    assert 0.3 < near.mean() < 0.9


def test_legend_names_what_occurs():
    figure = draw_detections(IMAGE, {'A': FOUND}, TRUTH, classes=CLASSES, palette=PALETTE)
    texts = [text.get_text() for text in axes_of(figure, 'legend').texts]
    assert texts[:7] == [
        'person',
        'car',
        'hit',
        'wrong class',
        'duplicate',
        'nothing there',
        'missed (dashed)',
    ]


def test_without_ground_truth_outlines_have_the_colour_of_the_class():
    figure = draw_detections(IMAGE, {'A': FOUND}, classes=CLASSES, palette=PALETTE)
    pixels = render(figure)
    axes = axes_of(figure, 'A')
    np.testing.assert_allclose(color_at(figure, pixels, axes, 60, 55), PALETTE[0], atol=40)
    assert 'hit' not in [text.get_text() for text in axes_of(figure, 'legend').texts]
    assert '4 boxes' in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize('sheet', [Sheet(), Sheet(width=3.25, font_size=7)])
def test_no_two_labels_overlap_and_each_holds_its_text(sheet):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 170, (40, 2)) * [1, 0.5]
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (40, 2))], axis=1)
    found = Detections.of(boxes, rng.integers(0, 2, 40), rng.uniform(0.3, 1, 40))
    figure = draw_detections(
        IMAGE, {'A': found}, TRUTH, classes=CLASSES, palette=PALETTE, sheet=sheet
    )
    figure.canvas.draw()
    for axes in figure.axes[:2]:
        chips = [patch.get_window_extent() for patch in axes.patches if patch.get_gid() == 'label']
        assert len(chips) >= 3
        for i, a in enumerate(chips):
            for b in chips[i + 1 :]:
                across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
                assert across <= 0.5 or down <= 0.5
        names = {f'{name} ' for name in CLASSES}
        for text in axes.texts:
            if any(text.get_text().startswith(name) for name in names):
                own = text.get_window_extent()
                assert any(
                    chip.x0 - 1 <= own.x0
                    and own.x1 <= chip.x1 + 1
                    and chip.y0 - 2 <= own.y0
                    and own.y1 <= chip.y1 + 2
                    for chip in chips
                ), text.get_text()


@pytest.mark.slow
def test_labels_without_room_are_counted():
    boxes = np.tile([[20, 20, 60, 60]], (400, 1))
    found = Detections.of(boxes, np.zeros(400, int), np.linspace(0.3, 1, 400))
    figure = draw_detections(IMAGE, {'A': found}, classes=CLASSES, palette=PALETTE)
    (text,) = (t.get_text() for t in figure.axes[0].texts if 'no room' in t.get_text())
    left_out = int(text.split()[3])
    chips = [patch for patch in figure.axes[0].patches if patch.get_gid() == 'label']
    assert left_out + len(chips) == 400


def test_palettes():
    assert len({tuple(color) for color in box_palette(None, 20).tolist()}) == 20
    assert box_palette(PALETTE, 2).tolist() == [list(color) for color in PALETTE]
    assert len({tuple(color) for color in box_palette(None, 80).tolist()}) == 80


@pytest.mark.parametrize('found', [[], [[-5, -5, 300, 200]]])
def test_nothing_found_and_boxes_beyond_the_image(found):
    detections = Detections.of(found, [0] * len(found), [0.9] * len(found))
    figure = draw_detections(IMAGE, {'A': detections}, TRUTH, classes=CLASSES)
    assert render(figure).size
