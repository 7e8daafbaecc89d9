"""Checkpoint files: read without running what is in them, written whole or not at all."""

import hashlib
import pickle
from pathlib import Path
from typing import Any, Dict, List

import torch
from torch import Tensor

from mm_frelu.engine.checkpoint_file import check_checkpoint_file, is_remote
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.safe_load import load_or_refuse
from mm_frelu.engine.write_file import write_file


def read_checkpoint(path: str, key: str) -> Dict[str, Any]:
    """Read a checkpoint into memory, tensors on the CPU.

    Args:
        path: File name.
        key: Option or argument that names the file, for messages.

    Returns:
        A dict with ``state_dict`` and ``meta``, whatever else the file has, and both also for a file that is nothing but a
        state dict (torchvision's).

    Raises:
        UserError: When it is missing, cut off, something else than a checkpoint, or has no weights.
    """
    if is_remote(path):
        raise UserError(f'{key}: {path} is an address; download it and give the file.')
    check_checkpoint_file(path, key)
    content = load_or_refuse(Path(path).expanduser(), key)
    if isinstance(content, dict) and 'state_dict' not in content and is_state_dict(content):
        content = dict(state_dict=content)
    weights = content.get('state_dict') if isinstance(content, dict) else None
    if not is_state_dict(weights):
        found = (
            sorted(map(str, content))[:6] if isinstance(content, dict) else type(content).__name__
        )
        raise UserError(
            f'{key}: {path} has no weights: expected a state_dict of tensors, found {found}. '
            'Give the checkpoint of a model.'
        )
    meta = content.get('meta')
    return {**content, 'meta': dict(meta) if isinstance(meta, dict) else {}}


def write_checkpoint(checkpoint: Dict[str, Any], target: Path) -> None:
    """Write a checkpoint; see :func:`~mm_frelu.engine.write_file.write_file`. Equal contents give equal bytes, whatever the name."""
    # torch.save puts the name of a file into it, but not that of a stream.
    with write_file(target, 'wb') as stream:
        torch.save(checkpoint, stream)


def loads_as_weights_only(path: Path) -> bool:
    """Whether plain torch reads a file without running code from it (``weights_only=True``, no exceptions granted)."""
    granted: List[Any] = getattr(torch.serialization, 'get_safe_globals', list)()
    clear = getattr(torch.serialization, 'clear_safe_globals', lambda: None)
    clear()
    try:
        torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        return False
    finally:
        if granted:
            torch.serialization.add_safe_globals(granted)
    return True


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def compact(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Weights without the memory around them: of a view, torch.save would store the whole tensor that it looks at."""
    return {
        name: value.clone()
        if value.untyped_storage().nbytes() > value.numel() * value.element_size()
        else value
        for name, value in weights.items()
    }


def is_state_dict(content: Any) -> bool:
    """Whether something is names and tensors, and at least one of them."""
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )
