"""Logs of MMEngine as curves: resumed runs, epochs, the mean and the spread over seeds."""

import json

import numpy as np
import pytest
from matplotlib import colors

from mm_frelu.analysis.training_logs import Curve, read_log
from mm_frelu.engine.errors import UserError
from mm_frelu.visualization.curves import draw_curves, spread_of


def write_run(folder, lines, stamp='20260101_000000'):
    file = folder / stamp / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return file


def train(step, loss, **more):
    return dict(lr=0.1, data_time=0.01, loss=loss, time=0.2, iter=step, step=step, **more)


def test_a_run_by_iterations(tmp_path):
    file = write_run(
        tmp_path,
        [
            train(20, 2.0),
            train(40, 1.0),
            dict(mIoU=30.0, aAcc=70.0, time=9.0, step=40),
            train(60, 0.5),
        ],
    )
    for path in (file, tmp_path, tmp_path / '20260101_000000'):
        log = read_log(path)
        assert log.curves['loss'] == Curve('iteration', [20, 40, 60], [2.0, 1.0, 0.5])
        assert log.curves['mIoU'] == Curve('iteration', [40], [30.0])
        assert log.curves['time'].values == [0.2] * 3  # not that of the validation
        assert log.main_keys() == ['loss', 'mIoU']


def test_scores_of_a_run_by_epochs_are_on_the_axis_of_epochs(tmp_path):
    lines = [train(50, 2.0, epoch=1), train(100, 1.0, epoch=1), {'coco/bbox_mAP': 0.1, 'step': 1}]
    lines += [train(150, 0.8, epoch=2), {'coco/bbox_mAP': 0.2, 'step': 2}]
    write_run(tmp_path, lines)
    log = read_log(tmp_path)
    assert log.curves['loss'].steps == [50, 100, 150]
    assert log.curves[log.find('bbox_mAP')] == Curve('epoch', [1, 2], [0.1, 0.2])
    with pytest.raises(
        UserError, match=r"there is no key 'mIoU'; it has coco/bbox_mAP, .*loss.*Give one of them"
    ):
        log.find('mIoU')


def test_a_resumed_run_goes_on(tmp_path):
    write_run(tmp_path, [train(20, 2.0), train(40, 1.0), train(60, 9.0)], '20260101_000000')
    write_run(tmp_path, [train(60, 0.8), train(80, 0.6)], '20260102_000000')
    assert read_log(tmp_path).curves['loss'] == Curve(
        'iteration', [20, 40, 60, 80], [2.0, 1.0, 0.8, 0.6]
    )


def test_a_line_that_was_not_finished(tmp_path):
    """The disk was full, for example; the run goes on in another file."""
    first = write_run(tmp_path, [train(20, 2.0), train(40, 1.0)], '20260101_000000')
    first.write_text(first.read_text()[:-30])
    write_run(tmp_path, [train(40, 0.9), train(60, 0.8)], '20260102_000000')
    assert read_log(tmp_path).curves['loss'].values == [2.0, 0.9, 0.8]


def test_mean_and_spread_over_seeds():
    curves = [
        Curve('iteration', [1, 2, 3], [1.0, 2.0, 3.0]),
        Curve('iteration', [1, 2], [3.0, 6.0]),
    ]
    spread = spread_of(curves, 'std')
    assert spread.steps.tolist() == [1, 2]
    assert spread.mean.tolist() == [2.0, 4.0]
    np.testing.assert_allclose(spread.high - spread.mean, [np.sqrt(2), np.sqrt(8)])
    spread = spread_of(curves, 'range')
    assert (spread.low.tolist(), spread.high.tolist()) == ([1.0, 2.0], [3.0, 6.0])


def test_picture_has_a_line_and_a_band_for_each_group():
    runs = [Curve('iteration', [0, 10, 20], [1.0, 2.0, value]) for value in (3.0, 5.0)]
    figure = draw_curves(
        {'ReLU': dict(loss=runs), 'FReLU': dict(loss=runs[:1])}, ['loss'], 'range', 'two'
    )
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[1, 2, 4], [1, 2, 3]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        'ReLU (mean of 2)',
        'FReLU',
    ]
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].max() == 5
    assert axes.get_xlabel() == 'iteration'
    # Between the largest and the mean value the band's colour lies on white.
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    x, y = axes.transData.transform((18.7, 4.3))
    pixel = pixels[round(figure.bbox.height - y), round(x)]
    expected = 255 * (0.18 * np.array(colors.to_rgb('#0072b2')) + 0.82)
    np.testing.assert_allclose(pixel, expected, atol=12)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('not json\n', 'line 1 is not a JSON object'),
        ('', 'nothing was logged'),
        ('[1]\n', 'line 1 is not'),
    ],
)
def test_files_that_are_no_logs(tmp_path, content, message):
    file = tmp_path / 'scalars.json'
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_log(file)


def test_paths_without_a_log(tmp_path):
    with pytest.raises(UserError, match='no vis_data/scalars.json in this folder'):
        read_log(tmp_path)
    with pytest.raises(UserError, match='there is no such file or folder'):
        read_log(tmp_path / 'absent')
