"""Street scenes: files, labels and COCO entries, checked with the readers that people use."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_project
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.csHelpers import getCsFileInfo
from cityscapesscripts.helpers.labels import id2label, labels, name2label
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from pycocotools.coco import COCO

from mm_frelu.datasets.street_scenes import draw_scene, generate_street_scenes
from mm_frelu.datasets.street_scenes.generate import PARAMETER_FILE

pytestmark = pytest.mark.xdist_group('street_scenes')  # one process: the fixture is expensive

TRAIN, VAL, SIZE = 24, 3, (256, 128)
CATEGORIES = [
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
    'traffic light',
    'traffic sign',
]
LABEL_KINDS = ('labelIds', 'labelTrainIds', 'instanceIds', 'color')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'streets'
    assert generate_street_scenes(out, train=TRAIN, val=VAL, size=SIZE, seed=3)
    return out


def label_files(root, kind, split='train', suffix='png'):
    return sorted((root / 'gtFine' / split).glob(f'*/*_gtFine_{kind}.{suffix}'))


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file()
    }


def test_layout_and_names_are_those_of_cityscapes(root):
    for split, count in (('train', TRAIN), ('val', VAL)):
        images = sorted((root / 'leftImg8bit' / split).glob('*/*.png'))
        assert len(images) == count
        for path in images:
            name = getCsFileInfo(str(path))  # raises if the name has another form
            assert (name.city, name.type, name.ext) == (path.parent.name, 'leftImg8bit', 'png')
            image = read(path)
            assert image.shape == (SIZE[1], SIZE[0], 3)
            assert image.dtype == np.uint8
            stem = path.name[: -len('_leftImg8bit.png')]
            folder = root / 'gtFine' / split / path.parent.name
            for kind in LABEL_KINDS:
                assert (folder / f'{stem}_gtFine_{kind}.png').is_file()
            assert (folder / f'{stem}_gtFine_polygons.json').is_file()
        assert len(label_files(root, '*', split, '*')) == 5 * count


def test_same_seed_same_bytes(tmp_path):
    for name in 'ab':
        generate_street_scenes(tmp_path / name, train=2, val=1, size=(128, 64), seed=7)
    generate_street_scenes(tmp_path / 'c', train=2, val=1, size=(128, 64), seed=8)
    a, b, c = (contents(tmp_path / name) for name in 'abc')
    assert a == b
    assert all(a[name] != c[name] for name in a if name.endswith('leftImg8bit.png'))


def test_a_scene_depends_on_nothing_but_its_number(root, tmp_path):
    generate_street_scenes(tmp_path / 'few', train=2, val=1, size=SIZE, seed=3)
    few, many = contents(tmp_path / 'few'), contents(root)
    pictures = [name for name in few if name.endswith('.png')]
    assert len(pictures) == 3 * 5
    assert all(few[name] == many[name] for name in pictures)


def test_splits_and_scenes_differ():
    scenes = [draw_scene((64, 32), 0, *key) for key in (('train', 0), ('train', 1), ('val', 0))]
    first, second, other_split = (scene.image for scene in scenes)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other_split)


def test_all_19_classes_appear_often_enough(root):
    shown = np.zeros(19)
    for path in label_files(root, 'labelTrainIds'):
        count = np.bincount(read(path).ravel(), minlength=256)[:19]
        shown += count >= 10
    names = {label.trainId: label.name for label in labels if 0 <= label.trainId < 255}
    rare = {names[i]: int(n) for i, n in enumerate(shown) if n < 0.15 * TRAIN}
    assert not rare


@pytest.mark.parametrize('seed', [0, 1])
def test_all_19_classes_even_in_eight_scenes(seed):
    ids = {
        name2label[region.label].trainId
        for i in range(8)
        for region in draw_scene((64, 32), seed, 'train', i).regions
    }
    assert set(range(19)) <= ids


def test_train_ids_and_colours_follow_the_label_ids(root):
    train_id, colour = np.full(256, 99, np.uint8), np.zeros((256, 3), np.uint8)
    for label in labels:
        if label.id >= 0:
            train_id[label.id], colour[label.id] = label.trainId, label.color
    for ids, trains, colours in zip(
        *(label_files(root, kind) for kind in ('labelIds', 'labelTrainIds', 'color'))
    ):
        ids = read(ids)
        assert ids.dtype == np.uint8
        np.testing.assert_array_equal(read(trains), train_id[ids])
        rgba = read(colours)[..., [2, 1, 0, 3]]
        np.testing.assert_array_equal(rgba[..., :3], colour[ids])
        assert (rgba[..., 3] == 255).all()


def test_instance_ids_hold_label_and_number(root):
    instances, groups = 0, 0
    for ids, numbers in zip(label_files(root, 'labelIds'), label_files(root, 'instanceIds')):
        ids, numbers = read(ids).astype(int), read(numbers)
        assert numbers.dtype == np.uint16
        numbers = numbers.astype(int)
        single = numbers >= 1000
        np.testing.assert_array_equal(np.where(single, numbers // 1000, numbers), ids)
        with_instances = np.isin(ids, [label.id for label in labels if label.hasInstances])
        assert not (single & ~with_instances).any()
        instances += len(np.unique(numbers[single]))
        groups += len(np.unique(numbers[with_instances & ~single]))
    assert instances > 5 * TRAIN
    assert groups > 0


def test_cityscapesscripts_draws_the_same_labels_from_the_polygons(root):
    for path in label_files(root, 'polygons', suffix='json'):
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        assert (annotation.imgWidth, annotation.imgHeight) == SIZE
        assert all(len(item.polygon) >= 3 for item in annotation.objects)
        stem = str(path)[: -len('polygons.json')]
        # Exactly, to the pixel: both draw whole-pixel polygons with Pillow in the same order.
        np.testing.assert_array_equal(
            np.array(createLabelImage(annotation, 'ids')), read(stem + 'labelIds.png')
        )
        np.testing.assert_array_equal(
            np.array(createLabelImage(annotation, 'trainIds')), read(stem + 'labelTrainIds.png')
        )
        np.testing.assert_array_equal(
            np.array(createInstanceImage(annotation, 'ids')), read(stem + 'instanceIds.png')
        )


def test_coco_masks_are_the_visible_pixels(root, capsys):
    coco = COCO(str(root / 'annotations' / 'instances_train.json'))
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == CATEGORIES
    assert coco.getCatIds() == list(range(1, 11))
    compared = 0
    for image in coco.loadImgs(coco.getImgIds()):
        assert (root / 'leftImg8bit' / 'train' / image['file_name']).is_file()
        stem = image['file_name'][: -len('leftImg8bit.png')]
        folder = root / 'gtFine' / 'train'
        ids, numbers = (
            read(folder / f'{stem}gtFine_{kind}.png') for kind in ('labelIds', 'instanceIds')
        )
        covered = np.zeros(ids.shape, int)
        for entry in coco.loadAnns(coco.getAnnIds(image['id'])):
            mask = coco.annToMask(entry).astype(bool)
            covered += mask
            label = name2label[CATEGORIES[entry['category_id'] - 1]]
            assert (ids[mask] == label.id).all()
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert entry['bbox'] == box
            assert entry['area'] == mask.sum()
            if label.hasInstances and not entry['iscrowd']:
                (number,) = np.unique(numbers[mask])
                assert number // 1000 == label.id
                assert entry['area'] == (numbers == number).sum()
                compared += 1
            elif entry['iscrowd']:
                assert (numbers[mask] == label.id).all()
        assert covered.max() <= 1
    assert compared > 4 * TRAIN
    capsys.readouterr()  # what pycocotools prints


def test_every_category_and_crowds_have_coco_entries(root):
    entries = json.loads((root / 'annotations' / 'instances_train.json').read_text())['annotations']
    assert {entry['category_id'] for entry in entries} == set(range(1, 11))
    assert {entry['iscrowd'] for entry in entries} == {0, 1}
    assert len({entry['id'] for entry in entries}) == len(entries)
    large = [entry for entry in entries if min(entry['bbox'][2:]) >= 10]
    assert len(large) > 0.4 * len(entries)


def test_mmseg_reads_the_set_as_cityscapes(root):
    from mmseg import datasets

    dataset = datasets.CityscapesDataset(
        data_root=str(root),
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
    )
    assert len(dataset) == TRAIN
    sample = dataset[0]
    assert sample['img'].shape == (SIZE[1], SIZE[0], 3)
    assert set(np.unique(sample['gt_seg_map'])) <= {*range(19), 255}


def test_mmdet_reads_the_set_as_coco(root):
    from mmdet import datasets

    dataset = datasets.CocoDataset(
        data_root=str(root),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='leftImg8bit/train/'),
        metainfo=dict(classes=tuple(CATEGORIES)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    assert len(dataset) == TRAIN
    for i in range(4):
        sample = dataset[i]
        assert (
            len(sample['gt_bboxes'])
            == len(sample['gt_masks'])
            == len(sample['gt_bboxes_labels'])
            > 0
        )
        assert sample['gt_masks'].areas.min() > 0


@pytest.mark.parametrize('size', [(128, 64), (512, 256), (200, 200)])
def test_the_same_scene_at_any_size(size):
    small, other = draw_scene((256, 128), 5, 'train', 1), draw_scene(size, 5, 'train', 1)
    assert other.image.shape == (size[1], size[0], 3)
    if size[0] == 2 * size[1]:
        small, other = (
            cv2.resize(scene.image, (64, 32), interpolation=cv2.INTER_AREA).astype(float)
            for scene in (small, other)
        )
        assert np.abs(small - other).mean() < 8


def test_a_second_call_leaves_the_set_alone_and_another_seed_replaces_it(tmp_path):
    out = tmp_path / 'streets'
    arguments = dict(train=1, val=1, size=(64, 32))
    assert generate_street_scenes(out, seed=0, **arguments)
    stamp = (out / PARAMETER_FILE).stat().st_mtime_ns
    assert not generate_street_scenes(out, seed=0, **arguments)
    assert (out / PARAMETER_FILE).stat().st_mtime_ns == stamp
    assert generate_street_scenes(out, seed=1, **arguments)
    assert json.loads((out / PARAMETER_FILE).read_text())['seed'] == 1
    assert [path.name for path in tmp_path.iterdir()] == ['streets']


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match=r"expected an empty folder.*'thesis\.tex'"):
        generate_street_scenes(tmp_path, train=1, val=1, size=(64, 32))
    assert (tmp_path / 'thesis.tex').read_text() == 'years of work'


def test_a_real_cityscapes_is_refused(tmp_path):
    (tmp_path / 'leftImg8bit').mkdir()
    with pytest.raises(FileExistsError, match=PARAMETER_FILE):
        generate_street_scenes(tmp_path, train=1, val=1, size=(64, 32))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(train=0), 'train: expected .* 1 or more, found 0'),
        (dict(val=-1), 'val: expected .* found -1'),
        (dict(size=(32, 16)), 'size: expected .* 64x32 pixels, found 32x16'),
        (dict(size=(256,)), 'size: expected width x height'),
        (dict(seed=-1), 'seed: expected 0 or more, found -1'),
    ],
)
def test_arguments_without_sense_say_so_and_write_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_street_scenes(tmp_path / 'out', **{**dict(train=1, val=1), **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('existing', [False, True])
def test_nothing_half_written_when_drawing_stops(tmp_path, existing):
    out = tmp_path / 'streets'
    if existing:
        generate_street_scenes(out, train=1, val=1, size=(64, 32), seed=0)
    before = contents(tmp_path)

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_street_scenes(out, train=3, val=1, size=(64, 32), seed=1, on_scene=interrupt)
    assert contents(tmp_path) == before


@pytest.mark.parametrize('place', ['current', 'link'])
def test_the_current_folder_and_links_stay_what_they_are(place, tmp_path, monkeypatch):
    """Like for a mounted disk, the folder itself cannot be replaced, only its content."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    (disk / '.gitignore').write_text('*')
    out = Path('.')
    if place == 'link':
        out = tmp_path / 'link'
        out.symlink_to(disk)
    monkeypatch.chdir(disk)
    inode = disk.stat().st_ino
    for seed in (0, 1):
        assert generate_street_scenes(out, train=1, val=1, size=(64, 32), seed=seed)
        assert json.loads((disk / PARAMETER_FILE).read_text())['seed'] == seed
        found = sorted(path.name for path in disk.iterdir())
        assert found == ['.gitignore', 'annotations', 'gtFine', 'leftImg8bit', PARAMETER_FILE]
    assert disk.stat().st_ino == inode


