"""Weights that a config names by an address: are they here already, and if not, can they be fetched?

MMEngine fetches them when it initialises the model. Without a network that is a traceback below hundreds of lines of log, so it is
asked before anything is built.
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
    """Refuse weights that are neither in PyTorch's cache nor to be fetched.

    Args:
        address: ``https://``, ``torchvision://``, ``open-mmlab://``; what has another scheme is left to MMEngine.
        key: Config key or option that names the weights, for the message.

    Raises:
        UserError: With the file to put into the cache, and how to do without.
    """
    url = url_of(address, key)
    if url is None or cached_file(url).is_file():
        return
    reason = _unreachable_reason(url)
    if reason is None:
        return
    named = address if address == url else f'{address} ({url})'
    raise UserError(
        f'{key}: {named} cannot be fetched ({reason}), and {cached_file(url)} is not there. Fetch the file where there is a '
        f'network and put it there under this name, or give the path of a copy in place of the address.{_without(key)}'
    )


def url_of(address: str, key: str) -> Optional[str]:
    """What MMEngine will fetch for an address; None where it is not over HTTP.

    Raises:
        UserError: For a name that the library does not have, or that takes a library which is not installed.
    """
    scheme, _, name = address.partition('://')
    if scheme in ('http', 'https'):
        return address
    if scheme in ('torchvision', 'modelzoo'):
        if find_spec('torchvision') is None:
            raise UserError(
                f'{key}: {address} is a name that torchvision knows, which is not installed. pip install torchvision, or give '
                f'the path or https:// address of the file.{_without(key)}'
            )
        known = mmengine_checkpoint.get_torchvision_models()
    elif scheme in ('open-mmlab', 'openmmlab'):
        known = mmengine_checkpoint.get_external_models()
        name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    else:
        return None
    if name not in known:
        raise UserError(f'{key}: {address} is no name of weights that {scheme} knows.')
    url = str(known[name])
    return url if url.startswith(('http://', 'https://')) else None


def cached_file(url: str) -> Path:
    """Where PyTorch keeps the file of an address."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / os.path.basename(urlparse(url).path)


def _without(key: str) -> str:
    """How to train without the weights, where they are those of an ``init_cfg``."""
    setting = re.match(r'.*?\.(init_cfg|pretrained)', key)
    if setting is None:
        return ''
    return (
        f' To train without them, add --cfg-options {setting[0]}=None. Activations with '
        "init='identity' are meant for weights of a ReLU network; from scratch the papers start with init='paper'."
    )


def _unreachable_reason(url: str) -> Optional[str]:
    """The reason why an address does not answer; None where it does."""
    try:
        with urlopen(
            Request(url, method='HEAD', headers={'User-Agent': 'torch.hub'}), timeout=_SECONDS
        ):
            return None
    except (
        HTTPError
    ) as error:  # some servers refuse to be asked like this, and give the file nonetheless
        return f'{error.code} {error.reason}' if error.code in _GONE else None
    except (OSError, http.client.HTTPException) as error:
        return f'{type(error).__name__}: {getattr(error, "reason", error)}'
