"""The file that a converter writes: can it be written there, and is there the whole of it or nothing?"""

from pathlib import Path

from ..engine.errors import UserError
from ..engine.output_folder import require_writable
from .files import write_checkpoint


def check_target(path: Path, option: str, source: Path) -> None:
    """Refuse a name that cannot be written to, before anything is computed.

    Args:
        path: File to be written.
        option: What the command line calls it.
        source: The file that is read, which must stay.

    Raises:
        UserError: When ``path`` is a folder or the source itself, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise UserError(
            f'{option}: {path} is a folder. Give the name of the file to write, e.g. {path / (source.stem + ".pth")}.'
        )
    if path.exists() and source.exists() and path.samefile(source):
        raise UserError(f'{option}: {path} is the file to read. Give another name.')
    require_writable(f'{option}: the folder', path.parent)


def save_checkpoint(checkpoint: dict, path: Path, option: str) -> None:
    """Write to a temporary name beside the target, then put it in place.

    Args:
        checkpoint: What to save.
        path: Where to; missing folders are made.
        option: What the command line calls it, for the message.

    Raises:
        UserError: When the disk does not take it. Nothing is left then, and a file that was there is as it was.
    """
    try:
        write_checkpoint(checkpoint, path)
    except (OSError, RuntimeError) as error:  # torch's writer tells a full disk by RuntimeError
        raise UserError(f'{option}: {path} cannot be written: {error}.') from error
