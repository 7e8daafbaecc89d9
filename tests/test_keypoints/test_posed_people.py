"""Generated people have plausible joints, hidden keypoints are marked, and pycocotools reads the files."""

import json
import resource
import sys

import cv2
import numpy as np
import pytest
import tiny_project
from pycocotools.coco import COCO

from mm_frelu.datasets.posed_people import draw_picture, generate_posed_people
from mm_frelu.datasets.posed_people.figure import dress, parts_that_show
from mm_frelu.datasets.posed_people.generate import coco_entry
from mm_frelu.datasets.posed_people.picture import Person
from mm_frelu.datasets.posed_people.skeleton import KEYPOINTS, SKELETON, Limb, Pose, joints
from mm_frelu.datasets.street_scenes.light import Light

# Copied from COCO's person_keypoints_val2017.json.
COCO_NAMES = [
    'nose',
    'left_eye',
    'right_eye',
    'left_ear',
    'right_ear',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hip',
    'right_hip',
    'left_knee',
    'right_knee',
    'left_ankle',
    'right_ankle',
]


def standing(heading=0.0, **changes):
    hanging, straight = Limb(0.0, 0.1, 0.0), Limb(0.0, 0.0, 0.0)
    settings = dict(
        lean=0.0, sway=0.0, arms=(hanging, hanging), legs=(straight, straight), **changes
    )
    return joints(Pose(heading, **settings), 1.75, np.zeros(3))


def test_names_are_those_of_coco():
    assert list(KEYPOINTS) == COCO_NAMES
    assert len(SKELETON) == 19


def test_left_side_is_on_the_right_if_a_person_faces_the_camera():
    front, back = standing(0.0), standing(np.pi)
    for part in ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle'):
        assert front[f'left_{part}'][0] > front[f'right_{part}'][0]
        assert back[f'left_{part}'][0] < back[f'right_{part}'][0]
    # z is smaller nearer to the camera.
    assert front['nose'][2] < front['left_ear'][2]
    assert back['nose'][2] > back['left_ear'][2]
    # If the person faces right, the right side of the body is nearer.
    side = standing(np.pi / 2)
    assert side['nose'][0] > side['head'][0]
    assert side['right_shoulder'][2] < side['left_shoulder'][2]


def test_a_body_stands_on_the_ground_and_has_the_given_height():
    body = standing()
    assert 0 < min(body['left_ankle'][1], body['right_ankle'][1]) < 0.1
    assert 1.55 < body['left_eye'][1] < 1.75
    assert body['nose'][1] > body['left_shoulder'][1] > body['left_hip'][1] > body['left_knee'][1]


@pytest.mark.parametrize('seed', range(20))
def test_bones_keep_their_lengths_in_every_pose(seed):
    rng = np.random.default_rng(seed)
    height = rng.uniform(1.3, 1.9)
    body = joints(Pose.sample(rng), height, np.array([0.3, 0.0, 4.0]))
    rest = joints(Pose.sample(np.random.default_rng(seed + 99)), 1.75, np.zeros(3))
    for side in ('left', 'right'):
        for a, b in (('shoulder', 'elbow'), ('elbow', 'wrist'), ('hip', 'knee'), ('knee', 'ankle')):
            length, known = (
                np.linalg.norm(points[f'{side}_{a}'] - points[f'{side}_{b}'])
                for points in (body, rest)
            )
            assert length / height == pytest.approx(known / 1.75)


def order(body):
    parts = dress(np.random.default_rng(0), Light.sample(np.random.default_rng(0)), body, 1.75)
    return {part.name: index for index, part in enumerate(parts)}


def test_hair_hides_the_face_from_behind_and_the_trunk_hides_the_far_arm():
    front, back, side = (order(standing(heading)) for heading in (0.0, np.pi, np.pi / 2))
    assert front['hair'] < front['head'] < front['left_eye'] < front['nose']
    assert back['nose'] < back['head'] < back['hair']
    assert side['left_upper_arm'] < side['trunk'] < side['right_upper_arm']
    assert front['trunk'] < front['buttons']
    assert back['buttons'] < back['trunk']


def test_every_keypoint_lies_on_a_part():
    parts = set(order(standing()))
    for name in KEYPOINTS:
        shown = parts_that_show(name)
        assert shown
        assert set(shown) <= parts
    assert parts_that_show('left_elbow') == ('left_upper_arm', 'left_forearm')


