"""The drawn ground truth equals the evaluated one, and the drawn image is the one that is predicted on."""

import shutil

import numpy as np
import pytest
import tiny_project
import torch
from mmengine.config import Config
from PIL import Image

from mm_frelu.visualization import image_scores
from mm_frelu.visualization.image_files import as_picture, files_below, find_images, read_image

CITYSCAPES_SKY = (70, 130, 180)


@pytest.fixture
def data(street_scenes, tmp_path):
    return shutil.copytree(street_scenes, tmp_path / 'data')


@pytest.fixture
def tool(monkeypatch):
    """The tool, and what it draws: images, predictions, ground truth and settings by picture."""
    module = tiny_project.load_tool('visualize_segmentation.py')
    drawn = []
    draw = module.draw_comparison

    def record(image, predictions, labels, **settings):
        drawn.append((image, predictions, labels, settings))
        return draw(image, predictions, labels, **settings)

    monkeypatch.setattr(module, 'draw_comparison', record)
    module.drawn = drawn
    return module


def edit_labels(data, change):
    for file in sorted((data / 'gtFine').rglob('*_gtFine_labelTrainIds.png')):
        Image.fromarray(change(np.array(Image.open(file)))).save(file)


def save_model(folder, settings, meta=None):
    """A config and random weights for it."""
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    config = tiny_project.write_config(folder / 'config.py', settings)
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = model.state_dict()
    torch.save(dict(state_dict=weights, meta=meta) if meta else weights, folder / 'model.pth')
    return ['--model', 'A', str(config), str(folder / 'model.pth')]


def subset(settings, classes):
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        settings[loader]['dataset']['metainfo'] = dict(classes=classes)
    for head in ('decode_head', 'auxiliary_head'):
        settings['model'][head]['num_classes'] = len(classes)
    return settings


def evaluated(settings):
    """The labels that mmseg's dataset passes to the metric for each test image, and the metric's scores of a prediction."""
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(Config(settings).test_dataloader.dataset)
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    return dataset, [sample.gt_sem_seg.data.numpy()[0] for sample in samples]


def metric_scores(prediction, labels, num_classes, ignore_index):
    from mmseg.evaluation import IoUMetric

    areas = IoUMetric.intersect_and_union(
        torch.as_tensor(prediction), torch.as_tensor(labels), num_classes, ignore_index
    )
    metrics = IoUMetric.total_area_to_metrics(*areas, ['mIoU'])
    return np.nanmean(metrics['IoU']), metrics['aAcc']


def draw(tool, data, model, out, *more):
    images, labels = data / 'leftImg8bit/val', data / 'gtFine/val'
    paths = ['--images', str(images), '--gt', str(labels), '--out', str(out), '--device', 'cpu']
    tool.main([*paths, *model, *more])
    return tool.drawn


def check_against_evaluation(drawn, settings, ignore_index=255):
    dataset, expected = evaluated(settings)
    num_classes = len(dataset.metainfo['classes'])
    assert len(drawn) == len(expected) == 4
    for (_, predictions, labels, options), truth in zip(drawn, expected):
        np.testing.assert_array_equal(labels, truth)
        assert options['ignore_index'] == ignore_index
        assert tuple(options['classes']) == tuple(dataset.metainfo['classes'])
        scores = image_scores(predictions['A'], labels, num_classes, ignore_index)
        expected_scores = metric_scores(predictions['A'], truth, num_classes, ignore_index)
        np.testing.assert_allclose(scores[:2], expected_scores, atol=1e-6)


def test_a_subset_of_the_classes_with_bare_weights(tool, data, tmp_path):
    settings = subset(tiny_project.segmentation(data), ('sky', 'road'))
    drawn = draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    check_against_evaluation(drawn, settings)
    assert {0, 1, 255} == set(np.unique(np.stack([labels for _, _, labels, _ in drawn])))
    palette = drawn[0][3]['palette']
    assert tuple(palette[0]) == CITYSCAPES_SKY
    # The file says 10 for sky.
    file = next((data / 'gtFine/val').rglob('*_gtFine_labelTrainIds.png'))
    assert (np.array(Image.open(file)) == 10).any()


def test_another_ignore_index(tool, data, tmp_path):
    edit_labels(data, lambda ids: np.where(ids == 255, 250, ids).astype(np.uint8))
    settings = tiny_project.segmentation(data)
    for loader in ('val_dataloader', 'test_dataloader'):
        settings[loader]['dataset']['ignore_index'] = 250
        settings[loader]['dataset']['pipeline'] = [
            dict(step, **(dict(ignore_index=250) if 'CheckLabelIds' in step['type'] else {}))
            for step in settings[loader]['dataset']['pipeline']
        ]
    settings['test_evaluator'] = dict(type='IoUMetric', ignore_index=250)
    drawn = draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    check_against_evaluation(drawn, settings, ignore_index=250)
    assert any((labels == 250).any() for _, _, labels, _ in drawn)


def test_labels_that_count_from_one(tool, data, tmp_path):
    edit_labels(data, lambda ids: np.where(ids == 255, 0, ids + 1).astype(np.uint8))
    settings = tiny_project.segmentation(data)
    for loader in ('val_dataloader', 'test_dataloader'):
        # CityscapesDataset takes it as an argument; ADE20KDataset has it in its code.
        settings[loader]['dataset']['reduce_zero_label'] = True
    drawn = draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    check_against_evaluation(drawn, settings)