def test_command_line(tmp_path, monkeypatch, capfd):
    tool = tiny_project.load_tool('dataset_converters/street_scenes.py')

    def call(*options):
        monkeypatch.setattr(sys, 'argv', ['street_scenes.py', str(out), *options])
        tool.main()

    out = tmp_path / 'streets'
    call('--train', '2', '--val', '1', '--size', '128x64', '--seed', '4')
    printed = capfd.readouterr().out
    assert 'Wrote 2 + 1 street scenes of 128 x 64 pixels (seed 4)' in printed
    assert str(out) in printed
    assert len(label_files(out, 'labelIds')) == 2
    with pytest.raises(SystemExit) as ended:
        call('--size', 'big')
    assert ended.value.code == 2
    assert "expected WIDTHxHEIGHT such as 512x256, found 'big'" in capfd.readouterr().err
    (tmp_path / 'file').write_text('')
    out = tmp_path / 'file' / 'streets'
    with pytest.raises(SystemExit) as ended:
        call('--train', '1', '--val', '1', '--size', '64x32')
    assert ended.value.code == 1
    assert f'error: the scenes cannot be written to {out}' in capfd.readouterr().err


def test_label_ids_are_known(root):
    for path in label_files(root, 'labelIds', 'val'):
        assert all(int(value) in id2label for value in np.unique(read(path)))
