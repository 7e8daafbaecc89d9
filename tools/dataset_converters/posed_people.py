"""Generate a dataset of people in poses, with COCO's 17 keypoints.

Example:
    python tools/dataset_converters/posed_people.py data/posed_people --train 480 --val 80 --size
    256x224
"""

from mm_frelu.datasets.drawing_command import draw_by_command
from mm_frelu.datasets.posed_people import generate_posed_people
from mm_frelu.engine import exit_on_user_error


@exit_on_user_error
def main() -> None:
    """Generate the dataset, and print where it is."""
    draw_by_command(
        generate_posed_people,
        'images of posed people',
        'images',
        'Generate images of people in poses, with keypoints in COCO format. '
        'The same arguments give the same bytes.',
        defaults=(480, 80, (256, 224)),
        written=(
            ('{train,val}/', 'images'),
            ('annotations/person_keypoints_{train,val}.json', 'keypoints, boxes and masks'),
        ),
    )


if __name__ == '__main__':
    main()
