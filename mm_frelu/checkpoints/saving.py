"""Write the file of a converter: check the target first, and write it completely or not at all."""

from pathlib import Path

import torch

from ..engine import preprocessing
from ..engine.errors import UserError
from ..engine.write_file import require_target, write_file


def check_target(path: Path, option: str, source: Path) -> None:
    """Reject a file name that cannot be written, before anything is computed.

    Args:
        path: File to be written.
        option: Its name on the command line.
        source: The file to read, which must not be overwritten.

    Raises:
        UserError: If ``path`` is a folder or the source itself, or its folder cannot be created or written to.
    """
    require_target(f'{option}:', path)
    if path.exists() and source.exists() and path.samefile(source):
        raise UserError(f'{option}: {path} is the source file itself. Give another name.')


def save_checkpoint(checkpoint: dict, path: Path, option: str) -> None:
    """Write a checkpoint completely or not at all. The bytes do not depend on the file name.

    Args:
        checkpoint: Content of the file.
        path: The file. Missing folders are created.
        option: Its name on the command line, for the message.

    Raises:
        UserError: If the file cannot be written. An existing file is then unchanged, and no partial file is left.
    """
    try:
        # torch.save stores the name of a file in it, but not for a stream.
        with write_file(path, 'wb') as stream:
            torch.save(checkpoint, stream)
    except RuntimeError as error:  # torch's writer raises RuntimeError if the disk is full
        raise UserError(
            f'{option}: {path} cannot be written ({error}). Free space on that disk, or give another name.'
        ) from error


def describe(checkpoint: dict, path: Path) -> str:
    """Describe the file that a converter wrote, with the lines of a config that load it.

    Args:
        checkpoint: The saved content.
        path: The file.
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
