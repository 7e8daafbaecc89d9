"""Funnel activations behind norms, every number of them random, and what their definition gives in double precision."""

import copy
from functools import reduce
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from devices import DEVICE, INTERPRETED
from torch import Tensor, nn

from mm_frelu import FReLU, LightFReLU

FLOAT, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16
TOLERANCE = {FLOAT: 2e-5, HALF: 5e-3, BRAIN: 2e-2}
NEAR_TIE = 1e-5
"""Difference of x and T, in shares of the largest x, below which rounding decides which of them gets the gradient."""


class Case(NamedTuple):
    """One way to use a funnel activation.

    Attributes:
        shape: (N, C, H, W).
        norms: Norm of each branch: ``'batch'``, ``'fixed'`` (running statistics) or None.
        windows: Norm of the windows: ``'batch'``, ``'fixed'`` or ``'none'`` (folded).
        size: Side of the window.
        light: How the two windows of LightFReLU are combined; None for FReLU.
        last: Whether the features are channels_last.
        dtype: Type of the features. Windows of float32 compute under autocast.
        pure: Whether the windows' weights are of that type, too.
        bias: Whether the windows have one.
        options: Arguments of all norms.
    """

    shape: Tuple[int, int, int, int]
    norms: Tuple[Optional[str], ...] = (None,)
    windows: str = 'batch'
    size: int = 3
    light: Optional[str] = None
    last: bool = False
    dtype: torch.dtype = FLOAT
    pure: bool = False
    bias: bool = True
    options: Dict[str, Any] = {}

    def __str__(self) -> str:
        """The shape, and what is not as usual."""
        changed = [
            f'{name}={value}'
            for name, value in self._asdict().items()
            if name != 'shape' and value != self._field_defaults[name]
        ]
        return ' '.join(['x'.join(map(str, self.shape)), *changed]).replace('torch.', '')


class Site(nn.Module):
    """Norms and the activation of their sum."""

    def __init__(self, case: Case, implementation: str = 'triton') -> None:
        super().__init__()
        channels = case.shape[1]
        self.act = _activation(case)
        self.act.implementation = implementation
        self.norms = nn.ModuleList(
            nn.Identity() if mode is None else nn.BatchNorm2d(channels, **case.options)
            for mode in case.norms
        )
        norms = [norm for _, norm in self.act.windows] + list(self.norms)
        for k, norm in enumerate(norms, start=1):
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps = 0.01 * k  # each its own, and large enough to be missed
                norm.momentum = norm.momentum and 0.1 * k
        self._randomize()
        for _, norm in self.act.windows:
            norm.train(case.windows == 'batch')
        for norm, mode in zip(self.norms, case.norms):
            norm.train(mode == 'batch')
        if case.pure:
            for conv, _ in self.act.windows:
                conv.to(case.dtype)
        self.to(DEVICE)

    def _randomize(self) -> None:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            for norm in self.norms:
                if getattr(norm, 'weight', None) is not None:
                    norm.weight.abs_().add_(0.1)
            for name, buffer in self.named_buffers():
                if 'running' in name:
                    buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)

    @property
    def branches(self) -> List[Optional[nn.Module]]:
        """The norm of each branch, or None."""
        return [None if isinstance(norm, nn.Identity) else norm for norm in self.norms]

    def forward(self, *features: Tensor) -> Tensor:
        """Activate one feature map for each norm."""
        return self.act.after_norms(list(zip(features, self.branches)))


def _activation(case: Case) -> nn.Module:
    norm_cfg = None if case.windows == 'none' else dict(type='BN', **case.options)
    options = dict(kernel_size=case.size, bias=case.bias, norm_cfg=norm_cfg)
    if case.light is None:
        return FReLU(case.shape[1], **options)
    return LightFReLU(case.shape[1], combine=case.light, **options)


