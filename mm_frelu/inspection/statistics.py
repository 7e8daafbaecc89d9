"""Statistics of the activations during training, computed from the forward pass of the training step."""

from typing import Any, ContextManager, Dict, List, Optional, Tuple

import torch
from mmengine.dist import all_reduce, get_comm_device, is_distributed
from torch import Tensor, nn

from .choices import chose_window, watched
from .dynamic import coefficients_of, slope_difference
from .layers import dynamic_layers, funnel_layers

PREFIX = 'activation'


class ActivationStatistics:
    """Record statistics of a model's activations between :meth:`start` and :meth:`stop`.

    It does not change the autograd graph or the running statistics. While it records, a funnel activation is not fused with the
    norm before it (because its module is called, as with any hook). This needs additional memory for the output of that norm.

    Args:
        model: The model, without wrappers.
    """

    def __init__(self, model: nn.Module) -> None:
        self._funnels = funnel_layers(model)
        self._dynamic = dynamic_layers(model)
        self._seen: Dict[str, Tuple[Tensor, int]] = {}
        self._watch: Optional[ContextManager[None]] = None

    def __len__(self) -> int:
        """Return the number of activations that are recorded."""
        return len(self._funnels) + len(self._dynamic)

    def start(self) -> None:
        """Start recording."""
        self._seen = {}
        self._watch = watched({**self._funnels, **self._dynamic}, self._see)
        self._watch.__enter__()

    @torch.no_grad()
    def _see(self, call: str, x: Tensor, y: Tensor) -> None:
        name = call.partition('#')[0]
        if name in self._funnels:
            key = f'{PREFIX}/window_share/{name}'
            # Count instead of averaging: a mean would first convert the booleans to float32.
            value = torch.count_nonzero(chose_window(x, y)).float() / x.numel()
        else:
            key = f'{PREFIX}/slope_difference/{name}'
            value = slope_difference(coefficients_of(self._dynamic[name], x)[0]).float().mean()
        total, calls = self._seen.get(key, (0.0, 0))
        self._seen[key] = total + value, calls + 1

    @torch.no_grad()
    def stop(self) -> Dict[str, float]:
        """Stop recording.

        Returns:
            By name: ``activation/window_share/LAYER``, the fraction of the values that chose the window;
            ``activation/gamma_norm/LAYER``, the L2 norm of the scales of the window's norms;
            ``activation/slope_difference/LAYER``, the mean of :math:`|a^1 - a^2|`. Values that depend on the batch are averaged
            over all processes.
        """
        if self._watch is None:
            return {}
        self._watch.__exit__(None, None, None)
        self._watch = None
        values: Dict[str, Tensor] = {}
        values.update(self._means())
        for name, module in self._funnels.items():
            scales: List[Any] = [norm.weight for _, norm in module.windows if _has_scale(norm)]
            if scales:
                values[f'{PREFIX}/gamma_norm/{name}'] = torch.cat(scales).float().norm()
        if not values:
            return {}
        # One transfer from the device instead of one for each number.
        numbers = torch.stack([value.detach().float() for value in values.values()]).tolist()
        return dict(zip(values, numbers))

    def _means(self) -> Dict[str, Tensor]:
        """Return the means over the calls of all processes, for the layers that any process called."""
        keys = [f'{PREFIX}/window_share/{name}' for name in self._funnels]
        keys += [f'{PREFIX}/slope_difference/{name}' for name in self._dynamic]
        if not is_distributed():
            return {
                key: self._seen[key][0] / self._seen[key][1] for key in keys if key in self._seen
            }
        # Every process sends a number for every layer, so that none waits for a process that did not call a layer.
        seen = [self._seen.get(key, (0.0, 0)) for key in keys]
        device = get_comm_device()
        totals = torch.stack([torch.as_tensor(total, device=device) for total, _ in seen])
        calls = torch.tensor([float(calls) for _, calls in seen], device=device)
        all_reduce(totals)
        all_reduce(calls)
        return {
            key: total / count for key, total, count in zip(keys, totals, calls.tolist()) if count
        }


def _has_scale(norm: nn.Module) -> bool:
    return isinstance(getattr(norm, 'weight', None), Tensor)
