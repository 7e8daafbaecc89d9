"""Find where the texts of a figure are drawn, to test that none overlaps another or extends beyond the edge."""

from itertools import combinations


def _of_axis(axis):
    yield axis.label
    low, high = sorted(axis.get_view_interval())
    for (
        tick
    ) in axis.get_major_ticks():  # matplotlib keeps some beyond the limits, and does not draw them
        if low - 1e-9 <= tick.get_loc() <= high + 1e-9:
            yield tick.label1


def drawn_texts(figure):
    """Return the texts of a figure, each with its box in pixels."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [text for part in (figure, *figure.subfigs) for text in part.texts]
    texts += [part._suptitle for part in (figure, *figure.subfigs) if part._suptitle]
    for legend in figure.legends:
        texts += legend.get_texts()
    for axes in figure.axes:
        texts += axes.texts
        if axes.get_legend():
            texts += axes.get_legend().get_texts()
        if axes.axison:
            texts += [axes.title, axes._left_title, axes._right_title]
            texts += [*_of_axis(axes.xaxis), *_of_axis(axes.yaxis)]
    shown = [
        text for text in dict.fromkeys(texts) if text.get_text().strip() and text.get_visible()
    ]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


def check_texts(figure):
    """Assert that no two texts overlap and that none extends beyond the figure; return the texts."""
    texts = drawn_texts(figure)
    assert texts
    for text, box in texts:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (one, first), (other, second) in combinations(texts, 2):
        # Boxes have an empty pixel around the letters.
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert width <= 1.5 or height <= 1.5, f'{one!r} lies over {other!r}'
    return [text for text, _ in texts]
