"""confusion_matrix.py, analyze_results.py, browse_dataset.py and analyze_logs.py on what the tiny models really wrote."""

import csv
import re

import numpy as np
import pytest
import tiny_project
from PIL import Image
from pycocotools.coco import COCO


@pytest.fixture(scope='module')
def tested(segmentor, detector, tmp_path_factory):
    """Predictions of both through tools/test.py: a folder and a pickle."""
    folder = tmp_path_factory.mktemp('tested')
    for model, out in ((segmentor, 'png'), (detector, 'boxes.pkl')):
        tiny_project.forget_runs()
        arguments = [str(model.config), str(model.checkpoint), '--out', str(folder / out)]
        tiny_project.load_tool('test.py').main([*arguments, '--work-dir', str(folder / 'work')])
    return folder


def run(tool, *arguments):
    tiny_project.load_tool(f'analysis_tools/{tool}.py').main(
        [str(argument) for argument in arguments]
    )


def refused(capsys, tool, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(tool, *arguments)
    assert stopped.value.code in (1, 2)
    return capsys.readouterr().err


def read_counts(folder):
    with open(folder / 'confusion_matrix.csv', newline='') as stream:
        head, *rows = csv.reader(stream)
    assert head[1:] == [row[0] for row in rows]
    return np.array([row[1:] for row in rows], int)


def test_confusion_of_pixels(segmentor, tested, street_scenes, tmp_path):
    run(
        'confusion_matrix',
        segmentor.config,
        tested / 'png',
        tmp_path,
        '--title',
        'tiny',
        '--color-theme',
        'plasma',
    )
    expected = np.zeros((19, 19), int)
    for file in (street_scenes / 'gtFine/val').rglob('*_gtFine_labelTrainIds.png'):
        label = np.array(Image.open(file)).ravel()
        found = np.array(
            Image.open(tested / 'png' / file.name.replace('_gtFine_labelTrainIds', '_leftImg8bit'))
        ).ravel()
        np.add.at(expected, (label[label != 255], found[label != 255]), 1)
    np.testing.assert_array_equal(read_counts(tmp_path), expected)
    with Image.open(tmp_path / 'confusion_matrix.png') as picture:
        assert min(picture.size) > 800


def test_confusion_of_boxes_counts_every_object_once(detector, tested, street_scenes, tmp_path):
    run(
        'confusion_matrix',
        detector.config,
        tested / 'boxes.pkl',
        tmp_path,
        '--score-thr',
        0.01,
        '--tp-iou-thr',
        0.1,
        '--nms-iou-thr',
        0.9,
    )
    counts = read_counts(tmp_path)
    coco = COCO(str(street_scenes / 'annotations/instances_val.json'))
    single = [a['category_id'] for a in coco.dataset['annotations'] if not a['iscrowd']]
    per_class = np.bincount(single, minlength=1000)
    ids = [category['id'] for category in coco.dataset['categories']]
    np.testing.assert_array_equal(counts.sum(axis=1)[:-1], per_class[ids])
    assert counts[-1, -1] == 0
    assert counts[:, :-1].sum() > 0


def test_best_and_worst(segmentor, detector, tested, tmp_path, capsys):
    run('analyze_results', segmentor.config, tested / 'png', tmp_path / 'seg', '--topk', 1)
    run(
        'analyze_results',
        detector.config,
        tested / 'boxes.pkl',
        tmp_path / 'det',
        '--topk',
        1,
        '--show-score-thr',
        0.01,
    )
    for folder, measure in (('seg', 'mIoU'), ('det', 'AP')):
        with open(tmp_path / folder / 'scores.csv', newline='') as stream:
            rows = list(csv.reader(stream))
        assert rows[0] == ['image', measure]
        values = [float(row[1]) for row in rows[1:]]
        assert len(values) == 4
        assert values == sorted(values)
        for word, value in (('bad', values[0]), ('good', values[-1])):
            (picture,) = (tmp_path / folder / word).glob('*.png')
            assert picture.name.endswith(f'_{value:.3f}.png')
    printed = capsys.readouterr().out
    assert 'Cost of errors (TIDE)' in printed
    assert re.search(r'bad: \S+\.png, mIoU \d+\.\d', printed)


def test_what_the_pipelines_feed(segmentor, detector, tmp_path, capsys):
    run(
        'browse_dataset',
        segmentor.config,
        '--output-dir',
        tmp_path / 'seg',
        '--not-show',
        '--show-number',
        1,
        '--repeat',
        2,
    )
    run(
        'browse_dataset',
        detector.config,
        '--output-dir',
        tmp_path / 'det',
        '--not-show',
        '--phase',
        'val',
        '--show-number',
        1,
    )
    assert len(list((tmp_path / 'seg').glob('*.png'))) == 2
    assert len(list((tmp_path / 'det').glob('*.png'))) == 1
    assert f'2 pictures in {tmp_path / "seg"}' in capsys.readouterr().out


def test_sample_is_what_the_pipeline_gives(segmentor, detector):
    from mm_frelu.engine.arguments import read_config
    from mm_frelu.results.fed_samples import FedDataset

    cfg = read_config(str(detector.config))
    cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type='RandomFlip', prob=1.0))
    dataset = FedDataset(cfg, 'det.py', 'train')
    sample = dataset.sample(0)
    info = dataset.dataset.get_data_info(0)
    picture = np.array(Image.open(info['img_path']).convert('RGB'))
    np.testing.assert_array_equal(sample.image, picture[:, ::-1])
    x0, y0, x1, y1 = next(i['bbox'] for i in info['instances'] if not i['ignore_flag'])
    width = picture.shape[1]
    np.testing.assert_allclose(sample.boxes.boxes[0], [width - x1, y0, width - x0, y1], atol=1e-4)
    segments = FedDataset(read_config(str(segmentor.config)), 'seg.py', 'val').sample(0)
    assert segments.labels.shape == segments.image.shape[:2]


