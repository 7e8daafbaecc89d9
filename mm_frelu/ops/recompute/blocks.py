"""Working through a feature map a few channels at a time, so that what is in between stays in the cache.

Everything at a site (batch statistics, depthwise window, maximum) concerns one channel at a time. On a CPU it is
computed in blocks of channels of about the size of the second-level cache: the tensors in between are then never
written to memory, and never taken from the operating system anew, which costs more than filling them.
"""

from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..implementation import is_compiling

BLOCK_BYTES = 2 << 20
LANES = 16
"""oneDNN's depthwise convolution works on 16 channels at once; other block widths cost it several times as much."""


Results = Tuple[Sequence[Optional[Tensor]], Sequence[Optional[Tensor]]]
"""Features, and values for each channel."""


def channel_blocks(x: Tensor, whole: bool) -> List[slice]:
    """Channels to compute together.

    Args:
        x: Features of shape (N, C, H, W).
        whole: Whether they have to be one block.

    Returns:
        Slices of the channels; one of all of them on a GPU, in a compiled graph, and where a pixel's channels lie
        side by side in memory, where a block would be no shorter to walk through.
    """
    if whole or x.device.type != 'cpu' or is_compiling() or not _planes_in_one_piece(x):
        return [slice(None)]
    width = BLOCK_BYTES // (x[:, :1].numel() * x.element_size()) // LANES * LANES
    width = max(width, LANES)
    if width >= x.shape[1]:
        return [slice(None)]
    return [slice(start, start + width) for start in range(0, x.shape[1], width)]


def _planes_in_one_piece(x: Tensor) -> bool:
    return x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last)


def in_blocks(
    blocks: Sequence[slice], like: Tensor, compute: Callable[[slice], Results]
) -> Results:
    """Compute block by block and put the results together.

    Args:
        blocks: Slices of the channels.
        like: Features of the shape and memory format of those that are computed.
        compute: Gives the features of a block, of shape (N, block, H, W), and values whose first dimension is its
            channels; None among them where there are none.

    Returns:
        The same for all channels.
    """
    if len(blocks) == 1:
        return compute(blocks[0])
    rooms: List[Optional[Tensor]] = []
    parts: List[Sequence[Optional[Tensor]]] = []
    for channels in blocks:
        features, values = compute(channels)
        if not parts:
            rooms = [
                None if feature is None else torch.empty_like(like, dtype=feature.dtype)
                for feature in features
            ]
        for room, feature in zip(rooms, features):
            if room is not None:
                room[:, channels] = feature
        parts.append(values)
    return rooms, [None if part[0] is None else torch.cat(part) for part in zip(*parts)]