def test_visible_keypoints_lie_on_their_person_and_the_others_are_marked():
    seen = hidden = outside = 0
    for index in range(8):
        picture = draw_picture((160, 128), 0, 'val', index)
        assert picture.image.shape == (128, 160, 3)
        assert picture.image.dtype == np.uint8
        masks = np.stack([person.mask for person in picture.people])
        assert masks.sum(0).max() <= 1  # no pixel belongs to two people
        for person in picture.people:
            for x, y, visible in person.keypoints:
                if visible == 2:
                    assert person.mask[int(y), int(x)]
                if visible == 0:
                    assert x == y == 0
                assert 0 <= x < 160
                assert 0 <= y < 128
            counts = np.bincount(person.keypoints[:, 2].astype(int), minlength=3)
            outside, hidden, seen = outside + counts[0], hidden + counts[1], seen + counts[2]
    assert seen > hidden > 0
    assert outside > 0


def test_an_image_depends_only_on_its_arguments():
    first, again = (draw_picture((96, 96), 3, 'train', 5) for _ in range(2))
    other = draw_picture((96, 96), 3, 'val', 5)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.people[0].keypoints, again.people[0].keypoints)
    assert not np.array_equal(first.image, other.image)


def test_pycocotools_reads_the_files(people_folder):
    ids = set()
    for split, number in (('train', 6), ('val', 3)):
        coco = COCO(people_folder / 'annotations' / f'person_keypoints_{split}.json')
        (category,) = coco.loadCats(coco.getCatIds())
        assert category['name'] == 'person'
        assert category['keypoints'] == COCO_NAMES
        assert len(coco.imgs) == number
        for image in coco.imgs.values():
            picture = cv2.imread(str(people_folder / split / image['file_name']))
            assert picture.shape[:2] == (image['height'], image['width'])
        for entry in coco.anns.values():
            ids.add((split, entry['id']))
            points = np.reshape(entry['keypoints'], (17, 3))
            assert entry['num_keypoints'] == (points[:, 2] > 0).sum()
            mask = coco.annToMask(entry)
            assert mask.sum() == entry['area']
            x, y, width, height = entry['bbox']
            assert mask[y : y + height, x : x + width].sum() == entry['area']
            assert mask[y].any()
            assert mask[:, x].any()
    assert len(ids) >= 9


def test_a_mostly_hidden_person_has_no_keypoints():
    mask = np.zeros((100, 100), bool)
    mask[10:60, 20:40] = True
    keypoints = np.tile([25.0, 30.0, 1.0], (17, 1))
    keypoints[:4, 2] = 2
    entry = coco_entry(Person(keypoints, mask))
    assert entry['bbox'] == [20, 10, 20, 50]
    assert entry['area'] == 1000
    assert entry['num_keypoints'] == 0
    assert entry['keypoints'] == [0] * 51
    keypoints[4, 2] = 2
    assert coco_entry(Person(keypoints, mask))['num_keypoints'] == 17
    mask[:] = False
    mask[0, :39] = True
    assert coco_entry(Person(keypoints, mask)) is None


def test_command_line(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'people'
    options = [str(out), '--train', '1', '--val', '1', '--size', '96x96']
    monkeypatch.setattr(sys, 'argv', ['posed_people.py', *options])
    tool = tiny_project.load_tool('dataset_converters/posed_people.py')
    tool.main()
    assert (
        'Wrote 1 + 1 images of posed people of 96 x 96 pixels (seed 0)' in capsys.readouterr().out
    )
    assert json.loads((out / 'posed_people.json').read_text())['seed'] == 0
    tool.main()
    assert 'Already there: 1 + 1 images of posed people' in capsys.readouterr().out


def test_a_full_disk_leaves_no_dataset(tmp_path):
    """With a limit that the JSON files fit into but the images do not. cv2.imwrite would only return False."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(OSError, match='File too large'):
            generate_posed_people(tmp_path / 'people', train=1, val=1, size=(96, 96))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.rglob('*.json'))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='a set of posed people'):
        generate_posed_people(tmp_path, train=1, val=1, size=(96, 96))
    with pytest.raises(ValueError, match='96x96 pixels, found 64x64'):
        generate_posed_people(tmp_path / 'new', size=(64, 64))
