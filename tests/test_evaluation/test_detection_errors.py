"""Outcomes, confusion, AP and the cost of errors, against cases worked out by hand and pycocotools on files."""

import contextlib
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mm_frelu.evaluation.average_precision import average_precision
from mm_frelu.evaluation.box_confusion import box_confusion
from mm_frelu.evaluation.boxes import Detections, TrueBoxes, as_xywh
from mm_frelu.evaluation.detection_errors import error_costs
from mm_frelu.evaluation.outcomes import Outcome, outcomes_of

A, B = 0, 1


def square(place, shift=0.0):
    """A box of 100 x 100; shifted by s, it has an IoU of (100 - s) / (100 + s) with where it was."""
    return [200 * place + shift, 0, 200 * place + shift + 100, 100]


# Four objects of class a and two of class b.
TRUTH = TrueBoxes.of([square(i) for i in range(6)], [A, A, A, A, B, B])
FOUND = [
    (square(0), A, 0.9, Outcome.HIT),
    (square(4), A, 0.8, Outcome.WRONG_CLASS),
    (square(0, 10), A, 0.7, Outcome.DUPLICATE),
    (square(1, 43), A, 0.6, Outcome.BADLY_PLACED),
    (square(3), A, 0.55, Outcome.HIT),
    (square(9), B, 0.5, Outcome.BACKGROUND),
    (square(5), B, 0.4, Outcome.HIT),
    (square(0, 55), B, 0.3, Outcome.WRONG_CLASS_AND_BADLY_PLACED),
]
DETECTIONS = Detections.of(*zip(*(entry[:3] for entry in FOUND)))


def test_outcomes_by_hand():
    outcomes = outcomes_of(DETECTIONS, TRUTH)
    assert outcomes.kinds.tolist() == [entry[3] for entry in FOUND]
    assert outcomes.partners.tolist() == [0, 4, 0, 1, 3, -1, 5, 0]
    assert outcomes.found.tolist() == [True, False, False, True, False, True]
    # The second object is badly placed and the fifth of the wrong class; only the third was missed.
    assert outcomes.missed.tolist() == [False, False, True, False, False, False]


def test_costs_by_hand():
    """AP is the mean of precision at 101 recalls; here are the recalls reached and their precisions, counted on paper."""
    errors = error_costs({0: TRUTH}, {0: DETECTIONS}, 2)
    # a: 1 of 1 at recall 0.25, 2 of 5 at 0.5. b: 1 of 2 at recall 0.5.
    assert errors.ap50 == pytest.approx((26 * 1 + 25 * 0.4 + 51 * 0.5) / 202)
    # a: 2 of 4 at 0.5. b: 1 of 1 at 0.5, 2 of 3 at 1.
    assert errors.costs['cls'] == pytest.approx((25 * 0.1 + 51 * 0.5 + 50 * 2 / 3) / 202)
    # a: the precision of 3 of 5 reaches from 0.26 to 0.75.
    assert errors.costs['loc'] == pytest.approx((25 * 0.2 + 25 * 0.6) / 202)
    assert errors.costs['both'] == 0  # behind the last hit
    assert errors.costs['dupe'] == pytest.approx(25 * 0.1 / 202)
    assert errors.costs['bkg'] == pytest.approx(51 * 0.5 / 202)
    # a has three objects then: recall 1/3 and 2/3.
    assert errors.costs['miss'] == pytest.approx((34 * 1 + 33 * 0.4 - 26 * 1 - 25 * 0.4) / 202)
    assert errors.counts == dict(cls=1, loc=1, both=1, dupe=1, bkg=1, miss=1)


def test_only_the_best_error_about_an_object_is_mended():
    """As in TIDE's own code, a wrong class and a bad place compete for the object."""
    truth = TrueBoxes.of([square(0)], [A])
    found = Detections.of([square(0), square(0, 43), square(0, 43)], [B, A, A], [0.9, 0.8, 0.7])
    errors = error_costs({0: truth}, {0: found}, 2)
    assert errors.counts['cls'] == 1
    assert errors.counts['loc'] == 2
    # Class b has no object, so AP is that of class a: 0, then 1 of 3 with the mended box first.
    assert errors.costs['cls'] == pytest.approx(1.0)
    assert errors.costs['loc'] == 0  # the better of the errors about the object is the wrong class


def test_crowds_are_no_errors():
    truth = TrueBoxes.of([square(0), [500, 0, 900, 400]], [A, A], [False, True])
    found = Detections.of(
        [square(0), [510, 10, 560, 60], [510, 10, 560, 60]], [A, A, B], [0.9, 0.8, 0.7]
    )
    outcomes = outcomes_of(found, truth)
    assert outcomes.kinds.tolist() == [Outcome.HIT, Outcome.IN_CROWD, Outcome.BACKGROUND]
    assert not outcomes.missed.any()