def random(case: Case, seed: int = 0) -> Tensor:
    """Random features."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(case.shape, generator=generator).to(DEVICE, case.dtype)
    return x.to(memory_format=torch.channels_last) if case.last else x


def inputs(case: Case) -> List[Tensor]:
    """Random features for each branch."""
    return [random(case, seed=2 + index) for index in range(len(case.norms))]


def autocast(case: Case) -> torch.autocast:
    """The surroundings that a case is computed in."""
    return torch.autocast(DEVICE, case.dtype, enabled=case.dtype != FLOAT and not case.pure)


def results(
    run: Callable[..., Tensor], site: nn.Module, features: List[Tensor], grad: Tensor
) -> Dict[str, Tensor]:
    """Value, all gradients and all buffers after a forward and a backward run."""
    leaves = [branch.detach().clone().requires_grad_() for branch in features]
    y = run(*leaves)
    y.backward(grad)
    found = {'y': y.detach()}
    found.update((f'branch {index}', leaf.grad) for index, leaf in enumerate(leaves))
    found.update((f'{name}.grad', p.grad) for name, p in site.named_parameters())
    found.update((name, buffer.clone()) for name, buffer in site.named_buffers())
    return found


def by_kernels(
    case: Case, site: Optional[Site] = None, wrap: Callable = lambda site: site
) -> Dict[str, Tensor]:
    """What the kernels give."""
    site = site or Site(case)
    with autocast(case):
        return results(wrap(site), site, inputs(case), random(case, seed=1))


class Definition:
    """A site op by op in double precision, but that what norms and their sum give has the type of the case.

    Attributes:
        near: Pixels whose gradient depends on one where x and T, or two windows, nearly tie.
    """

    def __init__(self, case: Case, site: Optional[Site] = None) -> None:
        self.case = case
        self.site = copy.deepcopy(site or Site(case)).double()
        self.near: Optional[Tensor] = None

    def results(
        self, features: Optional[List[Tensor]] = None, grad: Optional[Tensor] = None
    ) -> Dict[str, Tensor]:
        """As :func:`results`."""
        features = inputs(self.case) if features is None else features
        grad = random(self.case, seed=1) if grad is None else grad
        return results(self, self.site, [x.double() for x in features], grad.double())

    def __call__(self, *features: Tensor) -> Tensor:
        """The activated features."""
        normed = (self._rounded(norm(u)) for norm, u in zip(self.site.norms, features))
        x = reduce(lambda x, value: self._rounded(x + value), normed)
        act = self.site.act
        values = [norm(conv(x)) for conv, norm in act.windows]
        join = torch.add if act.combine == 'sum' else torch.maximum
        condition = reduce(join, values)
        near = (x - condition).abs() < NEAR_TIE * x.abs().max()
        if act.combine == 'max' and len(values) == 2:
            near |= (values[0] - values[1]).abs() < NEAR_TIE * x.abs().max()
        size = self.case.size
        self.near = F.max_pool2d(near.double(), size, 1, size // 2) > 0
        return torch.maximum(x, condition)

    def _rounded(self, values: Tensor) -> Tensor:
        return values + (_rounded(values, self.case.dtype).double() - values).detach()


def _rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    if INTERPRETED and dtype == BRAIN:
        # Triton's interpreter cuts the bits off that bfloat16 has not, where a GPU rounds to the nearest.
        return (values.detach().float().view(torch.int32) & -(2**16)).view(FLOAT)
    return values.detach().to(dtype)


def in_memory(x: Tensor) -> List[int]:
    """Strides, but for dimensions of size 1, where they mean nothing."""
    return [stride for size, stride in zip(x.shape, x.stride()) if size > 1]


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
        assert value.shape == right.shape, name
        distance = (value.double() - right).norm() / right.norm().clamp(min=smallest)
        assert distance <= tolerance, f'{name}: {distance:.2e} over {tolerance:.0e}'


def without_zeros(case: Case, found: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """All but the gradients that are zero but for rounding, as a norm over the batch takes out what they would move."""
    if case.windows != 'batch':
        return found
    names = ['bias.grad', 'weight.grad'] if case.size == 1 else ['bias.grad']
    return {
        name: value
        for name, value in found.items()
        if not ('conv' in name and name.endswith(tuple(names)))
    }


def without_near_ties(case: Case, found: Dict[str, Tensor], near: Tensor) -> Dict[str, Tensor]:
    """The same with the features' gradients left out near a tie. There may be only a few of those pixels."""
    assert near.sum() <= max(case.size**2, near.numel() // 1000), f'{int(near.sum())} near ties'
    return {
        name: value.masked_fill(near, 0) if name.startswith('branch') else value
        for name, value in found.items()
    }


def check(case: Case, smallest: float = 1e-6) -> None:
    """Compare the kernels with the definition: values, gradients, buffers, types and strides."""
    site, definition = Site(case), Definition(case)
    found, expected = by_kernels(case, site), definition.results()
    assert site.act.live.name == 'triton'
    x = random(case)
    for name in ('y', *(f'branch {index}' for index in range(len(case.norms)))):
        assert found[name].dtype == case.dtype
        assert in_memory(found[name]) == in_memory(x)
    for name, value in found.items():
        if name.endswith('conv.bias.grad') and case.windows == 'batch':
            assert not value.any()
    compare(
        *(
            without_near_ties(case, without_zeros(case, values), definition.near)
            for values in (found, expected)
        ),
        TOLERANCE[case.dtype],
        smallest,
    )
