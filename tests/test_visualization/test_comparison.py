"""The comparison figure: panels, sizes, legend and errors."""

import re

import numpy as np
import pytest
from PIL import Image

from mm_frelu.engine import UserError
from mm_frelu.visualization import Sheet, draw_comparison, layout, save_figure
from mm_frelu.visualization import palette as colors

CLASSES = ('road', 'pole', 'car', 'sky')
PALETTE = [(128, 64, 128), (153, 153, 153), (0, 0, 142), (70, 130, 180)]


def scene(size=(160, 80), models=2, seed=0):
    """An image, predictions without the class 'sky', and ground truth with an unlabelled edge."""
    width, height = size
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
    truth = np.zeros((height, width), dtype=np.uint8)
    truth[:, width // 2] = 1
    truth[-3:] = 255
    names = ['ReLU', 'Swish', 'FReLU', 'DY-ReLU-B', 'PReLU', 'Mish']
    predictions = {}
    for index, name in enumerate(names[:models]):
        labels = np.zeros((height, width), dtype=np.int64)
        labels[: height // 2, index * 5 : index * 5 + 5] = 2
        predictions[name] = labels
    return image, predictions, truth


def titles(figure):
    return [axes.get_label() for axes in figure.axes]


def legend_texts(figure):
    axes = figure.axes[titles(figure).index('legend')]
    return [text.get_text() for text in axes.texts]


def panel(figure, title):
    return figure.axes[titles(figure).index(title)].images[0].get_array()


def test_with_ground_truth_every_model_has_prediction_and_errors():
    image, predictions, truth = scene()
    figure = draw_comparison(image, predictions, truth, classes=CLASSES, palette=PALETTE)
    assert titles(figure) == [
        'Image',
        'Ground truth',
        'ReLU',
        'ReLU: errors',
        'Swish',
        'Swish: errors',
        'legend',
    ]
    assert legend_texts(figure)[:3] == ['road', 'pole', 'car']
    assert legend_texts(figure)[3:7] == [
        'correct',
        'wrong: colour of the class that was predicted',
        'boundary off by at most 1 px',
        'not labelled',
    ]


def test_without_ground_truth_two_models_get_a_map_of_differences():
    image, predictions, _ = scene()
    figure = draw_comparison(image, predictions, classes=CLASSES, palette=PALETTE)
    assert titles(figure) == ['Image', 'ReLU', 'Swish', 'Where the models differ', 'legend']
    # 'pole' occurs in the ground truth only, which is not shown here.
    assert legend_texts(figure) == ['road', 'car', 'the models agree', 'they differ']


def test_one_model_without_ground_truth_is_image_and_prediction():
    image, predictions, _ = scene(models=1)
    figure = draw_comparison(image, predictions, classes=CLASSES)
    assert titles(figure) == ['Image', 'ReLU', 'legend']


def test_title_has_the_scores_of_the_whole_image_also_for_a_crop():
    image, predictions, truth = scene()
    # Of 77 labelled rows with 160 pixels, one pole pixel each is wrong, and 40 x 5 pixels of car.
    accuracy = f'acc {100 * (77 * 160 - 77 - 200) / (77 * 160):.1f}'
    for crop in (None, (0, 0, 20, 10)):
        figure = draw_comparison(image, predictions, truth, classes=CLASSES, crop=crop)
        texts = [text.get_text() for text in figure.axes[2].texts]
        assert 'ReLU' in texts
        # Road, pole and car; the prediction has no sky and the ground truth no car.
        assert any(accuracy in text and '(3 classes)' in text for text in texts)


def test_legend_of_a_crop_names_what_the_crop_shows():
    image, predictions, truth = scene()
    figure = draw_comparison(
        image, predictions, truth, classes=CLASSES, palette=PALETTE, crop=(100, 0, 40, 20)
    )
    assert legend_texts(figure)[:2] == ['road', 'correct']
    assert 'overview' in titles(figure)


def test_overview_frames_the_crop():
    image, predictions, truth = scene()
    figure = draw_comparison(image, predictions, truth, classes=CLASSES, crop=(40, 20, 80, 40))
    axes = figure.axes[titles(figure).index('overview')]
    frame = axes.patches[-1]
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    assert frame.get_xy() == pytest.approx((width / 4, height / 4), abs=0.5)
    assert frame.get_width() == pytest.approx(width / 2, abs=0.5)
    assert frame.get_height() == pytest.approx(height / 2, abs=0.5)


def test_auto_crop_without_a_difference_shows_the_whole_image_and_says_so():
    image, predictions, _ = scene(models=1)
    figure = draw_comparison(image, predictions, classes=CLASSES, crop='auto')
    assert 'overview' not in titles(figure)
    assert 'whole image' in ' '.join(legend_texts(figure))


def test_only_mask_shows_class_colours_alone():
    image, predictions, truth = scene(size=(800, 400))
    figure = draw_comparison(
        image, predictions, truth, classes=CLASSES, palette=PALETTE, only_mask=True
    )
    prediction = panel(figure, 'ReLU')
    assert tuple(prediction[-1, -1]) == PALETTE[0]
    assert tuple(prediction[2, 2]) == PALETTE[2]
    errors = panel(figure, 'ReLU: errors')
    # The falsely predicted car has its colour and an outline.
    assert tuple(errors[20, 2]) == PALETTE[2]
    edge = int(np.flatnonzero((errors[20] != PALETTE[2]).any(axis=1))[0])
    assert tuple(errors[20, edge]) == colors.WRONG
    assert tuple(errors[200, 50]) == colors.CORRECT


def test_wrong_pixels_take_their_share_of_the_error_map():
    image, predictions, truth = scene(size=(64, 32))
    figure = draw_comparison(
        image, predictions, truth, classes=CLASSES, only_mask=True, palette=PALETTE
    )
    errors = panel(figure, 'ReLU: errors')
    painted = (PALETTE[0], PALETTE[2], colors.WRONG)
    share = sum((errors == color).all(axis=2).mean() for color in painted)
    # 29 labelled rows with one pole pixel that was taken for road, and 16 x 5 pixels of road that were taken for car.
    assert share == pytest.approx((29 + 80) / (64 * 32), rel=0.02)


@pytest.mark.parametrize('size', [(256, 128), (90, 160), (1000, 40), (30, 400), (1, 1)])
@pytest.mark.parametrize('models', [1, 2, 3, 6])
@pytest.mark.parametrize('labelled', [True, False])
def test_panels_are_equal_apart_and_inside_the_figure(size, models, labelled):
    image, predictions, truth = scene(size, models)
    figure = draw_comparison(
        image, predictions, truth if labelled else None, classes=CLASSES, palette=PALETTE
    )
    width, height = figure.get_size_inches() * figure.dpi
    boxes = []
    for axes in figure.axes:
        left, bottom, across, up = axes.get_position().bounds
        assert left >= 0
        assert bottom >= -1e-9
        assert left + across <= 1 + 1e-9
        assert bottom + up <= 1 + 1e-9
        if axes.get_label() != 'legend':
            # Pixel by pixel: the array is as large as its place.
            shape = axes.images[0].get_array().shape
            assert (across * width, up * height) == pytest.approx(shape[1::-1], abs=1e-6)
        boxes.append((left, bottom, left + across, bottom + up))
    assert len({axes.images[0].get_array().shape for axes in figure.axes[:-1]}) == 1
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert (
                one[2] <= other[0] + 1e-9
                or other[2] <= one[0] + 1e-9
                or one[3] <= other[1] + 1e-9
                or other[3] <= one[1] + 1e-9
            )


@pytest.mark.parametrize('aspect', [(2048, 1024), (640, 480), (480, 640)])
@pytest.mark.parametrize('units', [2, 3, 4, 5])
@pytest.mark.parametrize('paired', [True, False])
def test_grids_are_no_strips_and_hold_every_panel_once(aspect, units, paired):
    grid = layout.choose_grid(units, aspect, paired, layout.Sheet(dpi=200))
    cells = [grid.cell(unit, part) for unit in range(units) for part in range(1 + paired)]
    assert len(set(cells)) == len(cells)
    assert max(row for row, _ in cells) < grid.rows
    assert max(column for _, column in cells) < grid.columns
    assert grid.panel[0] >= 1.2 * 200
    assert grid.panel[0] / grid.panel[1] == pytest.approx(aspect[0] / aspect[1], rel=0.01)


def test_names_are_drawn_as_they_are_and_cut_when_too_long(tmp_path):
    image, predictions, truth = scene()
    name = r'a_$\frac$_' + 'long' * 60
    figure = draw_comparison(image, {name: predictions['ReLU']}, truth, classes=CLASSES)
    shown = texts_above(figure, name)[-1]
    assert shown.startswith(r'a_$\frac$_long')
    assert shown.endswith('…')
    save_figure(figure, tmp_path / 'x.png')


def texts_above(figure, title):
    return [text.get_text() for text in figure.axes[titles(figure).index(title)].texts]


def test_long_names_are_cut_where_they_are_alike():
    image, predictions, truth = scene()
    start, end = 'pspnet_r50b-', '-d8_4xb2-40k_cityscapes-512x1024_with_the_schedule_of_the_paper'
    named = {f'{start}{act}{end}': predictions['ReLU'] for act in ('relu', 'frelu', 'dyreluB')}
    figure = draw_comparison(
        image, named, truth, classes=CLASSES, sheet=Sheet(width=5.5, columns=4)
    )
    for name, act in zip(named, ('relu', 'frelu', 'dyreluB')):
        assert act in texts_above(figure, name)[-1]
        assert act in texts_above(figure, f'{name}: errors')[-1]
        assert texts_above(figure, f'{name}: errors')[-1].endswith(': errors')


def test_a_name_of_words_goes_on_in_a_second_line():
    image, predictions, _ = scene()
    named = {'PSPNet R-50 with FReLU in stages 2 and 3': predictions['ReLU']}
    figure = draw_comparison(image, named, classes=CLASSES, sheet=Sheet(width=3.25, columns=2))
    shown = texts_above(figure, next(iter(named)))
    assert len(shown) == 2
    assert ' '.join(shown) == next(iter(named))


def test_a_score_is_shortened_for_a_narrow_panel_but_never_cut():
    image, predictions, truth = scene(size=(30, 400), models=3)
    figure = draw_comparison(image, predictions, truth, classes=CLASSES)
    for name in predictions:
        remark = texts_above(figure, name)[0]
        assert re.fullmatch(r'mIoU \d+\.\d', remark)


def test_scores_and_legend_can_be_left_out():
    image, predictions, truth = scene()
    sheet = Sheet(legend=False, scores=False)
    figure = draw_comparison(image, predictions, truth, classes=CLASSES, sheet=sheet)
    assert 'legend' not in titles(figure)
    assert texts_above(figure, 'ReLU') == ['ReLU']
    assert texts_above(figure, 'ReLU: errors') == ['ReLU: errors']
    figure = draw_comparison(image, predictions, truth, classes=CLASSES, errors=False)
    assert titles(figure) == ['Image', 'Ground truth', 'ReLU', 'Swish', 'legend']


def test_saved_picture_has_the_size_of_the_figure_and_leaves_nothing_else(tmp_path):
    image, predictions, truth = scene()
    figure = draw_comparison(image, predictions, truth, classes=CLASSES)
    path = save_figure(figure, tmp_path / 'new' / 'x.png')
    with Image.open(path) as saved:
        assert saved.size == tuple((figure.get_size_inches() * figure.dpi).round().astype(int))
    assert [file.name for file in path.parent.iterdir()] == ['x.png']


def test_failed_writing_leaves_the_old_picture(tmp_path, monkeypatch):
    target = tmp_path / 'x.png'
    target.write_bytes(b'old')
    image, predictions, truth = scene()
    figure = draw_comparison(image, predictions, truth, classes=CLASSES)

    def half(stream, **_):
        stream.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(figure, 'savefig', half)
    with pytest.raises(UserError, match='disk full'):
        save_figure(figure, target)
    assert target.read_bytes() == b'old'
    assert [file.name for file in tmp_path.iterdir()] == ['x.png']


def test_bad_input_is_named():
    image, predictions, truth = scene()
    good = dict(classes=CLASSES, palette=PALETTE)
    cases = [
        ((image, {}), {}, 'predictions is empty'),
        ((image.astype(float), predictions), {}, 'uint8'),
        ((image, {'A': predictions['ReLU'][:-1]}), {}, r'prediction of A has shape \(79, 160\)'),
        ((image, predictions, truth[:, 1:]), {}, r'ground truth has shape \(80, 159\)'),
        (
            (image, {'A': predictions['ReLU'] + 3}),
            {},
            r'prediction of A has the class ids \[5\]',
        ),
        ((image, predictions, truth + 4), {}, r'ground truth has the class ids \[4, 5\]'),
        ((image, predictions), dict(opacity=1.5), 'between 0 and 1; found 1.5'),
        ((image, predictions), dict(crop='middle'), "'middle'"),
        ((image, predictions), dict(crop=(100, 0, 100, 10)), '160x80'),
        ((image, predictions), dict(sheet=Sheet(dpi=10_000)), 'would have 35300x17650 pixels'),
        ((image, predictions), dict(sheet=Sheet(panel_width=100)), 'smaller --dpi, --width or'),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            draw_comparison(*arguments, **{**good, **options})
    with pytest.raises(ValueError, match='end in .png, .pdf, .svg'):
        save_figure(draw_comparison(image, predictions, **good), 'x.jpg')
