"""Check that an output folder is writable, before anything is computed and without creating the folder."""

import os
from pathlib import Path
from typing import Union

from .errors import UserError


def require_writable(option: str, folder: Union[str, Path]) -> None:
    """Raise if an output folder cannot be created or written to.

    Args:
        option (str): Option or config key that names the folder, for the message.
        folder (str | Path): The folder; it need not exist yet.

    Raises:
        UserError: When it is a file or lies below one, or when this user may not write there.
    """
    place = Path(folder).absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        below = '' if place == Path(folder).absolute() else f' lies below {place}, which'
        raise UserError(f'{option} {folder}{below} is a file; give a folder.')
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f'{option} {folder}: you may not write in {place}. Give a folder that you may write to.'
        )
