"""Generate a dataset of street scenes in one folder, atomically."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Union

from .scene import SPLITS, draw_scene
from .writers import SplitWriter

DRAWING = 3
"""Version of the drawing code. Increase it if the same seed gives other pictures, so that older datasets are replaced."""

PARAMETER_FILE = 'street_scenes.json'
_FOLDERS = ('leftImg8bit', 'gtFine', 'annotations')


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
    _check(train, val, size, seed)
    target = Path(out_dir)
    parameters = dict(
        generator='mm_frelu street scenes',
        drawing=DRAWING,
        train=train,
        val=val,
        size=list(size),
        seed=seed,
    )
    if _owned_parameters(target) == parameters:
        return False

    # Use the target itself if it exists: it may be the current folder, a link, or on another disk.
    home = target if target.is_dir() else target.parent
    home.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f'.{target.name}-unfinished-', dir=home))
    try:
        done = 0
        width, height = size
        for split, count in zip(SPLITS, (train, val)):
            writer = SplitWriter(unfinished, split)
            for index in range(count):
                writer.add(index, draw_scene((width, height), seed, split, index))
                done += 1
                if on_scene is not None:
                    on_scene(done, train + val)
            writer.close()
        (unfinished / PARAMETER_FILE).write_text(json.dumps(parameters, indent=2) + '\n')
        _move(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _move(unfinished: Path, target: Path) -> None:
    """Replaces an older dataset with a complete new one, by renaming only.

    The parameter file marks a dataset as complete: the old one is moved first, the new one last.
    """
    target.mkdir(exist_ok=True)
    replaced = unfinished / 'replaced'
    replaced.mkdir()
    for name in (PARAMETER_FILE, *_FOLDERS):
        if (target / name).exists():
            os.replace(target / name, replaced / name)
    for name in (*_FOLDERS, PARAMETER_FILE):
        os.replace(unfinished / name, target / name)


def _check(train: int, val: int, size: Tuple[int, int], seed: int) -> None:
    for name, count in (('train', train), ('val', val)):
        if count < 1:
            raise ValueError(f'{name}: expected a number of scenes of 1 or more, found {count}')
    if len(size) != 2 or size[0] < 64 or size[1] < 32:
        found = 'x'.join(str(length) for length in size)
        raise ValueError(f'size: expected width x height of at least 64x32 pixels, found {found}')
    if seed < 0:
        raise ValueError(f'seed: expected 0 or more, found {seed}')


def _owned_parameters(target: Path) -> Optional[Dict[str, Any]]:
    """Returns the parameters of the dataset in ``target``, None if it is empty. Other content raises."""
    if not target.exists():
        return None
    if not target.is_dir():
        raise FileExistsError(f'{target}: expected a folder, found a file; choose another folder')
    # Hidden files, such as .gitignore or leftovers of an interrupted run, are ignored.
    found = {path.name for path in target.iterdir() if not path.name.startswith('.')}
    if not found:
        return None
    unknown = sorted(found - {*_FOLDERS, PARAMETER_FILE})
    if unknown or PARAMETER_FILE not in found:
        what = f'it has {unknown[0]!r}' if unknown else f'it has no {PARAMETER_FILE}'
        raise FileExistsError(
            f'{target}: expected an empty folder or a set of street scenes, but {what}; '
            'choose another folder or empty this one'
        )
    try:
        return json.loads((target / PARAMETER_FILE).read_text())
    except ValueError as error:
        raise FileExistsError(
            f'{target / PARAMETER_FILE}: expected the parameters of a set of street scenes, '
            f'found invalid JSON ({error}); remove the folder if it is no longer needed'
        ) from error
