"""Generate a dataset of street scenes in one folder, atomically."""

from pathlib import Path
from typing import Callable, Optional, Tuple, Union

from ..drawn_set import DrawnSet, check_numbers
from .scene import SPLITS, draw_scene
from .writers import SplitWriter

DRAWING = 3
"""Version of the drawing code. Increase it if the same seed gives other pictures, so that older datasets are replaced."""

PARAMETER_FILE = 'street_scenes.json'
_SET = DrawnSet('street scenes', PARAMETER_FILE, ('leftImg8bit', 'gtFine', 'annotations'))


def generate_street_scenes(
    out_dir: Union[str, Path],
    train: int = 200,
    val: int = 50,
    size: Tuple[int, int] = (512, 256),
    seed: int = 0,
    on_scene: Optional[Callable[[int, int], None]] = None,
) -> bool:
    """Draws street scenes and writes them in CityScapes layout and as COCO JSON.

    ``out_dir`` gets ``leftImg8bit/``, ``gtFine/``, ``annotations/instances_{train,val}.json`` and
    ``street_scenes.json`` with the parameters. The same arguments give the same bytes. The dataset
    is written into a temporary, hidden folder and moved to its place when it is complete.

    Args:
        out_dir: Folder of the dataset. An older dataset of this function in it is replaced.
        train: Number of scenes to train on.
        val: Number of scenes to evaluate on.
        size: Width and height in pixels.
        seed: Seed of the dataset, 0 or more.
        on_scene: Called with (scenes done, scenes in all) after each scene.

    Returns:
        True if scenes were drawn, False if ``out_dir`` already has exactly this dataset.

    Raises:
        ValueError: If a count, the size or the seed is out of range.
        FileExistsError: If ``out_dir`` has anything that is not a dataset of this function.
    """
    check_numbers(dict(train=train, val=val), size, seed, 'scenes', smallest=(64, 32))
    parameters = dict(
        generator='mm_frelu street scenes',
        drawing=DRAWING,
        train=train,
        val=val,
        size=list(size),
        seed=seed,
    )

    def draw(folder: Path) -> None:
        done = 0
        width, height = size
        for split, count in zip(SPLITS, (train, val)):
            writer = SplitWriter(folder, split)
            for index in range(count):
                writer.add(index, draw_scene((width, height), seed, split, index))
                done += 1
                if on_scene is not None:
                    on_scene(done, train + val)
            writer.close()

    return _SET.write(Path(out_dir), parameters, draw)
