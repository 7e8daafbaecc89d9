"""The folder of PNG files of a test, read beside the labels."""

import numpy as np
import pytest
from PIL import Image
from results_of import label_files, segmentation_config, write_predictions

from mm_frelu.engine.errors import UserError
from mm_frelu.results.segmentation_results import load_segmentation_results
from mm_frelu.visualization.differences import count_pairs


def counts_of(results):
    number = len(results.classes)
    return sum(count_pairs(*results.read(entry), number, 255) for entry in results.images)


def test_counts_equal_those_of_a_loop_over_pixels(street_scenes, tmp_path):
    folder = write_predictions(
        street_scenes, tmp_path / 'out', lambda label: np.roll(label, 3, axis=1)
    )
    results = load_segmentation_results(
        segmentation_config(street_scenes, tmp_path), 'seg.py', str(folder)
    )
    expected = np.zeros((19, 19), int)
    for file in label_files(street_scenes):
        label = np.array(Image.open(file))
        predicted = np.array(
            Image.open(folder / file.name.replace('_gtFine_labelTrainIds', '_leftImg8bit'))
        )
        for true, found in zip(label.ravel().tolist(), predicted.ravel().tolist()):
            if true != 255:
                expected[true][found] += 1
    np.testing.assert_array_equal(counts_of(results), expected)
    # With 19 * 13 in 8 bits, as mmseg's own tool counts, cars (13) would be on another row.
    assert np.diag(expected)[13] > 0


def test_label_ids_that_cityscapes_metric_writes(street_scenes, tmp_path):
    from cityscapesscripts.helpers.labels import trainId2label

    table = np.array([trainId2label[number].id for number in range(19)])
    folder = write_predictions(street_scenes, tmp_path / 'out', lambda label: table[label])
    metric = dict(type='CityscapesMetric', output_dir=str(tmp_path / 'x'))
    cfg = segmentation_config(street_scenes, tmp_path, test_evaluator=metric)
    counts = counts_of(load_segmentation_results(cfg, 'seg.py', str(folder)))
    assert counts.sum() == np.trace(counts) > 0


def test_classes_from_1_of_reduce_zero_label(street_scenes, tmp_path):
    """As IoUMetric writes them for ADE20K: labels lose 1 when they are read, predictions are written with 1 added."""
    cfg = segmentation_config(street_scenes, tmp_path)
    dataset = cfg.test_dataloader.dataset
    dataset.update(
        type='BaseSegDataset',
        metainfo=dict(classes=[str(i) for i in range(18)]),
        reduce_zero_label=True,
    )
    dataset.update(img_suffix='_leftImg8bit.png', seg_map_suffix='_gtFine_labelTrainIds.png')
    for step in dataset.pipeline:
        step.update(dict(reduce_zero_label=True) if step.type == 'LoadAnnotations' else {})
        step.update(dict(num_classes=18) if 'CheckLabelIds' in step.type else {})
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.num_classes = 18
    # Class k of the labels is class k - 1, in the file k; class 0 is not labelled, whatever is predicted there.
    folder = write_predictions(street_scenes, tmp_path / 'out', lambda label: np.maximum(label, 1))
    counts = counts_of(load_segmentation_results(cfg, 'seg.py', str(folder)))
    assert counts.sum() == np.trace(counts) > 0


def test_files_that_do_not_belong(street_scenes, tmp_path):
    cfg = segmentation_config(street_scenes, tmp_path)
    folder = write_predictions(street_scenes, tmp_path / 'out')
    first = sorted(folder.iterdir())[0]

    def read():
        counts_of(load_segmentation_results(cfg, 'seg.py', str(folder)))

    def message(match):
        with pytest.raises(UserError, match=match):
            read()

    Image.fromarray(np.full((64, 128), 77, np.uint8)).save(first)
    message('has the value 77, which is not one of the 19 classes')
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(first)
    message('is 128x64, its image 64x32')
    Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(first)
    message('is a colour image')
    first.write_bytes(b'no picture')
    message('cannot be read')
    first.rename(folder / 'other.png')
    message(
        'lacks the predictions for 1 of 4 images.*but has other.png, which is not of this test set',
    )
    with pytest.raises(
        UserError, match='there is no such folder. Predictions of a segmentor are in a folder'
    ):
        load_segmentation_results(cfg, 'seg.py', str(tmp_path / 'absent'))
