"""The file that a converter writes: can it be written there, and is there the whole of it or nothing?"""

from pathlib import Path

from ..engine import preprocessing
from ..engine.errors import UserError
from ..engine.write_file import require_target
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
    require_target(f'{option}:', path)
    if path.exists() and source.exists() and path.samefile(source):
        raise UserError(f'{option}: {path} is the file to read. Give another name.')


def save_checkpoint(checkpoint: dict, path: Path, option: str) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        checkpoint: What to save.
        path: Where to; missing folders are made.
        option: What the command line calls it, for the message.

    Raises:
        UserError: When the disk does not take it. Nothing is left then, and a file that was there is as it was.
    """
    try:
        write_checkpoint(checkpoint, path)
    except RuntimeError as error:  # torch's writer tells a full disk by RuntimeError
        raise UserError(
            f'{option}: {path} cannot be written ({error}). Make room on that disk, or give another name.'
        ) from error


def describe(checkpoint: dict, path: Path) -> str:
    """What a converter wrote, and the lines of a config that load it.

    Args:
        checkpoint: What was saved.
        path: Where to.
    """
    meta = checkpoint['meta']
    recorded = preprocessing.from_dict(meta['preprocessing'])
    assert recorded is not None  # the converters write all of it
    backbone = ', '.join(f'{key}={value!r}' for key, value in meta['backbone'].items())
    head = '' if 'head.fc.weight' in checkpoint['state_dict'] else ', no classifier'
    return (
        f'Wrote {path}: {meta["arch"]}, {len(checkpoint["state_dict"])} tensors{head}. In a config:\n'
        f'  data_preprocessor=dict({recorded.as_config()}, ...)\n'
        f"  backbone=dict({backbone},\n    init_cfg=dict(type='Pretrained', prefix='backbone.', "
        f"checkpoint='{path}'))"
    )
