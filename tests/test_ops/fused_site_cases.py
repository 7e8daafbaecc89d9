"""Sites with the norms before them, and what their definition gives, for the checks of the fused kernels."""

from functools import reduce
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from fused_cases import DEVICE, Case, build, features, reference
from torch import Tensor, nn


class SiteCase(NamedTuple):
    """One way to use a site."""

    shape: Tuple[int, int, int, int]
    norms: Tuple[Optional[str], ...] = ('batch',)  # mode of the norm of each term; None for no norm
    windows: str = 'batch'
    light: Optional[str] = None
    channels_last: bool = False
    dtype: torch.dtype = torch.float32

    def layer(self) -> Case:
        """The activation alone."""
        return Case(
            self.shape,
            self.windows,
            light=self.light,
            channels_last=self.channels_last,
            dtype=self.dtype,
        )


class Site(nn.Module):
    """Norms and the activation of their sum."""

    def __init__(self, case: SiteCase) -> None:
        super().__init__()
        self.act = build(case.layer())
        self.act.implementation = 'triton'
        self.norms = nn.ModuleList(_norm(case.shape[1], mode) for mode in case.norms)

    def forward(self, *features: Tensor) -> Tensor:
        norms = [None if isinstance(norm, nn.Identity) else norm for norm in self.norms]
        return self.act.after_norms(list(zip(features, norms)))


def _norm(channels: int, mode: Optional[str]) -> nn.Module:
    if mode is None:
        return nn.Identity()
    generator = torch.Generator().manual_seed(2)
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.copy_(torch.rand(channels, generator=generator) + 0.5)
    return norm.to(DEVICE).train(mode == 'batch')


def inputs(case: SiteCase) -> List[Tensor]:
    """Random features for each term."""
    return [features(case.layer(), seed=2 + index) for index in range(len(case.norms))]


def results(
    run: Callable[..., Tensor], site: nn.Module, terms: List[Tensor], grad: Tensor
) -> Dict[str, Tensor]:
    """Value, all gradients and all buffers after a forward and a backward run."""
    terms = [term.detach().clone().requires_grad_() for term in terms]
    y = run(*terms)
    y.backward(grad)
    found = {'y': y.detach()}
    found.update((f'term {index}', term.grad) for index, term in enumerate(terms))
    found.update((f'{name}.grad', p.grad) for name, p in site.named_parameters())
    found.update((name, buffer.clone()) for name, buffer in site.named_buffers())
    return found


def by_definition(case: SiteCase) -> Dict[str, Tensor]:
    """What the definition gives: in double precision, but that what the norms and their sum give has the case's type."""

    def rounded(values: Tensor) -> Tensor:
        return values + (values.to(case.dtype).double() - values).detach()

    def run(*terms: Tensor) -> Tensor:
        normed = (rounded(norm(term)) for norm, term in zip(site.norms, terms))
        x = reduce(lambda x, value: rounded(x + value), normed)
        return reference(x, site.act.windows, site.act.combine)

    site, terms = Site(case).double(), [term.double() for term in inputs(case)]
    return results(run, site, terms, features(case.layer(), seed=1).double())
