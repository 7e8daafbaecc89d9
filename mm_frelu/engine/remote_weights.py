"""Check whether weights that a config names by URL are cached or can be downloaded.

MMEngine downloads them when it initialises the model. Without a network this ends in a traceback after hundreds of log lines. The check
therefore runs before anything is built.
"""

import http.client
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Optional
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint

from .errors import UserError

_SECONDS = 10
_GONE = (404, 410)


def require_fetchable(address: str, key: str) -> None:
    """Raise if weights are neither in PyTorch's cache nor downloadable.

    Args:
        address: ``https://``, ``torchvision://`` or ``open-mmlab://``. Other schemes are left to MMEngine.
        key: Config key or option that names the weights, for the message.

    Raises:
        UserError: With the file to put into the cache, and how to train without the weights.
    """
    url = url_of(address, key)
    if url is None or cached_file(url).is_file():
        return
    reason = _unreachable_reason(url)
    if reason is None:
        return
    named = address if address == url else f'{address} ({url})'
    raise UserError(
        f'{key}: {named} cannot be downloaded ({reason}), and {cached_file(url)} does not exist. Download the file on a machine '
        f'with a network and save it under this name, or give the path of a copy instead of the address.{_without(key)}'
    )


def url_of(address: str, key: str) -> Optional[str]:
    """Return the URL that MMEngine downloads for an address; None if it does not use HTTP.

    Raises:
        UserError: For a name that the library does not have, or for a library that is not installed.
    """
    scheme, _, name = address.partition('://')
    if scheme in ('http', 'https'):
        return address
    if scheme in ('torchvision', 'modelzoo'):
        if find_spec('torchvision') is None:
            raise UserError(
                f'{key}: {address} needs torchvision, which is not installed. Install it (pip install torchvision), or give '
                f'the path or https:// address of the file.{_without(key)}'
            )
        known = mmengine_checkpoint.get_torchvision_models()
    elif scheme in ('open-mmlab', 'openmmlab'):
        known = mmengine_checkpoint.get_external_models()
        name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    else:
        return None
    if name not in known:
        raise UserError(f'{key}: {scheme} has no weights named {name!r} ({address}).')
    url = str(known[name])
    return url if url.startswith(('http://', 'https://')) else None


def cached_file(url: str) -> Path:
    """Return where PyTorch caches the file of a URL."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / os.path.basename(urlparse(url).path)


def _without(key: str) -> str:
    """Explain how to train without the weights of an ``init_cfg``; empty for other weights."""
    setting = re.match(r'.*?\.(init_cfg|pretrained)', key)
    if setting is None:
        return ''
    return (
        f' To train without them, add --cfg-options {setting[0]}=None. Activations with '
        "init='identity' are meant for the weights of a ReLU network; the papers train from scratch with init='paper'."
    )


def _unreachable_reason(url: str) -> Optional[str]:
    """Return why a URL does not answer; None if it does."""
    try:
        with urlopen(
            Request(url, method='HEAD', headers={'User-Agent': 'torch.hub'}), timeout=_SECONDS
        ):
            return None
    except HTTPError as error:  # some servers refuse HEAD but serve the file
        return f'{error.code} {error.reason}' if error.code in _GONE else None
    except (OSError, http.client.HTTPException) as error:
        return f'{type(error).__name__}: {getattr(error, "reason", error)}'
