r"""The activate field of the FReLU paper, traced through a complete network.

The paper (section 3.2, "Pixel-wise modeling capacity", and figure 3) considers a sequence of funnel activations only. Each pixel
either keeps its value or takes that of a :math:`k \times k` window, which adds :math:`r = k - 1` to the side of its activate
field. After n activations the field is a square whose side is one of :math:`\{1, 1 + r, 1 + 2r, \dots, 1 + nr\}`.

A network mixes channels and positions between the activations. A value therefore depends on many paths with different numbers
of chosen windows. Here every value is divided among its paths:

    **Definition.** The parts :math:`p_g` of a value :math:`y`, with :math:`\sum_g p_g = |y|`, are the contributions of the paths
    whose chosen windows add up to the growth g. The field of the value is the distribution of the sides :math:`1 + g` with the
    weights :math:`p_g / |y|`.

    - All of the value of an image pixel has growth 0.
    - Where a funnel activation keeps x, the parts do not change. Where it takes the window, they are the parts of T(x), and each
      growth is increased by r (``dilation * (kernel_size - 1)``, in pixels of that layer).
    - Each term of a weighted sum, :math:`y = \sum_i w_i x_i + b`, contributes in proportion to its size: :math:`p_g(y) \propto
      \sum_i |w_i|\, p_g(x_i)`, scaled to add up to :math:`|y|`. This applies to the convolutions of the network and of the
      windows, with any stride, padding or dilation (padded zeros have no parts), to average pooling, to resizing, and to the sum
      of a residual block. As in the paper, convolutions do not increase the field.
    - Max pooling, and any other choice between values, passes on the parts of the chosen value.
    - A norm with fixed statistics, any other activation and a gate (squeeze-and-excitation, the coefficients of DY-ReLU) change
      each value separately, so the proportions of the parts do not change.
    - If all terms of a value are zero, the value is a bias, and all of it has growth 0. (A chosen window adds its r to a bias as
      well.)

All of this follows from the recorded choices of one forward pass. Nothing is sampled or fitted. :mod:`.field_rules` has the
rules for torch's operators.
"""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Set

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from mm_frelu.activations import FReLUAblation, FunnelActivation
from mm_frelu.activations.live import recording_disabled
from mm_frelu.engine.errors import UserError
from mm_frelu.ops.eager import funnel_condition

from .field_rules import Parts, chosen, passed_on
from .layers import is_dynamic


class Field(NamedTuple):
    """Activate field of a layer.

    Attributes:
        sides: Sides of the fields that occur, in pixels, ascending.
        parts: Parts for each side, summed over the channels, of shape (sides, H, W). Their sum over all sides is the sum of the
            absolute values of the channels.
    """

    sides: List[int]
    parts: Tensor

    @property
    def mean_sides(self) -> Tensor:
        """Mean side at each pixel, of shape (H, W); NaN where all channels are zero."""
        sides = torch.tensor(self.sides, dtype=self.parts.dtype, device=self.parts.device)
        return torch.einsum('s,shw->hw', sides, self.parts) / self.parts.sum(dim=0)

    @property
    def histogram(self) -> Dict[int, float]:
        """Fraction of the layer's value by side."""
        totals = self.parts.double().sum(dim=(1, 2))
        return dict(zip(self.sides, (totals / totals.sum().clamp_min(1e-300)).tolist()))

    @property
    def mean_side(self) -> float:
        """Mean side, weighted by the layer's values."""
        return sum(side * share for side, share in self.histogram.items())


