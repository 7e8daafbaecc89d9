"""Label maps that do not fit the config are reported before training."""

import numpy as np
import pytest
import tiny_project
from mmengine.config import Config
from PIL import Image

from mm_frelu.datasets import check_datasets
from mm_frelu.datasets.transforms import CheckLabelIds
from mm_frelu.engine import UserError

TRAIN = ('train_dataloader',)


@pytest.fixture
def cfg(data):
    return Config(tiny_project.segmentation(data))


def labels(data, split='train'):
    return sorted((data / 'gtFine' / split).rglob('*_gtFine_labelTrainIds.png'))


def edit(data, change, split='train'):
    for file in labels(data, split):
        result = change(np.array(Image.open(file)))
        (result if isinstance(result, Image.Image) else Image.fromarray(result)).save(file)


def message(cfg, loaders=TRAIN):
    with pytest.raises(UserError) as error:
        check_datasets(cfg, loaders)
    return str(error.value)


def own_classes(cfg, data, names, **dataset):
    """Use another dataset class, with custom classes."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].dataset.update(
            type='BaseSegDataset',
            img_suffix='_leftImg8bit.png',
            seg_map_suffix='_gtFine_labelTrainIds.png',
            metainfo=dict(classes=names),
            **dataset,
        )
        cfg[loader].dataset.pipeline[2].num_classes = len(names)
    cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = len(names)
    return cfg


def test_one_line_says_what_was_found_and_expected(cfg, data, said):
    found = sorted(set(np.concatenate([np.unique(Image.open(f)) for f in labels(data)]).tolist()))
    check_datasets(cfg, TRAIN)
    taken, read = said
    assert taken == 'train_dataloader.dataset: 6 images with labels used.'
    assert read.startswith('train_dataloader.dataset: 6 of 6 label files were read: values ')
    assert found[-1] == 255
    assert '255' in read
    expected = 'expects 0 to 18, or 255 (not labelled: model.decode_head.ignore_index).'
    assert read.endswith(expected)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_several_channels(cfg, data, mode):
    edit(data, lambda ids: Image.fromarray(ids).convert(mode))
    text = message(cfg)
    assert text.startswith(f'train_dataloader.dataset: {labels(data)[0]} is a colour image')
    assert 'expected one channel of class ids' in text
    assert 'whose pixels are all grey' in text
    assert 'getchannel(0).save(path)' in text


def test_colours(cfg, data):
    edit(data, lambda ids: np.stack([ids, 255 - ids, ids], axis=2))
    assert '(RGB); expected one channel of class ids. For CityScapes' in message(cfg)


def test_sixteen_bits_of_class_and_instance(cfg, data):
    edit(data, lambda ids: ids.astype(np.uint16) * 256 + 3)
    text = message(cfg)
    assert f'{labels(data)[0]} has values from ' in text
    assert 'mmseg keeps only the lowest 8 bits' in text
    assert 'becomes 3.' in text


def test_sixteen_bits_of_class_numbers_are_in_order(cfg, data, said):
    edit(data, lambda ids: ids.astype(np.uint16))
    check_datasets(cfg, TRAIN)
    assert 'expects 0 to 18' in said[-1]


def test_the_transform_refuses_the_same_files_in_training(data):
    edit(data, lambda ids: ids.astype(np.uint16) * 256 + 3)
    file = labels(data)[0]
    ids = (np.array(Image.open(file)) % 256).astype(np.uint8)
    with pytest.raises(UserError, match=r'^seg_map_path .* has values from'):
        CheckLabelIds(19).transform(dict(gt_seg_map=ids, seg_map_path=str(file)))


def test_a_mask_of_0_and_255_trains_on_nothing(cfg, data, said):
    edit(data, lambda ids: np.where(ids == 0, 0, 255).astype(np.uint8))
    own_classes(cfg, data, ('ground', 'thing'))
    text = message(cfg)
    assert "they have the class 'ground' and unlabelled pixels" in text
    assert '(values 0, 255, ' in text
    assert 'write 1 instead of 255 for that class' in text
    # A test set may have one class: that is a warning only.
    edit(data, lambda ids: np.where(ids == 0, 0, 255).astype(np.uint8), 'val')
    check_datasets(cfg, ('val_dataloader',))
    assert any('write 1 instead of 255 for that class' in line for line in said)


def test_a_rare_class_outside_of_the_sample_is_found(cfg, data, said, monkeypatch):
    monkeypatch.setattr('mm_frelu.datasets.check_label_maps.NUMBER', 2)
    edit(data, lambda ids: np.where(ids == 0, 0, 255).astype(np.uint8))
    own_classes(cfg, data, ('ground', 'thing'))
    assert 'train_dataloader.dataset: 6 of 6 label files were read, and they have' in message(cfg)
    rare = np.array(Image.open(labels(data)[1]))
    rare[0, 0] = 1
    Image.fromarray(rare).save(labels(data)[1])
    check_datasets(cfg, TRAIN)
    assert "2 of 6 label files were read, and they have the class 'ground'" in said[-1]
    assert 'masks of 0 and 255' not in said[-1]


def test_a_palette_that_opencv_would_read_as_colours(cfg, data):
    def with_palette(ids):
        image = Image.fromarray(ids)
        image.putpalette(list(range(256)) * 3)
        return image

    edit(data, with_palette)
    check_datasets(cfg, TRAIN)
    cfg.train_dataloader.dataset.pipeline[1].imdecode_backend = 'cv2'
    assert 'is read as 3 channels by ' in message(cfg)


def test_labels_of_one_class_are_a_warning(cfg, data, said):
    edit(data, np.zeros_like)
    check_datasets(cfg, TRAIN)
    assert "have the class 'road' and nothing else (values 0, " in said[-1]
    assert 'but there are 19 classes' in said[-1]


def test_a_check_that_counts_the_classes_of_another_dataset(cfg, data):
    edit(data, lambda ids: np.where(ids == 255, 255, ids % 3).astype(np.uint8))
    own_classes(cfg, data, ('floor', 'wall', 'thing'))
    cfg.train_dataloader.dataset.pipeline[2].num_classes = 19
    assert 'CheckLabelIds has num_classes=19, but the dataset has 3 classes' in message(cfg)
    cfg.train_dataloader.dataset.pipeline[2].num_classes = 2
    assert 'CheckLabelIds has num_classes=2, but the dataset has 3 classes' in message(cfg)


def test_a_check_inside_of_test_time_augmentation(cfg, data):
    own_classes(cfg, data, ('floor', 'wall', 'thing'))
    dataset = cfg.val_dataloader.dataset
    load, labels_step, check, pack = dataset.pipeline
    check['num_classes'] = 19
    transforms = [[labels_step], [check], [pack]]
    dataset.pipeline = [load, dict(type='TestTimeAug', transforms=transforms)]
    assert 'CheckLabelIds has num_classes=19' in message(cfg, ('val_dataloader',))


def test_values_that_are_no_class_without_a_check_in_the_pipeline(cfg, data):
    edit(data, lambda ids: np.where(ids == 255, 255, ids % 3).astype(np.uint8))
    own_classes(cfg, data, ('floor', 'wall', 'thing'))
    del cfg.train_dataloader.dataset.pipeline[2]
    file = labels(data)[0]
    Image.fromarray(np.full((64, 128), 7, np.uint8)).save(file)
    text = message(cfg)
    assert f'{file} has the values 7, which are not classes; expected 0 to 2, or 255' in text


def test_ids_that_count_from_one(cfg, data):
    edit(data, lambda ids: np.where(ids == 255, 0, ids % 3 + 1).astype(np.uint8))
    own_classes(cfg, data, ('floor', 'wall', 'thing'))
    assert 'set reduce_zero_label=True' in message(cfg)
    for loader in TRAIN:
        cfg[loader].dataset.reduce_zero_label = True
    check_datasets(cfg, TRAIN)


def test_a_subset_of_the_classes_is_in_order(cfg, data, said):
    for dataset in (cfg.train_dataloader.dataset, cfg.val_dataloader.dataset):
        dataset.metainfo = dict(classes=('sky', 'road'))
    cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = 2
    check_datasets(cfg, TRAIN)  # CheckLabelIds(19) stays: no other id is left
    assert (
        'values 0, 1, 255 after reduce_zero_label and label_map; the config expects 0 to 1'
        in (said[-1])
    )


def test_classes_that_the_dataset_class_does_not_know(cfg):
    cfg.train_dataloader.dataset.metainfo = dict(classes=('floor', 'wall'))
    text = message(cfg)
    assert (
        "CityscapesDataset has fixed classes (road, sidewalk, building, ...), and 'floor'" in text
    )
    assert "type='BaseSegDataset'" in text


def test_more_classes_than_eight_bits(cfg, data):
    own_classes(cfg, data, tuple(f'class {index}' for index in range(300)))
    assert '300 classes, but mmseg reads label maps as 8 bits' in message(cfg)


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_another_label_that_is_left_out(cfg, data, said, loader):
    split = loader.split('_')[0]
    edit(data, lambda ids: np.where(ids == 255, 250, ids).astype(np.uint8), split)
    text = message(cfg, (loader,))
    assert 'has the values 250, which are not classes; expected 0 to 18, or 255' in text
    cfg.model.decode_head.ignore_index = cfg.model.auxiliary_head.ignore_index = 250
    cfg.val_evaluator.ignore_index = 250
    cfg.model.data_preprocessor.seg_pad_val = 250
    cfg[loader].dataset.pipeline[2].ignore_index = 250
    said.clear()
    check_datasets(cfg, (loader,))
    assert len(said) == 2
    assert 'or 250 (not labelled: ' in said[1]


def test_places_that_disagree_about_the_label_that_is_left_out(cfg, said):
    cfg.model.auxiliary_head.ignore_index = 250
    cfg.model.data_preprocessor.seg_pad_val = 0
    cfg.train_dataloader.dataset.pipeline[2].ignore_index = 11
    check_datasets(cfg, TRAIN)
    text = '\n'.join(said)
    assert (
        'model.data_preprocessor.seg_pad_val is 0, but model.decode_head.ignore_index is 255'
        in text
    )
    assert (
        'model.auxiliary_head.ignore_index is 250, but model.decode_head.ignore_index is 255'
        in text
    )
    assert 'CheckLabelIds has ignore_index=11, but model.decode_head.ignore_index is 255' in text


def test_files_that_are_no_label_maps(cfg, data):
    labels(data)[0].write_bytes(b'\x89PNG\r\n\x1a\nhalf')
    assert f'{labels(data)[0]} cannot be read as a label map' in message(cfg)


def test_images_that_the_suffix_leaves_out(cfg, data, said):
    folder = data / 'leftImg8bit/train'
    images = sorted(folder.rglob('*_leftImg8bit.png'))
    images[0].rename(images[0].with_suffix('.PNG'))
    Image.open(images[1]).save(images[1].with_suffix('.jpg'))
    images[1].unlink()
    (folder / 'notes.txt').write_text('')
    check_datasets(cfg, TRAIN)
    (line,) = [text for text in said if 'images with labels used' in text]
    assert line.startswith('train_dataloader.dataset: 4 images with labels used (left out: ')
    assert '1 *.PNG' in line
    assert '1 *.jpg' in line
    assert "img_suffix is '_leftImg8bit.png'" in line


def test_label_maps_among_the_images_are_no_images(cfg, data, said):
    for file in labels(data):
        target = data / 'leftImg8bit/train' / file.relative_to(data / 'gtFine/train')
        file.rename(target)
    cfg.train_dataloader.dataset.data_prefix.seg_map_path = 'leftImg8bit/train'
    check_datasets(cfg, TRAIN)
    assert said[0] == 'train_dataloader.dataset: 6 images with labels used.'


def test_types_that_are_classes(cfg, data, said):
    """Configs in pure Python style have classes as types."""
    from mmcv.transforms import LoadImageFromFile
    from mmseg.datasets import LoadAnnotations, PackSegInputs

    steps = [dict(type=LoadImageFromFile), dict(type=LoadAnnotations)]
    steps += [dict(type=CheckLabelIds, num_classes=19), dict(type=PackSegInputs)]
    cfg.train_dataloader.dataset.pipeline = steps
    check_datasets(cfg, TRAIN)
    assert '6 of 6 label files were read' in said[-1]
    del cfg.train_dataloader.dataset.pipeline[1]
    assert 'pipeline loads no labels (LoadImageFromFile, CheckLabelIds, Pack' in message(cfg)
