"""Read checkpoint files without running code from them, and what is needed to publish them: hashes, tensors without spare memory."""

import hashlib
import pickle
from pathlib import Path
from typing import Any, Dict, List

import torch
from torch import Tensor

from mm_frelu.engine.checkpoint_file import check_checkpoint_file, is_remote, weights_of
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.safe_load import load_or_refuse


def read_checkpoint(path: str, key: str) -> Dict[str, Any]:
    """Read a checkpoint, with tensors on the CPU.

    Args:
        path: File name.
        key: Option or argument that names the file, for messages.

    Returns:
        The content of the file. It always has ``state_dict`` and ``meta``, also for a plain state dict as in torchvision.

    Raises:
        UserError: If the file is missing, truncated or not a checkpoint, or has no weights.
    """
    if is_remote(path):
        raise UserError(f'{key}: {path} is a URL; download it and give the file.')
    check_checkpoint_file(path, key)
    content = load_or_refuse(Path(path).expanduser(), key)
    weights = weights_of(content, f'{key}: {path}')
    others = {} if weights is content else content
    meta = others.get('meta')
    return {**others, 'state_dict': weights, 'meta': dict(meta) if isinstance(meta, dict) else {}}


def loads_as_weights_only(path: Path) -> bool:
    """Whether torch can load a file with ``weights_only=True`` and without additional safe globals."""
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
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def compact(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Clone weights that are views, because torch.save would store the whole base tensor."""
    return {
        name: value.clone()
        if value.untyped_storage().nbytes() > value.numel() * value.element_size()
        else value
        for name, value in weights.items()
    }
