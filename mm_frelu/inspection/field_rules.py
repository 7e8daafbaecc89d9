"""Rules by which torch's operators pass on parts (see :mod:`.field`).

The parts of a tensor are ``{growth: part}``, non-negative tensors of its shape that add up to its absolute value. A rule gets
the call of an operator and returns the parts of its result, before they are scaled. Every rule is one line of the definition:

- Operators that are linear in the features (convolutions, average pooling, resizing, reshaping, concatenation, sums) are applied
  to the parts with absolute weights, so that the contribution of a term depends on its size and not on its sign.
- Operators that choose one of several values (max pooling, maximum, ``where``) pass on the parts of the chosen value.
- Operators that change each value separately (norms, activations, gates) pass on its parts. Shifts, statistics and gates are
  coefficients and have no field.
"""

from functools import reduce
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor

Parts = Dict[int, Tensor]
Lookup = Callable[[Any], Optional[Parts]]
"""Returns the parts of a tensor; None if the tensor does not depend on the image."""

aten = torch.ops.aten

NORMS = {
    'native_batch_norm',
    '_native_batch_norm_legit',
    '_native_batch_norm_legit_no_training',
    '_batch_norm_with_update',
    'cudnn_batch_norm',
    'miopen_batch_norm',
    'native_group_norm',
    'native_layer_norm',
}

LINEAR = {
    # pooling and resizing by weights that are not negative
    'mean',
    'sum',
    'avg_pool2d',
    '_adaptive_avg_pool2d',
    'upsample_nearest2d',
    '_upsample_nearest_exact2d',
    'upsample_bilinear2d',
    # the same values at other positions
    'view',
    '_unsafe_view',
    'reshape',
    '_reshape_copy',
    'permute',
    'transpose',
    't',
    'expand',
    'slice',
    'select',
    'unsqueeze',
    'squeeze',
    'clone',
    'detach',
    'alias',
    'flip',
    'roll',
    'index',
    'index_select',
    'split',
    'split_with_sizes',
    'unbind',
    'repeat',
    'im2col',
    'pixel_shuffle',
    'pixel_unshuffle',
    'constant_pad_nd',
    'reflection_pad2d',
    'replication_pad2d',
    '_to_copy',
    'contiguous',
    'channel_shuffle',
    'native_channel_shuffle',
}

JOINS = {'cat', 'stack'}
SUMS = {'add', 'add_', 'sub', 'sub_', 'rsub'}
PRODUCTS = {'mul', 'mul_', 'div', 'div_'}
MATRIX_PRODUCTS = {'mm': 0, 'bmm': 0, 'matmul': 0, 'addmm': 1, 'baddbmm': 1}
"""Names, and the index of the argument that is the left factor."""


