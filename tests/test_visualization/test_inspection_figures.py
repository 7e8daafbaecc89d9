"""Figures of activations: texts, colours at known positions, and no overlapping texts."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from text_boxes import check_texts

from mm_frelu.activations import DyReLUA, DyReLUB, DyReLUC
from mm_frelu.inspection.choices import ChannelCounts
from mm_frelu.inspection.dynamic import DynamicRecord
from mm_frelu.inspection.features import Features
from mm_frelu.inspection.field import Field
from mm_frelu.visualization.charts import columns_for
from mm_frelu.visualization.dyrelu_figures import (
    draw_attention,
    draw_coefficients,
    draw_scatter,
    draw_slope_differences,
)
from mm_frelu.visualization.feature_figures import draw_comparison_of_features
from mm_frelu.visualization.field_figures import (
    FieldPanel,
    draw_choices,
    draw_fields,
    draw_windows,
)
from mm_frelu.visualization.loaded_model import Prepared

LONG = 'backbone.stages.2.blocks.11.very_long_name_of_a_block.depthwise_conv.activate'


def prepared(width=64, height=32, padded=(64, 64)):
    """A grey picture in the upper left of a padded input."""
    picture = np.full((height, width, 3), 128, dtype=np.uint8)
    return Prepared(torch.zeros(1, 3, *padded), picture, (width, height), '')


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def color_at(figure, axes, x, y):
    """Colour of the figure at data coordinates."""
    column, row = axes.transData.transform((x, y))
    return pixels(figure)[int(figure.bbox.height - row), int(column)]


def field(mean_side):
    """A field with side 1 in one half of the picture and another side in the other half; the rest is padding."""
    parts = torch.zeros(2, 8, 8)
    parts[0, :, :4] = parts[1, :, 4:] = 1.0
    return Field([1, mean_side], parts)


@pytest.mark.parametrize(
    ('number', 'size'), [(1, (64, 32)), (8, (64, 32)), (8, (32, 64)), (3, (400, 20))]
)
def test_fields(number, size):
    one = prepared(*size, padded=(max(size), max(size)))
    panels = {
        f'{LONG}{index}': FieldPanel(field(25), {1: 0.5, 25: 0.5}, 0.25) for index in range(number)
    }
    figure = draw_fields('a_rather_long_name_of_a_picture_with_date_2026-11-26', one, panels)
    texts = check_texts(figure)
    assert texts.count('mean side 13.0, largest 25; window 25 %') == number


def test_colours_and_padding_of_a_map():
    figure = draw_fields('x', prepared(), {'a.b': FieldPanel(field(5), {1: 0.5, 5: 0.5}, None)})
    (axes,) = (axes for axes in figure.axes if axes.get_title('left') == 'a.b')
    low, high = (np.array(colormaps['viridis'](value)[:3]) * 255 for value in (0.0, 1.0))
    assert np.abs(color_at(figure, axes, 8, 16) - low).max() < 8
    assert np.abs(color_at(figure, axes, 56, 16) - high).max() < 8
    assert axes.get_ylim() == (32, 0)  # the picture, without the padding below
    assert 'mean side 3.0, largest 5' in check_texts(figure)


def test_padding_does_not_change_the_scale_of_a_map():
    padded = field(5)
    padded.parts[:, 4:] = torch.tensor([0.0, 1.0]).view(2, 1, 1)
    padded = Field([1, 5, 101], torch.cat([padded.parts, torch.zeros(1, 8, 8)]))
    padded.parts[2, 4:] = 50.0
    figure = draw_fields(
        'x', prepared(), {'a.b': FieldPanel(padded, {1: 0.5, 5: 0.5, 101: 0.0}, None)}
    )
    (axes,) = (axes for axes in figure.axes if axes.get_title('left') == 'a.b')
    assert axes.images[0].get_clim() == (1, 5)
    assert 'mean side 3.0, largest 5' in check_texts(figure)


def counts(channels=16):
    chosen = torch.arange(channels) * 10
    chosen[0], chosen[-1] = 0, 1000
    return ChannelCounts(chosen, 1000)


@pytest.mark.parametrize('number', [1, 99])
def test_choices(number):
    names = [f'backbone.layer{1 + index // 4}.{index}.act1' for index in range(number)]
    figure = draw_choices(
        {name: counts() for name in names}, {name: {1: 0.25, 3: 0.75} for name in names}, 5
    )
    texts = check_texts(figure)
    assert f'x: {number} of {16 * number} channels always choose it, {number} never' in texts


def test_windows():
    windows = {f'backbone.layer{row}.0.act1': torch.zeros(16, 3, 3) for row in range(1, 4)}
    windows['backbone.layer1.0.act1'][15, 1, 1] = 2.0
    figure = draw_windows(windows, {name: counts() for name in windows})
    texts = check_texts(figure)
    assert texts.count('15: 100 %') == 3
    assert texts.count('0: 0 %') == 3
    first = figure.axes[0]
    red, white = ((103, 0, 31), (247, 247, 247))
    assert np.abs(color_at(figure, first, 1, 1) - red).max() < 8
    assert np.abs(color_at(figure, first, 0, 2) - white).max() < 8


def records(number, images=3, act=None):
    torch.manual_seed(0)
    act = (act or DyReLUC(6)).eval()
    found = {}
    for index in range(number):
        record = found[f'backbone.layer{1 + index // 3}.{index}.act'] = DynamicRecord(500)
        for _ in range(images):
            x = torch.randn(1, 6, 8, 8)
            with torch.no_grad():
                record.add(act, x, act(x))
    return found


@pytest.mark.parametrize('number', [1, 14])
def test_dyrelu_figures(number):
    found = records(number)
    names = ['one', 'two', 'three']
    for figure in (draw_scatter(found, 3), draw_slope_differences(found, 3)):
        check_texts(figure)
    texts = check_texts(draw_coefficients(found, names))
    assert {'a1', 'a2', 'b1', 'b2'} <= set(texts)
    attention = {name: record.attention for name, record in list(found.items())[:8]}
    check_texts(draw_attention('picture', prepared(padded=(32, 64)), attention))


def test_coefficients_without_intercepts_of_one_image_and_shared_by_channels():
    texts = check_texts(
        draw_coefficients(records(2, 1, DyReLUA(6, num_pieces=3, intercept=False)), ['one'])
    )
    assert {'a1', 'a2', 'a3'} <= set(texts)
    assert 'b1' not in texts


def test_coefficients_of_layers_that_differ_in_pieces_and_intercepts():
    first = records(1, 2, DyReLUA(6, num_pieces=3, intercept=False))
    second = {'backbone.layer2.0.act': next(iter(records(1, 2, DyReLUB(6)).values()))}
    figure = draw_coefficients({**first, **second}, ['one', 'two'])
    check_texts(figure)
    drawn = [axes.get_title(loc='right') for axes in figure.axes if axes.images]
    assert drawn == ['a1', 'a2', 'a3', 'a1', 'a2', 'b1', 'b2']


def test_dyrelu_figures_of_more_values_than_torch_can_sort():
    values = torch.linspace(-1, 1, 2**24 + 1)  # torch.quantile: 'input tensor is too large'
    (record,) = records(1).values()
    record._x, record._y = [values], [values.relu()]
    draw_scatter({'backbone.layer1.0.act': record}, 8400)


def test_maps_of_two_models_share_a_scale_and_lie_over_the_picture():
    maps = torch.zeros(2, 4, 4, 8)
    maps[1, 2] = 1.0  # the second model's third channel is high, the first's all zero
    gradient = torch.zeros(32, 64)
    gradient[16, 32] = 1.0
    models = {
        name: (prepared(padded=(32, 64)), Features(one, gradient, (2, 4)))
        for name, one in zip(('ReLU', 'a model with a long name in a paper'), maps)
    }
    figure = draw_comparison_of_features('picture', LONG, models, [2, 0, 3], (0.5, 0.5))
    texts = check_texts(figure)
    assert texts.count('1 px hold 50 %, 1 px 95 %') == 2
    column = [axes for axes in figure.axes if axes.images][2::5]
    low, high = (color_at(figure, axes, 30, 10).astype(int) for axes in column)
    # Jet's ends over grey: blue for the smallest value of both, red for the largest.
    assert low[2] > low[0] + 30
    assert high[0] > high[2] + 30


def test_texts_of_many_narrow_columns_stay_apart():
    features = Features(torch.rand(9, 4, 8), torch.rand(32, 64), (2, 4))
    models = {name: (prepared(padded=(32, 64)), features) for name in ('ReLU', 'FReLU')}
    figure = draw_comparison_of_features('x', 'layer1', models, list(range(9)), (0.5, 0.5))
    assert 'effective\nreceptive\nfield' in check_texts(figure)


def test_columns_leave_few_places_empty():
    assert [columns_for(number, 2.0) for number in (1, 2, 3, 4, 6, 7, 9)] == [1, 2, 3, 2, 3, 2, 3]
    assert [columns_for(number, 20) for number in (1, 9)] == [1, 2]
