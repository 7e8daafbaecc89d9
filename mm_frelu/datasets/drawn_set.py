"""Write a generated dataset to one folder, atomically."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple


@dataclass(frozen=True)
class DrawnSet:
    """A kind of generated dataset.

    Attributes:
        what: Name of the drawn things for messages, in the plural.
        parameter_file: File with the parameters. It marks a dataset as complete.
        folders: Folders of the dataset.
    """

    what: str
    parameter_file: str
    folders: Tuple[str, ...]

    def write(self, target: Path, parameters: Dict[str, Any], draw: Callable[[Path], None]) -> bool:
        """Draw a dataset into a temporary hidden folder, and move it to its place when it is complete.

        Args:
            target: Folder of the dataset. An older dataset of this kind in it is replaced.
            parameters: Everything that the dataset depends on.
            draw: Function that fills a folder.

        Returns:
            True if the dataset was drawn, False if ``target`` already has exactly this dataset.

        Raises:
            FileExistsError: If ``target`` has anything that is not a dataset of this kind.
        """
        if self._owned_parameters(target) == parameters:
            return False
        # Use the target itself if it exists: it may be the current folder, a link, or on another disk.
        home = target if target.is_dir() else target.parent
        home.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f'.{target.name}-unfinished-', dir=home))
        try:
            draw(unfinished)
            text = json.dumps(parameters, indent=2) + '\n'
            (unfinished / self.parameter_file).write_text(text)
            self._move(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return True

    def _move(self, unfinished: Path, target: Path) -> None:
        """Replace an older dataset with a complete new one, by renaming only.

        The parameter file marks a dataset as complete: the old one is moved first, the new one last.
        """
        target.mkdir(exist_ok=True)
        replaced = unfinished / 'replaced'
        replaced.mkdir()
        for name in (self.parameter_file, *self.folders):
            if (target / name).exists():
                os.replace(target / name, replaced / name)
        for name in (*self.folders, self.parameter_file):
            os.replace(unfinished / name, target / name)

    def _owned_parameters(self, target: Path) -> Optional[Dict[str, Any]]:
        """Return the parameters of the dataset in ``target``, None if it is empty. Other content raises."""
        if not target.exists():
            return None
        if not target.is_dir():
            raise FileExistsError(
                f'{target}: expected a folder, found a file; choose another folder'
            )
        # Hidden files, such as .gitignore or leftovers of an interrupted run, are ignored.
        found = {path.name for path in target.iterdir() if not path.name.startswith('.')}
        if not found:
            return None
        file = self.parameter_file
        unknown = sorted(found - {*self.folders, file})
        if unknown or file not in found:
            what = f'it has {unknown[0]!r}' if unknown else f'it has no {file}'
            raise FileExistsError(
                f'{target}: expected an empty folder or a set of {self.what}, but {what}; '
                'choose another folder or empty this one'
            )
        try:
            return json.loads((target / file).read_text())
        except ValueError as error:
            raise FileExistsError(
                f'{target / file}: expected the parameters of a set of {self.what}, '
                f'found invalid JSON ({error}); remove the folder if it is no longer needed'
            ) from error


def check_numbers(
    counts: Dict[str, int], size: Tuple[int, int], seed: int, what: str, smallest: Tuple[int, int]
) -> None:
    """Check the numbers that a dataset is generated from.

    Args:
        counts: Number of pictures in each split.
        size: Width and height in pixels.
        seed: Seed of the dataset.
        what: Name of the drawn things for messages, in the plural.
        smallest: Smallest width and height.

    Raises:
        ValueError: If a count, the size or the seed is out of range.
    """
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f'{name}: expected a number of {what} of 1 or more, found {count}')
    if len(size) != 2 or size[0] < smallest[0] or size[1] < smallest[1]:
        found, least = ('x'.join(map(str, lengths)) for lengths in (size, smallest))
        raise ValueError(f'size: expected width x height of at least {least} pixels, found {found}')
    if seed < 0:
        raise ValueError(f'seed: expected 0 or more, found {seed}')
