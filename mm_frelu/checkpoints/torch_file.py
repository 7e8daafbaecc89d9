"""Read a state dict from the checkpoint of any PyTorch training script, without running code from the file."""

import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from torch import Tensor

from ..engine.checkpoint_file import check_checkpoint_file, is_remote, is_state_dict
from ..engine.errors import UserError, first_line
from ..engine.safe_load import UNREADABLE, unknown_kind

WRAPPERS = ('state_dict', 'model', 'model_state', 'model_state_dict', 'net', 'network', 'weights')
"""Keys under which training scripts store the state dict, the most common ones first."""


def read_torch_state_dict(path: Path) -> Dict[str, Tensor]:
    """Read a state dict without wrappers, without prefixes that all names share, and without ``num_batches_tracked``.

    Args:
        path: A file of ``torch.save``: a state dict, or a dict that has one under a key of :data:`WRAPPERS`.

    Returns:
        The tensors, in the shapes and types of the file, on the CPU.

    Raises:
        UserError: If the file cannot be read, has objects other than tensors, numbers and text, or has no state dict.
    """
    if is_remote(path):
        raise UserError(f'SRC: {path} is a URL; download it and give the file.')
    check_checkpoint_file(str(path), 'SRC')
    try:
        with warnings.catch_warnings():  # the messages below replace torch's warnings
            warnings.simplefilter('ignore')
            content = torch.load(path.expanduser(), map_location='cpu', weights_only=True)
            if isinstance(content, torch.jit.ScriptModule):  # torch before 2.5 loads it
                raise RuntimeError('TorchScript')
    except UNREADABLE as error:
        raise UserError(f'SRC: {path} {_reason(path.expanduser(), error)}') from error
    weights = _find_state_dict(content)
    if weights is None:
        found = ', '.join(sorted(map(str, content))[:6]) if isinstance(content, dict) else ''
        raise UserError(
            f'SRC: {path} has no state dict: expected names and tensors, at the top level or under one of '
            f'{", ".join(WRAPPERS)}; found a {type(content).__name__}{" of " + found if found else ""}. '
            'Save model.state_dict() and give that file.'
        )
    weights = _without_shared_prefixes(weights)
    return {
        name: tensor for name, tensor in weights.items() if not name.endswith('num_batches_tracked')
    }


def _find_state_dict(content: Any, depth: int = 2) -> Optional[Dict[str, Tensor]]:
    """Return the state dict itself, or the first one under a known key. Wrappers may be nested once."""
    if is_state_dict(content):
        return content
    if not isinstance(content, dict) or depth == 0:
        return None
    for key in WRAPPERS:
        found = _find_state_dict(content.get(key), depth - 1)
        if found is not None:
            return found
    return None


def _without_shared_prefixes(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Remove prefixes that all names have, such as ``module.`` (DataParallel), ``model.`` and ``backbone.``."""
    while True:
        prefixes = {name.partition('.')[0] for name in weights}
        nested = all('.' in name for name in weights)
        if len(prefixes) != 1 or not nested:
            return weights
        skipped = len(prefixes.pop()) + 1
        weights = {name[skipped:]: tensor for name, tensor in weights.items()}


def _reason(path: Path, error: BaseException) -> str:
    """Explain what the file is instead, and which two lines convert it to a state dict."""
    target = f'{path.stem}_state_dict.pth'
    if 'TorchScript' in str(error):
        return (
            f'is a TorchScript program, not a state dict. Convert it to one:\n'
            f"  model = torch.jit.load({path.name!r}, map_location='cpu')\n"
            f'  torch.save(model.state_dict(), {target!r})'
        )
    kind = unknown_kind(error)
    if not kind:
        hint = ' If MegEngine wrote it, megengine_to_mm.py converts it.'
        return (
            f'could not be read as a PyTorch file ({first_line(error)}). Download or copy it again.'
            f'{"" if zipfile.is_zipfile(path) else hint}'
        )
    load = f"torch.load({path.name!r}, map_location='cpu', weights_only=False)"
    if _holds_a_module(path):
        return (
            f'is a complete pickled model ({kind}), and reading it runs code from the file. If you trust it, convert it to a '
            f'state dict in an environment where its class can be imported:\n'
            f'  model = {load}\n'
            f'  torch.save(model.state_dict(), {target!r})'
        )
    return (
        f'has objects other than tensors, numbers and text ({kind}), and reading them could run code from the file. If you '
        f'trust it, extract its state dict, which is often under the key state_dict or model:\n'
        f'  checkpoint = {load}\n'
        f"  torch.save(checkpoint['state_dict'], {target!r})"
    )


def _holds_a_module(path: Path) -> bool:
    """Whether a file that torch rejected refers to a layer of torch.nn. torch.save does not compress such names."""
    overlap = b''
    needle = b'torch.nn.modules.'
    with path.open('rb') as stream:
        while True:
            block = stream.read(1 << 20)
            if not block:
                return False
            if needle in overlap + block:
                return True
            overlap = block[-len(needle) :]
