"""Errors of MMEngine's loops, in the words of the config that leads to them."""

import logging
from contextlib import contextmanager
from typing import Any, Iterator, List

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from .errors import UserError


@contextmanager
def explained(runner: Runner, loader: str) -> Iterator[None]:
    """Say what to change where a library's error has one known cause; for others, which pictures were worked on.

    Args:
        runner: The Runner that trains or tests in here.
        loader: Config key of its dataloader.

    Raises:
        UserError: In place of a library's error.
        Exception: Any other error, as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        pictures = _pictures(getattr(runner, 'batch', None))
        sentence = _explanation(str(error), runner.cfg, loader)
        if sentence is not None:
            raise UserError(f'{sentence} The batch: {pictures}.') from error
        if pictures:
            print_log(f'The last batch before the error: {pictures}.', 'current', logging.ERROR)
        raise


def _explanation(text: str, cfg: Config, loader: str) -> Any:
    batch_size = f'{loader}.batch_size={(cfg.get(loader) or {}).get("batch_size")}'
    if 'Expected more than 1 value per channel' in text:
        return (
            f'A norm layer got one value per channel, as the 1x1 pooling of PSPNet gives with one image per process '
            f'({batch_size}; the last batch of an epoch may be smaller). Use batch_size of 2 or more, drop_last=True, or '
            'norm_cfg=dict(type="GN", num_groups=32) in the head.'
        )
    if 'The image size in a batch should be the same' in text:
        return (
            f'{batch_size}: the pictures of a batch have different shapes, and mmseg does not pad them in validation and '
            'testing. Use batch_size=1, or a Resize with keep_ratio=False.'
        )
    if 'stack expects each tensor to be equal size' in text:
        return (
            f'{batch_size}: the pictures of a batch have different shapes, and some are larger than '
            'model.data_preprocessor.size, to which smaller ones are padded. Put a RandomCrop of that size into the pipeline.'
        )
    if 'only one of size and size_divisor should be valid' in text:
        return (
            'model.data_preprocessor has neither size nor size_divisor, or both. In training mmseg pads a batch to one shape: '
            'set model.data_preprocessor.size to the crop of the pipeline, (height, width).'
        )
    return None


def _pictures(batch: Any) -> str:
    """Files of a batch, as the dataloader gave it."""
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    paths: List[str] = []
    for sample in samples or ():
        # Augmented at test time, an image has several.
        for one in sample if isinstance(sample, (list, tuple)) else [sample]:
            path = getattr(one, 'img_path', None)
            if path and path not in paths:
                paths.append(str(path))
    return ', '.join(paths[:8]) + (', ...' if len(paths) > 8 else '')