def test_four_channels(tool, data, tmp_path):
    for file in (data / 'leftImg8bit').rglob('*.png'):
        image = Image.open(file).convert('RGB')
        image.putalpha(image.convert('L'))
        image.save(file)
    settings = tiny_project.segmentation(data)
    settings['model']['backbone']['in_channels'] = 4
    settings['model']['data_preprocessor'].update(mean=None, std=None, bgr_to_rgb=False)
    load = dict(type='LoadImageFromFile', color_type='unchanged')
    for loader in ('val_dataloader', 'test_dataloader'):
        settings[loader]['dataset']['pipeline'] = [
            load,
            *settings[loader]['dataset']['pipeline'][1:],
        ]
    drawn = draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    check_against_evaluation(drawn, settings)
    files = sorted((data / 'leftImg8bit/val').rglob('*.png'))
    for (image, *_), file in zip(drawn, files):
        np.testing.assert_array_equal(image, np.array(Image.open(file).convert('RGB')))


def test_a_model_of_three_channels_is_not_given_four(tool, data, tmp_path, capsys):
    for file in (data / 'leftImg8bit').rglob('*.png'):
        Image.open(file).convert('RGBA').save(file)
    settings = tiny_project.segmentation(data)
    pipeline = settings['test_dataloader']['dataset']['pipeline']
    pipeline[0] = dict(type='LoadImageFromFile', color_type='unchanged')
    with pytest.raises(SystemExit):
        draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    text = capsys.readouterr().err
    assert 'the model A does not support images of 4 channels' in text
    assert '_leftImg8bit.png' in text


def test_weights_of_other_classes_than_the_test_set(tool, data, tmp_path, capsys):
    settings = subset(tiny_project.segmentation(data), ('sky', 'road'))
    meta = dict(dataset_meta=dict(classes=('road', 'sky'), palette=[(1, 2, 3), (4, 5, 6)]))
    with pytest.raises(SystemExit):
        draw(tool, data, save_model(tmp_path, settings, meta), tmp_path / 'out')
    assert 'has the classes sky, road, but the weights were trained on road, sky' in (
        capsys.readouterr().err
    )


def test_two_models_that_read_labels_differently(tool, data, tmp_path, capsys):
    settings = tiny_project.segmentation(data)
    first = save_model(tmp_path, settings)
    settings['test_evaluator'] = dict(type='IoUMetric', ignore_index=0)
    (tmp_path / 'b').mkdir()
    second = ['--model', 'B', *save_model(tmp_path / 'b', settings)[2:]]
    with pytest.raises(SystemExit):
        draw(tool, data, [*first, *second], tmp_path / 'out')
    text = capsys.readouterr().err
    assert 'the test sets of A and B read labels differently: ignore_index is 255 and 0' in text


def test_images_and_labels_in_folders_that_are_links(tool, data, tmp_path):
    for kind in ('leftImg8bit', 'gtFine'):
        for town in sorted((data / kind / 'val').iterdir()):
            moved = tmp_path / 'disk' / kind / town.name
            moved.parent.mkdir(parents=True, exist_ok=True)
            town.rename(moved)
            town.symlink_to(moved)
    settings = tiny_project.segmentation(data)
    drawn = draw(tool, data, save_model(tmp_path, settings), tmp_path / 'out')
    check_against_evaluation(drawn, settings)


def test_a_link_back_does_not_search_for_ever(tmp_path):
    (tmp_path / 'a').mkdir()
    Image.new('RGB', (2, 2)).save(tmp_path / 'a' / 'x.png')
    (tmp_path / 'a' / 'up').symlink_to(tmp_path)
    (tmp_path / 'again').symlink_to(tmp_path / 'a')
    names = [str(file.relative_to(tmp_path)) for file in files_below(tmp_path)]
    assert names == ['a/x.png', 'again/x.png']
    assert [str(image.relative) for image in find_images([str(tmp_path)])] == names


@pytest.mark.parametrize(
    ('array', 'pixel'),
    [
        (np.array([[7]], np.uint8), [7, 7, 7]),
        (np.array([[[1, 2, 3]]], np.uint8), [3, 2, 1]),
        (np.array([[[1, 2, 3, 4, 5]]], np.uint8), [3, 2, 1]),
        (np.array([[[1, 2]]], np.uint8), [1, 1, 1]),
        (np.array([[[0, 0, 65535]]], np.uint16), [255, 0, 0]),
        (np.array([[[0.0, 0.5, 1.0]]], np.float32), [255, 128, 0]),
        (np.array([[[0.0, 10.0, 200.0]]], np.float32), [200, 10, 0]),
    ],
)
def test_any_image_becomes_a_picture(array, pixel):
    picture = as_picture(array)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == pixel


def test_the_settings_of_the_loader_are_used(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new('RGB', (8, 4)).save(tmp_path / 'x.jpg', exif=exif)
    assert read_image(tmp_path / 'x.jpg').shape == (8, 4, 3)
    as_stored = dict(type='LoadImageFromFile', color_type='color_ignore_orientation')
    assert read_image(tmp_path / 'x.jpg', as_stored).shape == (4, 8, 3)
