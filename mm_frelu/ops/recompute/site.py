r"""A site as data: what it is made of, apart from its tensors, and its tensors in a row for autograd.

.. math::
    x = \sum_i \mathrm{norm}_i(u_i), \qquad y = \max(x,\ T(x))

Each term :math:`u_i` is the output of a convolution, or a shortcut without norm; :math:`T` is made of windows.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

from .norms import BATCH, Norm, NormTensors
from .windows import Window, WindowTensors

TERM_TENSORS, WINDOW_TENSORS = 5, 6


class Site(NamedTuple):
    """What a site does, without its tensors.

    Attributes:
        terms: The norm of each term of ``x``.
        windows: The windows.
        combine: How they become one condition, ``'sum'`` or ``'max'``.
        kernels: Name of the implementation whose arithmetic computes it.
    """

    terms: Tuple[Norm, ...]
    windows: Tuple[Window, ...]
    combine: str
    kernels: str = 'recompute'

    @property
    def norms(self) -> List[Norm]:
        """The norms of the terms, then those of the windows."""
        return [*self.terms, *(window.norm for window in self.windows)]


class SiteTensors(NamedTuple):
    """The tensors of a site.

    Attributes:
        terms: The terms, each with the tensors of its norm.
        windows: The tensors of the windows.
        is_spare: Whether the first term is needed no more, so that its memory may be taken for the result.
    """

    terms: List[Tuple[Tensor, NormTensors]]
    windows: List[WindowTensors]
    is_spare: bool = False

    def of(self, channels: slice) -> 'SiteTensors':
        """The same for some of the channels."""
        terms = [(u[:, channels], norm.of(channels)) for u, norm in self.terms]
        return SiteTensors(terms, [window.of(channels) for window in self.windows])

    def flat(self) -> List[Optional[Tensor]]:
        """All of them in a row, for autograd."""
        row: List[Optional[Tensor]] = []
        for u, norm in self.terms:
            row += [u, *norm]
        for weight, bias, norm in self.windows:
            row += [weight, bias, *norm]
        return row

    @staticmethod
    def length(site: Site) -> int:
        """How many tensors :meth:`flat` puts in a row."""
        return TERM_TENSORS * len(site.terms) + WINDOW_TENSORS * len(site.windows)

    @classmethod
    def of_flat(cls, site: Site, row: Sequence[Optional[Tensor]]) -> 'SiteTensors':
        """What :meth:`flat` put in a row."""
        split = TERM_TENSORS * len(site.terms)
        terms = [
            (row[start], NormTensors(*row[start + 1 : start + TERM_TENSORS]))
            for start in range(0, split, TERM_TENSORS)
        ]
        windows = [
            WindowTensors(
                row[start],
                row[start + 1],
                NormTensors(*row[start + 2 : start + WINDOW_TENSORS]),
            )
            for start in range(split, len(row), WINDOW_TENSORS)
        ]
        return cls(terms, windows)

    @staticmethod
    def flat_gradients(
        site: Site, terms: Sequence[Tensor], values: Sequence[Optional[Tensor]]
    ) -> List[Optional[Tensor]]:
        """Gradients in the order of :meth:`flat`.

        Args:
            site: The site.
            terms: Gradients of the terms.
            values: Gradients of scale and shift for each term; then of weight, bias, scale and shift for each window.
        """
        row: List[Optional[Tensor]] = []
        rest = iter(values)
        for grad in terms:
            row += [grad, next(rest), next(rest), None, None]
        for _ in site.windows:
            row += [next(rest), next(rest), next(rest), next(rest), None, None]
        return row

    def with_statistics(self, site: Site, statistics: Sequence[Tensor]) -> 'SiteTensors':
        """The same, with mean and variance of the batch for the norms that take them from it."""
        rest = iter(statistics)

        def known(norm: Norm, values: NormTensors) -> NormTensors:
            if norm.mode != BATCH:
                return values
            return values._replace(mean=next(rest), var=next(rest))

        terms = [(u, known(norm, values)) for norm, (u, values) in zip(site.terms, self.terms)]
        windows = [
            tensors._replace(norm=known(window.norm, tensors.norm))
            for window, tensors in zip(site.windows, self.windows)
        ]
        return SiteTensors(terms, windows)
