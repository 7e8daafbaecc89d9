"""What the checks of the fused kernels share: layers, references in double precision, comparison.

Triton decides when a kernel is defined whether its interpreter runs it, so ``fused_*_checks.py`` are not collected with the
rest: ``test_fused.py`` runs them in processes of their own, on the CPU and, where there is one, on a GPU.
"""

import copy
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from mm_frelu import FReLU, LightFReLU
from mm_frelu.ops import recompute_site
from mm_frelu.ops.fused import requirements

DEVICE = 'cpu' if requirements.INTERPRETED else 'cuda'
TOLERANCE = {torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}


class Case(NamedTuple):
    """One way to use a funnel activation."""

    shape: Tuple[int, int, int, int]
    mode: str = 'batch'  # 'batch', 'fixed' (running statistics) or 'none' (folded)
    kernel_size: int = 3
    light: Optional[str] = None  # how two windows are combined; None for FReLU
    channels_last: bool = False
    dtype: torch.dtype = torch.float32


def build(case: Case) -> nn.Module:
    """A layer in training or inference mode, every number of it random."""
    generator = torch.Generator().manual_seed(1)
    kwargs = dict(num_channels=case.shape[1], kernel_size=case.kernel_size, bias=True)
    if case.mode == 'none':
        kwargs.update(norm_cfg=None)
    layer = LightFReLU(combine=case.light, **kwargs) if case.light else FReLU(**kwargs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for name, buffer in layer.named_buffers():
            if 'running' in name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return layer.train(case.mode == 'batch').to(DEVICE)


def reference(x: Tensor, windows: List[Tuple[nn.Module, nn.Module]], combine: str) -> Tensor:
    """The definition, op by op."""
    conditions = [norm(conv(x)) for conv, norm in windows]
    if len(conditions) == 2:
        join = torch.add if combine == 'sum' else torch.maximum
        conditions = [join(*conditions)]
    return torch.maximum(x, conditions[0])


def fused_funnel(x: Tensor, windows: List[Tuple[nn.Module, nn.Module]], combine: str) -> Tensor:
    """The same by the kernels."""
    return recompute_site([(x, None)], windows, combine, kernels='triton')


def features(case: Case, seed: int = 0) -> Tensor:
    """Random features."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(case.shape, generator=generator).to(DEVICE, case.dtype)
    return x.to(memory_format=torch.channels_last) if case.channels_last else x


def results(function, layer: nn.Module, x: Tensor, grad: Tensor) -> Dict[str, Tensor]:
    """Value, all gradients and all buffers after a forward and a backward run."""
    layer = copy.deepcopy(layer)
    x = x.detach().clone().requires_grad_()
    y = function(x, layer.windows, layer.combine)
    y.backward(grad)
    found = {'y': y.detach(), 'x.grad': x.grad}
    found.update((f'{name}.grad', p.grad) for name, p in layer.named_parameters())
    found.update((name, buffer.clone()) for name, buffer in layer.named_buffers())
    return found


def compare(
    found: Dict[str, Tensor],
    expected: Dict[str, Tensor],
    tolerance: float,
    smallest: float = 1e-6,
) -> None:
    """Distance of every tensor, relative to its norm, or to ``smallest`` where that is more."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        right = expected[name].double()
        distance = (value.double() - right).norm() / right.norm().clamp(min=smallest)
        assert distance <= tolerance, f'{name}: {distance:.2e} over {tolerance:.0e}'


def drop_conv_biases(*found: Dict[str, Tensor]) -> None:
    """The statistics take a bias out again: its gradient is zero but for rounding."""
    for tensors in found:
        for name in [name for name in tensors if 'conv' in name and name.endswith('bias.grad')]:
            tensors.pop(name)