class FieldTrace(TorchDispatchMode):
    """Mode that tracks the parts of all tensors that depend on the image. Use :func:`traced`.

    Attributes:
        without_rule: Operators that have no rule to pass on parts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._parts = WeakTensorKeyDictionary()
        self._paused = False
        self.without_rule: Set[str] = set()

    def start(self, image: Tensor) -> None:
        """Set the parts of the image."""
        self._parts[image] = {0: image.abs()}

    def parts_of(self, tensor: Any) -> Any:
        """Return the parts of a tensor, or None."""
        return self._parts.get(tensor) if isinstance(tensor, Tensor) else None

    def set_parts(self, tensor: Tensor, parts: Parts) -> None:
        """Scale parts to add up to the absolute values of a tensor, and store them."""
        size = tensor.abs()
        total: Any = sum(parts.values()) if parts else torch.zeros_like(size)
        scale = torch.where(total > 0, size / total, torch.zeros_like(size))
        # The quotient of tiny sums may overflow.
        scale = torch.where(torch.isfinite(scale), scale, torch.zeros_like(scale))
        scaled = {growth: part * scale for growth, part in parts.items()}
        alone = torch.where(scale > 0, torch.zeros_like(size), size)
        scaled[0] = scaled[0] + alone if 0 in scaled else alone
        self._parts[tensor] = {
            growth: part for growth, part in scaled.items() if growth == 0 or bool(part.any())
        }

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not track parts inside this context."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        """Run an operator, and pass on the parts of its arguments to its results."""
        kwargs = kwargs or {}
        name = func._schema.name.rpartition('::')[2]
        if self._paused or not self._concerns(args):
            out = func(*args, **kwargs)
            if not self._paused and name.endswith('_') and self.parts_of(args[0]) is not None:
                self._parts.pop(args[0], None)
            return out
        # Rules need the arguments as they were before an in-place operator.
        changed = name.endswith('_') and not name.startswith('_')
        if changed and args[0]._is_view() and self.parts_of(args[0]._base) is not None:
            self.without_rule.add(f'{name} on a part of a tensor')
        before = [arg.clone() if changed and index == 0 else arg for index, arg in enumerate(args)]
        if changed and self.parts_of(args[0]) is not None:
            self._parts[before[0]] = self._parts[args[0]]
        out = func(*args, **kwargs)
        outs = out if isinstance(out, (tuple, list)) else [out]
        plain = getattr(torch.ops.aten, name[:-1], None) if changed else None
        parts = passed_on(name, plain or func, before, kwargs, out, self.parts_of)
        for tensor, part in zip(outs, parts):
            if part is not None and tensor.is_floating_point():
                self.set_parts(tensor, part)
            elif isinstance(tensor, Tensor) and (tensor.is_floating_point() or tensor.is_complex()):
                self._parts.pop(tensor, None)
                if not any(parts):
                    self.without_rule.add(name)
        return out

    def _concerns(self, args: tuple) -> bool:
        return any(
            self._concerns(tuple(arg))
            if isinstance(arg, (list, tuple))
            else self.parts_of(arg) is not None
            for arg in args
        )

    def activate(self, module: FunnelActivation, x: Tensor) -> Tensor:
        """Compute a funnel activation by its definition, and the parts of its output."""
        condition = (
            module.pool(x)
            if isinstance(module, FReLUAblation) and module.condition != 'window'
            else funnel_condition(x, module.windows, module.combine)
        )
        form = getattr(module, 'form', 'max')
        with self.paused():
            grown = self._grown(condition, module.dilation * (module.kernel_size - 1))
            own = self.parts_of(x) or {}
            if form == 'max':
                y = torch.maximum(x, condition)
                parts = chosen(condition > x, grown, own, y)
            elif form == 'sum':
                y = x + condition
                parts = {g: own.get(g, 0) + grown.get(g, 0) for g in {*own, *grown}}
            else:
                y, parts = torch.relu(condition), grown
            if own or grown:
                self.set_parts(y, parts)
        return y

    def _grown(self, condition: Tensor, growth: int) -> Parts:
        """Return the parts of a condition, with their growth increased by the window."""
        parts = self.parts_of(condition) or {}
        return {before + growth: part for before, part in parts.items()}


@contextmanager
def traced(model: nn.Module, image: Tensor) -> Iterator[FieldTrace]:
    """Trace forward passes of an image inside this context.

    Args:
        model: The model, in eval mode.
        image: Its input. It must be the same tensor object that is passed to the model.

    Yields:
        The trace. :meth:`FieldTrace.parts_of` returns the parts of a tensor while the tensor exists.
    """
    trace = FieldTrace()
    trace.start(image)
    replaced = []

    def forward_of(module: nn.Module) -> Callable:
        if isinstance(module, FunnelActivation):
            return lambda x: trace.activate(module, x)
        original = module.forward

        def forward(x: Tensor) -> Tensor:
            with trace.paused():
                y = original(x)
                if trace.parts_of(x) is not None:
                    trace.set_parts(y, trace.parts_of(x))
            return y

        return forward

    with recording_disabled(), torch.no_grad():
        try:
            for module in model.modules():
                if isinstance(module, FunnelActivation) or is_dynamic(module):
                    module.forward = forward_of(module)
                    replaced.append(module)
            with trace:
                yield trace
        finally:
            for module in replaced:
                del module.forward


def trace_fields(
    model: nn.Module,
    image: Tensor,
    layers: Mapping[str, nn.Module],
    run: Callable[[], Any],
) -> Dict[str, Field]:
    """Compute the activate fields of some layers for one image.

    Args:
        model: The model, in eval mode.
        image: Its input, of shape (1, C, H, W).
        layers: Any modules whose output is a feature map, by name.
        run: Function that runs the model on the image.

    Returns:
        The field of each layer, in the order of their first calls.

    Raises:
        UserError: If a layer did not run, its output is not a feature map, or it comes after an operator without a rule.
    """
    fields: Dict[str, Field] = {}
    handles = []

    def hook_of(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, out: Any) -> None:
            if name in fields:
                return
            if not isinstance(out, Tensor) or out.dim() != 4:
                raise UserError(
                    f'The output of {name} is not a feature map of shape (N, C, H, W). Choose another layer.'
                )
            parts = trace.parts_of(out)
            if parts is None:
                lost = ', '.join(sorted(trace.without_rule)) or 'an operator before it'
                raise UserError(
                    f'{name} cannot be traced: {lost} has no rule to pass on fields. Choose an earlier layer.'
                )
            with trace.paused():
                growths = sorted(parts)
                summed = torch.stack([parts[growth][0].sum(dim=0) for growth in growths])
            fields[name] = Field([1 + growth for growth in growths], summed.cpu())

        return hook

    with traced(model, image) as trace:
        try:
            for name, module in layers.items():
                handles.append(module.register_forward_hook(hook_of(name)))
            run()
        finally:
            for handle in handles:
                handle.remove()
    missing = [name for name in layers if name not in fields]
    if missing:
        raise UserError(
            f'{missing[0]} does not run when the model is tested (like an auxiliary head). Choose another layer.'
        )
    return fields