@pytest.mark.parametrize('found', [{}, {0: Detections.of([], [], [])}])
def test_nothing_found(found):
    errors = error_costs({0: TRUTH}, found, 2)
    assert errors.ap50 == 0
    assert errors.counts['miss'] == 6
    precision = average_precision({0: TRUTH}, found, 2)
    assert precision.ap['all'] == 0
    assert np.isnan(precision.ap['small'])


def test_nothing_to_find():
    precision = average_precision({0: TrueBoxes.of([], [])}, {0: DETECTIONS}, 2)
    assert np.isnan(precision.ap['all'])
    assert np.isnan(precision.per_image[0]).all()
    errors = error_costs({0: TrueBoxes.of([], [])}, {0: DETECTIONS}, 2)
    assert errors.counts['bkg'] == len(FOUND)


def random_scene(seed):
    rng = np.random.default_rng(seed)
    number = int(rng.integers(0, 8))
    corners, sides = rng.uniform(0, 200, (number, 2)), rng.uniform(8, 120, (number, 2))
    truth = TrueBoxes.of(
        np.concatenate([corners, corners + sides], 1),
        rng.integers(0, 4, number),
        rng.random(number) < 0.1,
    )
    boxes, labels = [], []
    for box, label, side in zip(truth.boxes, truth.labels, sides):
        for _ in range(rng.integers(0, 4)):
            moved = box + rng.normal(0, 0.12, 4) * np.tile(side, 2)
            boxes.append([*moved[:2], *np.maximum(moved[2:], moved[:2] + 1)])
            labels.append(label if rng.random() < 0.7 else rng.integers(0, 4))
    return truth, Detections.of(boxes, labels, rng.random(len(boxes)))


def test_equals_pycocotools_on_files(tmp_path):
    scenes = [random_scene(seed) for seed in range(40)]
    annotations, results = [], []
    for image, (truth, found) in enumerate(scenes):
        for box, label, crowd, area in zip(as_xywh(truth.boxes), *truth[1:]):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=int(label),
                    bbox=box.tolist(),
                    iscrowd=int(crowd),
                    area=area,
                )
            )
        for box, label, score in zip(as_xywh(found.boxes), *found[1:]):
            results.append(
                dict(image_id=image, category_id=int(label), bbox=box.tolist(), score=score)
            )
    content = dict(
        info={},
        images=[dict(id=i) for i in range(40)],
        categories=[dict(id=i) for i in range(4)],
        annotations=annotations,
    )
    for name, data in (('truth', content), ('results', results)):
        (tmp_path / f'{name}.json').write_text(json.dumps(data))
    with contextlib.redirect_stdout(None):
        coco = COCO(str(tmp_path / 'truth.json'))
        evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / 'results.json')), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    truth, found = ({i: scene[part] for i, scene in enumerate(scenes)} for part in (0, 1))
    precision = average_precision(truth, found, 4)
    expected = evaluation.stats
    assert precision.ap['all'] == pytest.approx(expected[0])
    assert precision.ap50['all'] == pytest.approx(expected[1])
    assert [precision.ap[size] for size in ('small', 'medium', 'large')] == pytest.approx(
        expected[3:6].tolist()
    )
    # What the costs start from is the same AP50, by matches of our own.
    assert error_costs(truth, found, 4).ap50 == pytest.approx(expected[1])
    # One image alone.
    evaluation.params.imgIds = [7]
    with contextlib.redirect_stdout(None):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert np.nanmean(precision.per_image[7]) == pytest.approx(evaluation.stats[0])


def test_confusion_by_hand():
    matrix = box_confusion(DETECTIONS, TRUTH, 2, 0.5)
    #        a  b  background
    expected = [
        [2, 0, 2],  # two hits, one badly placed and one missed
        [1, 1, 0],  # one taken for a
        [2, 2, 0],  # duplicate and badly placed; nothing there and over an object that was found
    ]
    assert matrix.tolist() == expected


def test_rows_count_objects_and_columns_detections():
    for seed in range(20):
        truth, found = random_scene(seed)
        matrix = box_confusion(found, truth, 4, 0.5)
        real = truth.labels[~truth.crowd]
        kinds = outcomes_of(found, truth).kinds
        counted = found.labels[kinds != Outcome.IN_CROWD]
        np.testing.assert_array_equal(matrix[:4].sum(axis=1), np.bincount(real, minlength=4))
        np.testing.assert_array_equal(matrix[:, :4].sum(axis=0), np.bincount(counted, minlength=4))
        assert np.trace(matrix) == (kinds == Outcome.HIT).sum()
