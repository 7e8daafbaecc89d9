"""Check a keypoint dataset in COCO format: the annotation file, its keypoints, the images it names.

MMPose leaves out an annotation without keypoints without a word, and ends in an error about shapes where a person has another
number of them than the dataset or the head.
"""

from typing import Any, Dict, List, Optional

from mm_frelu.engine.act_options import inner_model
from mm_frelu.engine.errors import UserError

from .check_coco import list_images
from .check_pictures import NUMBER, Picture, sample, warn_of_turned
from .notices import tell

Entries = Dict[str, List[Any]]


def check_keypoints(
    key: str, settings: Dict[str, Any], cls: Optional[type], model: Any
) -> Dict[Any, str]:
    """Check the paths, the annotation file and the keypoints of a dataset derived from mmpose's ``BaseCocoStyleDataset``.

    Args:
        key (str): Config key of the dataset.
        settings (Dict[str, Any]): Its config, with defaults filled in.
        cls (type, optional): Its class, which knows how many keypoints it has.
        model (Any): The config of the model, whose head counts them too.

    Returns:
        Dict[Any, str]: The images of the file, file names by id.

    Raises:
        UserError: At the first thing that does not fit.
    """
    listed = list_images(key, settings)
    number = _number_of_keypoints(settings, cls)
    people = _check_entries(f'{key}.ann_file: {listed.ann_file}', listed.data, number)
    head = inner_model(model).get('head') if isinstance(model, dict) else None
    predicted = head.get('out_channels') if isinstance(head, dict) else None
    if number is not None and isinstance(predicted, int) and predicted != number:
        raise UserError(
            f'model.head.out_channels is {predicted}, but {key} ({settings.get("type")}) has {number} keypoints. Set '
            f'out_channels={number} there.'
        )
    everybody = len(listed.data.get('annotations') or ())
    tell(
        f'{key}: {listed.ann_file}: {len(listed.images)} images; {people} of {everybody} people taken'
        f'{f" ({everybody - people} have no keypoints or are crowds)" if people < everybody else ""}.'
    )
    pictures = [
        Picture(
            listed.path_of(image['file_name']), image['width'], image['height'], listed.ann_file
        )
        for image in sample(listed.data['images'], NUMBER)
    ]
    warn_of_turned(key, pictures, 'keypoints', settings.get('pipeline'))
    return listed.images


def _number_of_keypoints(settings: Dict[str, Any], cls: Optional[type]) -> Optional[int]:
    """How many keypoints the dataset has by its ``metainfo``; None where it does not say."""
    if cls is None:
        return None
    try:
        metainfo = cls._load_metainfo(settings.get('metainfo'))  # type: ignore[attr-defined]
    except Exception:  # a metainfo that mmpose cannot read, which building the dataset will tell
        return None
    return metainfo.get('num_keypoints')


def _check_entries(where: str, data: Entries, number: Optional[int]) -> int:
    """Check the keypoints of everybody; the number of those that can be learnt from."""
    people = 0
    annotations = data.get('annotations') or []
    for index, entry in enumerate(annotations):
        points = entry.get('keypoints')
        if points is None:
            continue
        place = f'{where}: annotations[{index}] (id {entry["id"]})'
        if not isinstance(points, list) or not all(
            isinstance(value, (int, float)) for value in points
        ):
            raise UserError(
                f'{place}: keypoints is {repr(points):.60}. Expected a list of numbers: x, y and visibility of each keypoint.'
            )
        if len(points) % 3 or (number is not None and len(points) != 3 * number):
            expected = f'{3 * number} ({number} keypoints)' if number else 'a multiple of 3'
            raise UserError(
                f'{place}: keypoints has {len(points)} numbers. Expected {expected}: x, y and visibility of each keypoint. '
                "Other keypoints than COCO's need their own metainfo: dataset.metainfo=dict(from_file=...)."
            )
        people += bool(any(points[2::3]) and not entry.get('iscrowd'))
    if not people:
        raise UserError(
            f'{where}: none of the {len(annotations)} annotations has keypoints. Give the file of keypoints; COCO calls it '
            'person_keypoints_train2017.json, and instances_train2017.json has boxes alone.'
        )
    return people
