"""tools/test.py: predictions, pictures, test-time augmentation, CityScapes' label ids."""

import pickle
import re

import numpy as np
import pytest
import tiny_project
from PIL import Image

# CityScapes' official table: train id -> label id (mcordts/cityscapesScripts, helpers/labels.py).
LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


@pytest.fixture
def tool():
    return tiny_project.load_tool('test.py')


def log_of(work_dir) -> str:
    return max(work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text()


def labels(street_scenes):
    return sorted((street_scenes / 'gtFine' / 'val').glob('*/*_labelTrainIds.png'))


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def stem(path) -> str:
    return re.sub('_(leftImg8bit|gtFine_.*)$', '', path.stem)


def test_segmentation_writes_pngs_that_give_the_metrics_it_prints(
    tool, segmentor, street_scenes, tmp_path
):
    out = tmp_path / 'predictions'
    tool.main(
        [
            str(segmentor.config),
            str(segmentor.checkpoint),
            '--work-dir',
            str(tmp_path),
            '--out',
            str(out),
        ]
    )
    predictions = {stem(path): read(path) for path in out.glob('*.png')}
    truth = {stem(path): read(path) for path in labels(street_scenes)}
    assert predictions.keys() == truth.keys()
    predicted = np.concatenate([predictions[name].ravel() for name in truth])
    true = np.concatenate([truth[name].ravel() for name in truth])
    predicted, true = predicted[true != 255], true[true != 255]
    with np.errstate(invalid='ignore'):
        hits = np.array([((predicted == c) & (true == c)).sum() for c in range(19)])
        of_class = np.array([(true == c).sum() for c in range(19)])
        either = np.array([((predicted == c) | (true == c)).sum() for c in range(19)])
        iou, accuracy = 100 * hits / either, 100 * hits / of_class
    text = log_of(tmp_path)
    printed = {
        key: float(re.findall(rf'{key}: ([\d.]+)', text)[-1]) for key in ('aAcc', 'mIoU', 'mAcc')
    }
    assert printed['aAcc'] == pytest.approx(100 * (predicted == true).mean(), abs=0.01)
    assert printed['mIoU'] == pytest.approx(np.nanmean(iou), abs=0.01)
    assert printed['mAcc'] == pytest.approx(np.nanmean(accuracy), abs=0.01)
    row = re.search(r'\|\s+road\s+\|\s+([\d.]+)\s+\|\s+([\d.]+)\s+\|', text)
    assert float(row[1]) == pytest.approx(iou[0], abs=0.01)
    assert float(row[2]) == pytest.approx(accuracy[0], abs=0.01)
    assert re.search(r'Iter\(test\) \[2/4\].* eta: ', text)
    assert f'Predictions are in {out}' in text


def test_detection_writes_a_pickle_with_one_entry_per_image(tool, detector, tmp_path):
    out = tmp_path / 'new' / 'boxes.pkl'
    tool.main(
        [
            str(detector.config),
            str(detector.checkpoint),
            '--work-dir',
            str(tmp_path),
            '--out',
            str(out),
        ]
    )
    entries = pickle.loads(out.read_bytes())
    assert len(entries) == 4
    assert {'bboxes', 'scores', 'labels'} <= set(entries[0]['pred_instances'])
    assert [path.name for path in out.parent.iterdir()] == ['boxes.pkl']
    assert 'coco/bbox_mAP: ' in log_of(tmp_path)


@pytest.mark.parametrize('absolute', [False, True])
@pytest.mark.parametrize('kind', ['segmentor', 'detector'])
def test_show_dir_saves_every_image_and_says_where(kind, absolute, tool, request, tmp_path):
    trained = request.getfixturevalue(kind)
    show_dir = tmp_path / 'there' if absolute else 'pictures'
    arguments = ['--work-dir', str(tmp_path / 'run'), '--show-dir', str(show_dir), '--tta']
    tool.main([str(trained.config), str(trained.checkpoint), *arguments])
    folder = show_dir if absolute else next((tmp_path / 'run').glob('*/pictures'))
    pictures = list(folder.glob('*.png'))
    assert len(pictures) == 4
    assert len({read(path).tobytes() for path in pictures}) == 4
    assert f'4 pictures are in {folder}' in log_of(tmp_path / 'run')


def test_cityscapes_format_writes_label_ids_for_the_test_server(tool, segmentor, tmp_path):
    config, checkpoint = str(segmentor.config), str(segmentor.checkpoint)
    train_ids, submission = tmp_path / 'train_ids', tmp_path / 'submission'
    tool.main([config, checkpoint, '--work-dir', str(tmp_path / 'a'), '--out', str(train_ids)])
    metric = [
        'test_evaluator.type=CityscapesMetric',
        'test_evaluator.format_only=True',
    ]
    # iou_metrics of IoUMetric stays in the config; CityscapesMetric ignores it.
    arguments = [
        '--work-dir',
        str(tmp_path / 'b'),
        '--out',
        str(submission),
        '--cfg-options',
        *metric,
    ]
    tool.main([config, checkpoint, *arguments])
    names = sorted(path.name for path in submission.iterdir())
    assert names == sorted(path.name for path in train_ids.iterdir())
    # What the server's own script looks for: city_sequence_frame at the start.
    assert all(re.match(r'[a-z]+_\d{6}_\d{6}', name) for name in names)
    table = np.array(LABEL_IDS)
    seen = set()
    for name in names:
        np.testing.assert_array_equal(read(submission / name), table[read(train_ids / name)])
        seen |= set(np.unique(read(train_ids / name)))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        ('segmentor', ['--out', 'x.pkl'], 'for segmentation this is a DIRECTORY'),
        ('detector', ['--out', 'folder'], 'for detection this is a pickle FILE'),
        ('segmentor', ['--show', '--show-dir', 'x'], 'does not support both'),
        ('detector', ['--show'], 'there is no display'),
    ],
)
def test_options_that_do_not_fit_the_task(
    kind, arguments, message, tool, request, capsys, monkeypatch
):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    trained = request.getfixturevalue(kind)
    with pytest.raises(SystemExit) as stop:
        tool.main([str(trained.config), str(trained.checkpoint), *arguments])
    assert stop.value.code == 1
    assert message in capsys.readouterr().err