def test_curves_and_times(segmentor, relu_segmentor, tmp_path, capsys):
    out = tmp_path / 'curves.svg'
    logs = [segmentor.work_dir, relu_segmentor.work_dir]
    run(
        'analyze_logs',
        *logs,
        '--legend',
        'both',
        'both',
        '--band',
        'range',
        '--keys',
        'loss',
        'mIoU',
        '--out',
        out,
    )
    assert '<svg' in out.read_text()
    run('analyze_logs', 'cal_train_time', *logs, '--include-outliers')
    printed = capsys.readouterr().out
    assert len(re.findall(r'\d\.\d{4} s per iteration', printed)) == 2


def test_refusals(segmentor, detector, tested, tmp_path, capsys):
    empty = tmp_path / 'empty'
    empty.mkdir()
    message = refused(capsys, 'confusion_matrix', segmentor.config, empty, tmp_path / 'out')
    assert message.startswith(f'error: {empty} lacks the predictions for 4 of 4 images')
    message = refused(
        capsys, 'confusion_matrix', segmentor.config, tested / 'boxes.pkl', tmp_path / 'out'
    )
    assert 'Predictions of a segmentor are in a folder of PNG files' in message
    message = refused(capsys, 'confusion_matrix', detector.config, tested / 'png', tmp_path / 'out')
    assert 'Predictions of a detector are in a single file' in message
    message = refused(
        capsys, 'confusion_matrix', segmentor.config, tested / 'png', tested / 'boxes.pkl'
    )
    assert 'is a file; give a folder' in message
    assert "no colour map 'nice'" in refused(
        capsys, 'confusion_matrix', 'x', 'y', 'z', '--color-theme', 'nice'
    )
    assert '--tp-iou-thr: expected more than 0' in refused(
        capsys, 'confusion_matrix', 'x', 'y', 'z', '--tp-iou-thr', 0
    )
    assert 'there is no key' in refused(
        capsys, 'analyze_logs', segmentor.work_dir, '--keys', 'AP', '--out', tmp_path / 'a.png'
    )
    of_a_test = tmp_path / 'scalars.json'
    of_a_test.write_text('{"mIoU": 30.0, "time": 0.1, "step": 0}\n')
    assert 'there are no times of training steps' in refused(
        capsys, 'analyze_logs', 'cal_train_time', of_a_test
    )
    assert 'must end in .png, .pdf, .svg' in refused(
        capsys, 'analyze_logs', segmentor.work_dir, '--out', tmp_path / 'a.txt'
    )
    assert '2 names for 1 logs' in refused(
        capsys, 'analyze_logs', segmentor.work_dir, '--legend', 'a', 'b', '--out', 'a.png'
    )
    assert '--not-show without --output-dir' in refused(
        capsys, 'browse_dataset', segmentor.config, '--not-show'
    )
    message = refused(
        capsys, 'browse_dataset', segmentor.config, '--not-show', '--output-dir', tmp_path / 'b',
        '--cfg-options', 'train_dataloader.dataset.data_root=/nowhere',
    )  # fmt: skip
    assert message.startswith('error: ')
    assert 'Traceback' not in message
    assert not (tmp_path / 'out').exists()
