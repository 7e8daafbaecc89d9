"""Count memory traffic from the ops that run: every op reads its inputs once and writes its outputs once.

This is the traffic of a GPU whose caches are too small for the tensors. An op that reads an input twice, such as batch norm in
training, counts once. A kernel that fuses several ops counts as one op.
"""

from typing import Any, Callable, Iterator, Set, Tuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ALLOCATIONS = ('empty', 'new_empty')
OVERWRITES = ('copy_', 'fill_', 'zero_')
"""In-place ops that do not read the tensor that they write."""


class Traffic(TorchDispatchMode):
    """Mode that counts the bytes that ops move, including those of backward.

    Attributes:
        bytes: Number of bytes read and written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Tuple = (), kwargs: Any = None
    ) -> Any:
        """Run an op and add the bytes that it moves."""
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name.startswith(ALLOCATIONS):
            return results
        given, written = _arguments(func, name, args, kwargs)
        storages = {tensor.untyped_storage()._cdata for tensor in given + written}
        fresh = [
            tensor
            for tensor in _tensors(results)
            if tensor.untyped_storage()._cdata not in storages
        ]
        if fresh or written:  # else a view
            if not name.endswith('_like') and not name.startswith('new_'):  # these ask for a shape
                self.bytes += sum(map(_distinct_bytes, _without_repeats(given)))
            self.bytes += sum(map(_distinct_bytes, fresh + written))
        return results


def passes(run: Callable[[], object], like: Tensor) -> float:
    """Return the bytes that a run moves, in multiples of the size of ``like``."""
    with Traffic() as traffic:
        run()
    return traffic.bytes / (like.numel() * like.element_size())


def _arguments(func: Any, name: str, args: Tuple, kwargs: dict) -> Tuple[list, list]:
    """Return the tensors that an op reads, and the arguments that it writes."""
    given, written = [], []
    for index, argument in enumerate(func._schema.arguments):
        value = args[index] if index < len(args) else kwargs.get(argument.name)
        tensors = list(_tensors(value))
        writes = argument.alias_info is not None and argument.alias_info.is_write
        if writes:
            written += tensors
        if not writes or not (argument.is_out or name in OVERWRITES):
            given += tensors
    return given, written


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in tree_leaves(values) if isinstance(value, torch.Tensor))


def _without_repeats(tensors: list) -> list:
    seen: Set[Tuple] = set()
    kept = []
    for tensor in tensors:
        key = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape)
        if key not in seen:
            kept.append(tensor)
        seen.add(key)
    return kept


def _distinct_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor, counting expanded dimensions once."""
    count = tensor.element_size()
    for length, stride in zip(tensor.shape, tensor.stride()):
        count *= 1 if stride == 0 and length else length
    return count
