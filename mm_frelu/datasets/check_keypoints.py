"""Check a keypoint dataset in COCO format: the annotation file, its keypoints and its images.

MMPose skips annotations without keypoints or without an image, and prints no message. If a person has another number of keypoints
than the dataset or the head, it fails with an error about shapes.
"""

from typing import Any, Dict, Optional

from mm_frelu.engine.act_options import inner_model
from mm_frelu.engine.errors import UserError

from .check_coco import Listed, list_images
from .check_pictures import warn_of_turned
from .notices import tell


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
    # pycocotools compares iscrowd when MMPose loads the file.
    listed = list_images(key, settings, need_iscrowd=True)
    number = _number_of_keypoints(settings, cls)
    where = f'{key}.ann_file: {listed.ann_file}'
    people = _check_entries(where, listed, number)
    everybody = len(listed.data.get('annotations') or ())
    bbox_file = settings.get('bbox_file')  # of detected people, who replace those of the file
    # A test set such as COCO's test-dev has no annotations.
    if not people and not (bbox_file and key.startswith('test_')):
        raise UserError(
            f'{where}: none of the {everybody} annotations has keypoints and belongs to an image. Give the file with the keypoints. '
            'In COCO this is person_keypoints_train2017.json; instances_train2017.json has no keypoints.'
        )
    head = inner_model(model).get('head') if isinstance(model, dict) else None
    predicted = head.get('out_channels') if isinstance(head, dict) else None
    if number is not None and isinstance(predicted, int) and predicted != number:
        raise UserError(
            f'model.head.out_channels is {predicted}, but {key} ({settings.get("type")}) has {number} keypoints. Set '
            f'model.head.out_channels={number}.'
        )
    used = f'people of {bbox_file} used' if bbox_file else f'{people} of {everybody} people used'
    if people < everybody and not bbox_file:
        used += f' ({everybody - people} have no keypoints or no image, or are crowds)'
    tell(f'{key}: {listed.ann_file}: {len(listed.images)} images; {used}.')
    warn_of_turned(key, listed.pictures(), 'keypoints', settings.get('pipeline'))
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


def _check_entries(where: str, listed: Listed, number: Optional[int]) -> int:
    """Check the keypoints of all annotations, and return the number of people to learn from."""
    people = 0
    for index, entry in enumerate(listed.data.get('annotations') or []):
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
        people += any(points[2::3]) and not entry['iscrowd'] and entry['image_id'] in listed.images
    return people