def passed_on(
    name: str, func: Callable, args: Sequence[Any], kwargs: Dict[str, Any], out: Any, of: Lookup
) -> List[Optional[Parts]]:
    """Compute the parts of each tensor that an operator returns.

    Args:
        name: Name of the operator without overload.
        func: The operator.
        args: Its arguments. At least one of them has parts.
        kwargs: Its keyword arguments.
        out: Its result.
        of: Function that returns the parts of an argument.

    Returns:
        One entry for each tensor of ``out``; None if the operator has no rule, or the tensor has no parts.
    """
    outs = out if isinstance(out, (tuple, list)) else [out]
    first = of(args[0]) if args else None
    if name in NORMS:
        return [first, *[None] * (len(outs) - 1)]
    if name in LINEAR and first is not None:
        results = {growth: func(part, *args[1:], **kwargs) for growth, part in first.items()}
        if not isinstance(out, (tuple, list)):
            return [results]
        return [
            {growth: result[index] for growth, result in results.items()}
            for index in range(len(outs))
        ]
    if name in ('convolution', '_convolution') and first is not None:
        _, weight, _, *settings = args
        if of(weight) is not None:
            return [None]
        if name == '_convolution':
            settings = settings[:6]
        weight = weight.abs()
        return [
            {
                growth: aten.convolution(part, weight, None, *settings)
                for growth, part in first.items()
            }
        ]
    if name == 'max_pool2d_with_indices' and first is not None:
        at = out[1].flatten(2)
        return [
            {
                growth: part.flatten(2).gather(2, at).view_as(out[0])
                for growth, part in first.items()
            },
            None,
        ]
    if name in JOINS:
        return [_joined(func, args, kwargs, of)]
    if name in SUMS:
        alpha = abs(kwargs.get('alpha', 1))
        return [_added([of(args[0]), of(args[1])], [1, alpha], out)]
    if name in PRODUCTS:
        return [_product(args[0], args[1], out, of)]
    if name in MATRIX_PRODUCTS:
        left = MATRIX_PRODUCTS[name]
        return [_matrix_product(args[left], args[left + 1], of)]
    if name in ('maximum', 'minimum'):
        a, b = args
        taken = a >= b if name == 'maximum' else a <= b
        return [chosen(taken, of(a), of(b), out)]
    if name == 'where':
        return [chosen(args[0], of(args[1]), of(args[2]), out)]
    if len(outs) == 1 and first is not None and outs[0].shape == args[0].shape:
        return [first]  # changes each value separately
    return [None] * len(outs)


def chosen(mask: Tensor, if_true: Optional[Parts], if_false: Optional[Parts], out: Tensor) -> Parts:
    """Return the parts of the chosen values. A constant has none."""
    parts: Parts = {}
    for taken, side in ((mask, if_true), (~mask, if_false)):
        for growth, part in (side or {}).items():
            value = torch.where(taken, part, part.new_zeros(())).expand_as(out)
            parts[growth] = parts[growth] + value if growth in parts else value
    return parts


def _added(sides: Sequence[Optional[Parts]], factors: Sequence[float], out: Tensor) -> Parts:
    parts: Parts = {}
    for side, factor in zip(sides, factors):
        for growth, part in (side or {}).items():
            value = part.expand_as(out) if factor == 1 else part.expand_as(out) * factor
            parts[growth] = parts[growth] + value if growth in parts else value
    return parts


def _product(a: Any, b: Any, out: Tensor, of: Lookup) -> Parts:
    """Return the parts of the factor with the features, which has the size of the result; each gets half if both have it."""
    tensors = [side for side in (a, b) if isinstance(side, Tensor)]
    whole = [side for side in tensors if side.shape == out.shape]
    sides = [parts for side in whole if (parts := of(side)) is not None]
    if not sides:  # both factors are broadcast
        sides = [parts for side in tensors if (parts := of(side)) is not None]
    tiny = torch.finfo(out.dtype).tiny
    sums = [reduce(torch.add, side.values()).clamp_min(tiny) for side in sides]
    return _added(
        [
            {growth: part / total for growth, part in side.items()}
            for side, total in zip(sides, sums)
        ],
        [1] * len(sides),
        out,
    )


def _matrix_product(a: Tensor, b: Tensor, of: Lookup) -> Parts:
    sides = []
    left, right = of(a), of(b)
    if left is not None:
        weight = b.abs()
        sides.append({growth: torch.matmul(part, weight) for growth, part in left.items()})
    if right is not None:
        weight = a.abs()
        sides.append({growth: torch.matmul(weight, part) for growth, part in right.items()})
    out = next(iter(sides[0].values()))
    return _added(sides, [1] * len(sides), out)


def _joined(func: Callable, args: Sequence[Any], kwargs: Dict[str, Any], of: Lookup) -> Parts:
    tensors, *rest = args
    parts = [of(tensor) for tensor in tensors]
    growths = sorted({growth for part in parts for growth in part or ()})
    nothing = [torch.zeros_like(tensor) for tensor in tensors]
    return {
        growth: func(
            [(part or {}).get(growth, zero) for part, zero in zip(parts, nothing)], *rest, **kwargs
        )
        for growth in growths
    }
