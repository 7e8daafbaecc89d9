"""Turn errors that the OpenMMLab libraries raise into messages that name the config key to change."""

import logging
import re
import sys
import traceback
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterator, List, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from .errors import UserError, is_refused_setting, listed


@contextmanager
def explained(cfg: Config, loader: str) -> Iterator[List[Runner]]:
    """Explain errors that are raised inside this context.

    If an error has one known cause, a :class:`UserError` says what to change in the config. For other errors, the log names the
    images of the last batch.

    Args:
        cfg: The config of the Runner that is built and run in this context.
        loader: Config key of its dataloader.

    Yields:
        A list. Append the Runner to it once it is built.

    Raises:
        UserError: In place of an error of a library.
        Exception: Any other error, unchanged.
    """
    built: List[Runner] = []
    try:
        yield built
    except UserError:
        raise
    except Exception as error:
        pictures = _pictures(getattr(built[0], 'batch', None)) if built else ''
        sentence = _misspelt(str(error), cfg) or _explanation(str(error), cfg, loader)
        if sentence is not None:
            raise UserError(
                f'{sentence} The batch: {pictures}.' if pictures else sentence
            ) from error
        if pictures:
            print_log(f'The last batch before the error: {pictures}.', 'current', logging.ERROR)
        elif is_refused_setting(error):
            raise UserError(f'config {cfg.filename}: {error}') from error
        elif _is_of_the_config(error):
            raise UserError(_cannot_be_built(error, cfg)) from error
        raise


_LIBRARIES = (
    'mmengine',
    'mmcv',
    'mmdet',
    'mmseg',
    'mmpretrain',
    'mmpose',
    'torch',
    'numpy',
    'mm_frelu',
)
_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError)


def _is_of_the_config(error: Exception) -> bool:
    """Whether a library raised the error because of a setting in the config.

    This holds for errors of type or value that only library code is involved in. If the user's own code is involved, its traceback
    is more useful.
    """
    if type(error) is RuntimeError:
        return 'negative dimension' in str(error)
    return isinstance(error, _MISTAKES) and all(
        frame.f_globals.get('__name__', '').split('.')[0] in _LIBRARIES or _is_of_python(frame)
        for frame in _frames(error)
    )


def _frames(error: Exception) -> List[FrameType]:
    """Return the stack frames from this file to the error, innermost last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]


def _is_of_python(frame: FrameType) -> bool:
    module = frame.f_globals.get('__name__', '').split('.')[0]
    return module in sys.stdlib_module_names and module != '__main__'


def _cannot_be_built(error: Exception, cfg: Config) -> str:
    """Build a message with the library's error and the function that raised it."""
    frames = _frames(error)
    last = frames[-1] if frames else None
    where = f' in {last.f_globals.get("__name__")}, {last.f_code.co_name}()' if last else ''
    message = ' '.join(str(error).split()).rstrip('.')
    shown = message if len(message) <= 400 else f'{message[:400]} ...'
    return (
        f'config {cfg.filename}: it cannot be built: {type(error).__name__}{where}: {shown}. Look for an entry that is missing, '
        'misspelt or of the wrong type; tools/misc/print_config.py prints the whole config.'
    )


def _misspelt(text: str, cfg: Config) -> Optional[str]:
    """Build a message about a type or a setting that the libraries do not know; None if that is not the error."""
    unknown = re.match(r"'?([\w.]+) is not in the ([\w: ]+) registry", text)
    if unknown is not None:
        place = _place_of(cfg, lambda key, value: key == 'type' and value == unknown[1])
        if place is not None:
            return (
                f'{place}={unknown[1]!r} is not registered in {unknown[2]}. Check the spelling, and that of '
                f'default_scope={cfg.get("default_scope")!r}. If it is your own class, import its module with custom_imports in the config.'
            )
    refused = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    if refused is not None:
        place = _place_of(cfg, lambda key, value: key == refused[2])
        if place is not None:
            return f'{place}: {refused[1]} has no argument {refused[2]!r}. Check the spelling, or leave it out.'
    return None


def _place_of(node: Any, is_it: Callable[[str, Any], bool], place: str = '') -> Optional[str]:
    """Return the config key of the first entry for which ``is_it(key, value)`` holds."""
    if isinstance(node, (dict, Config)):
        entries = list(node.items())
    elif isinstance(node, (list, tuple)):
        entries = [(str(index), value) for index, value in enumerate(node)]
    else:
        return None
    for key, value in entries:
        below = f'{place}.{key}'.lstrip('.')
        found = below if is_it(key, value) else _place_of(value, is_it, below)
        if found is not None:
            return found
    return None


def _explanation(text: str, cfg: Config, loader: str) -> Optional[str]:
    batch_size = f'{loader}.batch_size={(cfg.get(loader) or {}).get("batch_size")}'
    if 'Expected more than 1 value per channel' in text:
        return (
            f'A norm layer got one value per channel. The 1x1 pooling of PSPNet does that with one image per process '
            f'({batch_size}; the last batch of an epoch may be smaller). Use a batch_size of 2 or more, drop_last=True, or '
            'norm_cfg=dict(type="GN", num_groups=32) in the head.'
        )
    if 'The image size in a batch should be the same' in text:
        return (
            f'{batch_size}: the images of a batch have different shapes, and mmseg does not pad them in validation and '
            'testing. Use batch_size=1, or a Resize with keep_ratio=False.'
        )
    if 'stack expects each tensor to be equal size' in text:
        return (
            f'{batch_size}: the images of a batch have different shapes, and some are larger than '
            'model.data_preprocessor.size, to which smaller ones are padded. Add a RandomCrop of that size to the pipeline.'
        )
    if 'only one of size and size_divisor should be valid' in text:
        return (
            'model.data_preprocessor has neither size nor size_divisor, or both. In training mmseg pads a batch to one shape: '
            'set model.data_preprocessor.size to the crop size of the pipeline, (height, width).'
        )
    return None


def _pictures(batch: Any) -> str:
    """List the image files of a batch."""
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    paths: List[str] = []
    for sample in samples or ():
        # With test-time augmentation, an image has several samples.
        for one in sample if isinstance(sample, (list, tuple)) else [sample]:
            path = getattr(one, 'img_path', None)
            if path and path not in paths:
                paths.append(str(path))
    return listed(paths, 8)
