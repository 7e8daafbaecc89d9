"""Generate a dataset of street scenes in CityScapes layout, with COCO JSON for the same images.

Example:
    python tools/dataset_converters/street_scenes.py data/street_scenes --train 240 --val 60 --size
    256x128
"""

from mm_frelu.datasets.drawing_command import draw_by_command
from mm_frelu.datasets.street_scenes import generate_street_scenes
from mm_frelu.engine import exit_on_user_error


@exit_on_user_error
def main() -> None:
    """Generate the dataset, and print where it is."""
    draw_by_command(
        generate_street_scenes,
        'street scenes',
        'scenes',
        'Generate street scenes in CityScapes layout, with COCO JSON. '
        'The same arguments give the same bytes.',
        defaults=(200, 50, (512, 256)),
        written=(
            ('leftImg8bit/{train,val}/', 'images'),
            ('gtFine/{train,val}/', "label images and polygons in CityScapes' format"),
            ('annotations/instances_{train,val}.json', "boxes and masks in COCO's format"),
        ),
    )


if __name__ == '__main__':
    main()
