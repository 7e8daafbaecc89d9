"""Count parameters and multiply-adds of a config's model for one image."""

from typing import List

import torch
from mmengine.config import Config

from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.model_builder import build_model, forward_tensors
from mm_frelu.replacement import log_replacements

from .complexity import Cost, Part, count_parts
from .input_shape import InputShape


def measure(cfg: Config, shape: InputShape) -> List[Part]:
    """Count the parts of a config's model for one image.

    Args:
        cfg: The config.
        shape: Size of the image.
    """
    task = task_of(cfg)

    def count(device: str) -> List[Part]:
        model = build_model(cfg, device)
        images = torch.zeros(1, 3, shape.height, shape.width, device=device)
        parts = count_parts(model, lambda model: forward_tensors(model, images, task))
        if device == 'meta':  # elsewhere ReplaceActivation has told it
            log_replacements(model)
        return parts

    try:
        return count('meta')
    except (NotImplementedError, RuntimeError, TypeError):
        # Some models read values while they run or are built (e.g. proposals of a two-stage detector). meta has no values.
        return count('cpu')


def total_of(parts: List[Part]) -> Cost:
    """Return the sum of all parts."""
    return Cost(sum(part.parameters for part in parts), sum(part.macs for part in parts))


def readable(macs: int) -> str:
    """Format a count with three decimals in G, or in M if it is below 1 G."""
    return f'{macs / 1e9:.3f} G' if macs >= 1e9 else f'{macs / 1e6:.3f} M'