def test_tta_of_a_segmentor_without_a_pipeline_says_what_to_add(
    tool, segmentor, street_scenes, tmp_path, capsys
):
    settings = tiny_project.segmentation(street_scenes)
    del settings['tta_pipeline']
    config = tiny_project.write_config(tmp_path / 'no_tta.py', settings)
    with pytest.raises(SystemExit):
        tool.main([str(config), str(segmentor.checkpoint), '--tta'])
    assert 'the config has no tta_pipeline' in capsys.readouterr().err


def test_weights_of_another_architecture_are_an_error(
    tool, segmentor, relu_segmentor, detector, tmp_path, capsys
):
    def message(config, checkpoint):
        with pytest.raises(SystemExit) as stop:
            tool.main([str(config), str(checkpoint), '--work-dir', str(tmp_path)])
        assert stop.value.code == 1
        return capsys.readouterr().err

    other_task = message(segmentor.config, detector.checkpoint)
    assert str(detector.checkpoint) in other_task
    assert 'of decode_head' in other_task
    assert 'decode_head.conv_seg.weight' in other_task
    windows_unused = message(relu_segmentor.config, segmentor.checkpoint)
    assert 'of backbone unexpected, e.g. backbone.layer1.0.act1.conv.weight' in windows_unused
    windows_missing = message(segmentor.config, relu_segmentor.checkpoint)
    assert 'trained with another activation' in windows_missing


def test_print_config_prints_and_saves_the_merged_config(segmentor, tmp_path, capsys):
    tool = tiny_project.load_tool('misc/print_config.py')
    target = tmp_path / 'new' / 'full.py'
    tool.main(
        [
            str(segmentor.config),
            '--save-path',
            str(target),
            '--cfg-options',
            'model.backbone.depth=34',
        ]
    )
    assert 'depth=34' in capsys.readouterr().out
    assert 'depth=34' in target.read_text()
    assert [path.name for path in target.parent.iterdir()] == ['full.py']


@pytest.mark.parametrize('key', ['visualizer', 'default_hooks', 'default_hooks.visualization'])
@pytest.mark.parametrize('kind', ['segmentation', 'detection'])
def test_show_dir_switches_the_pictures_on_again(kind, key, street_scenes):
    """With None in a config, MMEngine draws nothing."""
    from mmengine.config import Config

    from mm_frelu.engine.test_options import apply_show

    cfg = Config(getattr(tiny_project, kind)(street_scenes))
    cfg.merge_from_dict({key: None})
    apply_show(cfg, show=False, show_dir='pictures', wait_time=0)
    assert cfg.default_hooks.visualization.draw is True
    assert (
        cfg.visualizer.type == ('SegLocal' if kind == 'segmentation' else 'DetLocal') + 'Visualizer'
    )


def test_out_knows_a_metric_with_its_scope(street_scenes, tmp_path):
    from mmengine.config import Config

    from mm_frelu.engine.test_options import apply_out

    cfg = Config(tiny_project.segmentation(street_scenes))
    cfg.test_evaluator.type = 'mmseg.IoUMetric'
    apply_out(cfg, str(tmp_path / 'out'))
    assert cfg.test_evaluator[0].output_dir == str(tmp_path / 'out')


def test_the_folder_of_out_exists_before_a_rank_writes_into_it(street_scenes, tmp_path):
    """IoUMetric creates the folder in rank 0 only, and a faster rank would stop with FileNotFoundError."""
    from mmengine.config import Config

    from mm_frelu.engine.test_options import apply_out

    out = tmp_path / 'new' / 'predictions'
    apply_out(Config(tiny_project.segmentation(street_scenes)), str(out))
    assert out.is_dir()
