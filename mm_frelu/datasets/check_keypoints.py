"""Check a keypoint dataset in COCO format: the annotation file, its keypoints and its images.

MMPose skips annotations without keypoints and prints no message. If a person has another number of keypoints than the dataset
or the head, it fails with an error about shapes.
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
        cls (type, optional): Its class, which defines the number of keypoints.
        model (Any): Config of the model. Its head has a number of keypoints too.

    Returns:
        Dict[Any, str]: File names of the images, by image id.

    Raises:
        UserError: For the first problem found.
    """
    listed = list_images(key, settings)
    number = _number_of_keypoints(settings, cls)
    people = _check_entries(f'{key}.ann_file: {listed.ann_file}', listed.data, number)
    head = inner_model(model).get('head') if isinstance(model, dict) else None
    predicted = head.get('out_channels') if isinstance(head, dict) else None
    if number is not None and isinstance(predicted, int) and predicted != number:
        raise UserError(
            f'model.head.out_channels is {predicted}, but {key} ({settings.get("type")}) has {number} keypoints. Set '
            f'model.head.out_channels={number}.'
        )
    everybody = len(listed.data.get('annotations') or ())
    tell(
        f'{key}: {listed.ann_file}: {len(listed.images)} images; {people} of {everybody} people used'
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
    """Return the number of keypoints in the ``metainfo`` of the dataset, None if it is unknown."""
    if cls is None:
        return None
    try:
        metainfo = cls._load_metainfo(settings.get('metainfo'))  # type: ignore[attr-defined]
    except Exception:  # mmpose cannot read the metainfo: building the dataset reports it
        return None
    return metainfo.get('num_keypoints')


def _check_entries(where: str, data: Entries, number: Optional[int]) -> int:
    """Check the keypoints of all annotations, and return the number of people to learn from."""
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
                'If the keypoints are not those of COCO, set dataset.metainfo=dict(from_file=...).'
            )
        people += bool(any(points[2::3]) and not entry.get('iscrowd'))
    if not people:
        raise UserError(
            f'{where}: none of the {len(annotations)} annotations has keypoints. Give the file with the keypoints. In COCO this '
            'is person_keypoints_train2017.json; instances_train2017.json has no keypoints.'
        )
    return people
