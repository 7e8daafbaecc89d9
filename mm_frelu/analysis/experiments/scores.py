"""The scores of a comparison: by row and seed, with mean, spread and the difference to the baseline."""

import statistics
from typing import Any, Dict, List, NamedTuple, Sequence

from .options import Metric
from .run import Run

Scores = Dict[str, Dict[int, float]]
"""``{row: {seed: score in per cent}}``, the baseline first."""


class Estimate(NamedTuple):
    """Mean and sample standard deviation over the seeds; the latter is 0 for one seed."""

    mean: float
    deviation: float
    number: int

    def text(self, sign: str = '') -> str:
        """``41.2 ± 0.8``; without a spread for one seed.

        Args:
            sign: ``'+'`` to show the sign of a positive mean too.
        """
        mean = f'{self.mean:{sign}.1f}'
        return f'{mean} ± {self.deviation:.1f}' if self.number > 1 else mean


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and sample standard deviation (n - 1) of some scores."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return Estimate(statistics.fmean(values), spread, len(values))


def differences(scores: Dict[int, float], baseline: Dict[int, float]) -> List[float]:
    """A row minus the baseline, seed by seed: what a seed does to both falls out."""
    return [value - baseline[seed] for seed, value in scores.items()]


def score_of(run: Run, metric: Metric) -> float:
    """The score of a finished run: that of its last validation."""
    return metric.of(_history_of(run)[-1], run.name)


def start_score_of(run: Run, metric: Metric) -> float:
    """The score before the first step, of a run that validates there."""
    return metric.of(_history_of(run)[0], run.name)


def _history_of(run: Run) -> List[Dict[str, Any]]:
    result = run.result
    assert result is not None, f'{run.name} is not finished'
    return result['history']


def collect(runs: Sequence[Run], metric: Metric, at_start: bool = False) -> Scores:
    """The scores of finished runs.

    Args:
        runs: The runs.
        metric: What is compared.
        at_start: Take the scores before the first step instead of those at the end.
    """
    scores: Scores = {}
    for run in runs:
        score = start_score_of(run, metric) if at_start else score_of(run, metric)
        scores.setdefault(run.row, {})[run.seed] = score
    return scores
