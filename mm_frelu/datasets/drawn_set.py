"""A generated data set in one folder, complete or not there at all."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple


@dataclass(frozen=True)
class DrawnSet:
    """A kind of generated data set.

    Attributes:
        what: What is drawn, in the plural; for messages.
        parameter_file: Its file with the parameters, which says that a set is complete.
        folders: Its folders.
    """

    what: str
    parameter_file: str
    folders: Tuple[str, ...]

    def write(self, target: Path, parameters: Dict[str, Any], draw: Callable[[Path], None]) -> bool:
        """Has a set drawn into a temporary, hidden folder and moves it to its place when it is complete.

        Args:
            target: Folder of the data set. It may hold an older set of this kind, which is then replaced.
            parameters: All that the set depends on.
            draw: Fills the folder that it is given.

        Returns:
            True if the set was drawn, False if ``target`` held this very set already.

        Raises:
            FileExistsError: If ``target`` holds anything that is not a set of this kind.
        """
        if self._owned_parameters(target) == parameters:
            return False
        # In an existing folder, because that may be the current one, a link, or a disk of its own.
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
        """Puts a complete set in the place of an older one, by renaming alone.

        The parameter file says that a set is complete: the old one goes first, the new one comes last.
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
        """Parameters of the set in ``target``, None if it is empty; anything else there raises."""
        if not target.exists():
            return None
        if not target.is_dir():
            raise FileExistsError(
                f'{target}: expected a folder, found a file; choose another folder'
            )
        # Hidden files (.gitignore, what an interrupted run left) are nobody's data, and are left alone.
        found = {path.name for path in target.iterdir() if not path.name.startswith('.')}
        if not found:
            return None
        file = self.parameter_file
        strangers = sorted(found - {*self.folders, file})
        if strangers or file not in found:
            what = f'it holds {strangers[0]!r}' if strangers else f'it has no {file}'
            raise FileExistsError(
                f'{target}: expected an empty folder or a set of {self.what}, but {what}; '
                'choose another folder or empty this one'
            )
        try:
            return json.loads((target / file).read_text())
        except ValueError as error:
            raise FileExistsError(
                f'{target / file}: expected the parameters of a set of {self.what}, '
                f'found no valid JSON ({error}); remove the folder if it can go'
            ) from error


def check_numbers(
    counts: Dict[str, int], size: Tuple[int, int], seed: int, what: str, smallest: Tuple[int, int]
) -> None:
    """Refuses numbers that make no data set.

    Args:
        counts: How many are drawn, by split.
        size: Width and height in pixels.
        seed: Seed of the set.
        what: What is drawn, in the plural; for messages.
        smallest: Smallest width and height.

    Raises:
        ValueError: Naming the first that makes no sense.
    """
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f'{name}: expected a number of {what} of 1 or more, found {count}')
    if len(size) != 2 or size[0] < smallest[0] or size[1] < smallest[1]:
        found, least = ('x'.join(map(str, lengths)) for lengths in (size, smallest))
        raise ValueError(f'size: expected width x height of at least {least} pixels, found {found}')
    if seed < 0:
        raise ValueError(f'seed: expected 0 or more, found {seed}')
