"""Compare the weights of ``init_cfg=dict(type='Pretrained', ...)`` with the module that loads them.

Hooks see a Runner's own checkpoint, but not these weights. ``init_weights`` loads them with ``strict=False``. If nothing fits a backbone,
or the preprocessing differs, only the final accuracy shows it.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.model import PretrainedInit
from torch import nn

from .checkpoint_file import is_remote, read_meta
from .checkpoint_guard import Fit, Shape, shapes_of, unwrap, warn
from .disagreement import disagreement
from .errors import UserError
from .remote_weights import cached_file


@contextmanager
def watch_pretrained(model: nn.Module, cfg: Config) -> Iterator[None]:
    """Record what ``init_weights`` loads inside this context, and report at the end what did not fit.

    Args:
        model: The model, wrapped or not.
        cfg: The whole config, for its preprocessing.

    Raises:
        UserError: When no weight of a checkpoint fits, or no name in it has the given prefix.
    """
    watches = list(_watches(unwrap(model)))
    try:
        yield
    except AssertionError as error:
        watch = next((watch for watch in watches if watch.lacks_prefix(error)), None)
        if watch is None:
            raise
        raise UserError(
            f'{watch.place}.init_cfg: no name in {watch.source} begins with prefix={watch.prefix!r}. Leave prefix out for '
            'the weights of a bare backbone.'
        ) from error
    finally:
        for watch in watches:
            watch.stop()
    for watch in watches:
        watch.report(cfg)


class Watch:
    """Records how weights fit one module the first time that they are loaded into it.

    Args:
        place: Config key of the module, e.g. ``'model.backbone'``.
        module: The module.
        init_cfg: Its ``Pretrained`` entry.
    """

    def __init__(self, place: str, module: nn.Module, init_cfg: Dict[str, Any]) -> None:
        self.place = place
        self.module = module
        self.source = str(init_cfg['checkpoint'])
        self.prefix = init_cfg.get('prefix')
        self.fit: Optional[Fit] = None
        self._shapes: Optional[Dict[str, Shape]] = None
        # The first hook sees the weights before PyTorch matches them, the second sees what did not match.
        self._hooks = [
            module._register_load_state_dict_pre_hook(self._note_shapes),
            module.register_load_state_dict_post_hook(self._note_fit),
        ]

    def _note_shapes(self, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        if not prefix:
            self._shapes = shapes_of(state_dict)

    def _note_fit(self, module: nn.Module, incompatible: Any) -> None:
        if self.fit is None and self._shapes is not None:
            missing, unexpected = incompatible.missing_keys, incompatible.unexpected_keys
            self.fit = Fit(module, self._shapes, missing, unexpected, self.place)
            self.stop()

    def stop(self) -> None:
        """Remove the load hooks."""
        for hook in self._hooks:
            hook.remove()

    def lacks_prefix(self, error: AssertionError) -> bool:
        """Whether MMEngine's loader failed because no name has this prefix."""
        start = f'{self.prefix}' if str(self.prefix).endswith('.') else f'{self.prefix}.'
        return self.fit is None and str(error) == f'{start} is not in the pretrained model'

    def report(self, cfg: Config) -> None:
        """Warn of what differs. A module that loaded nothing, because it was initialised before, is skipped.

        Raises:
            UserError: When nothing fits.
        """
        if self.fit is None:
            return
        source = f'{self.place}.init_cfg: {self.source}'
        file = local_file(self.source)
        if file is not None:
            message = disagreement(source, dict(meta=read_meta(file)), cfg, self.module, self.place)
            if message:
                warn(message)
        self.fit.report(source, strict=False)


def local_file(checkpoint: str) -> Optional[Path]:
    """Return the local file of a checkpoint, or torch.hub's cached copy of a URL; None if there is none."""
    if not is_remote(checkpoint):
        path = Path(checkpoint).expanduser()
    elif checkpoint.startswith(('http://', 'https://')):
        path = cached_file(checkpoint)
    else:
        # torchvision:// and open-mmlab:// are bare weights, without metadata.
        return None
    return path if path.is_file() else None


def _watches(model: nn.Module) -> Iterator[Watch]:
    for name, module in model.named_modules():
        for init_cfg in _entries(getattr(module, 'init_cfg', None)):
            if init_cfg.get('type') in ('Pretrained', PretrainedInit):
                yield Watch(f'model.{name}' if name else 'model', module, init_cfg)


def _entries(init_cfg: Any) -> List[Dict[str, Any]]:
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [entry for entry in entries if isinstance(entry, dict)]
