"""Scores of a comparison by row and seed, with mean, standard deviation and difference from the baseline."""

import statistics
from typing import Any, Dict, List, NamedTuple, Sequence

from .options import Metric
from .run import Run

Scores = Dict[str, Dict[int, float]]
"""``{row: {seed: score in percent}}``, the baseline first."""


class Estimate(NamedTuple):
    """Mean and sample standard deviation over the seeds. The standard deviation of one seed is 0."""

    mean: float
    deviation: float
    number: int

    def text(self, sign: str = '') -> str:
        """Format as ``41.2 ± 0.8``, or without standard deviation for one seed.

        Args:
            sign: ``'+'`` to show the sign of a positive mean too.
        """
        mean = f'{self.mean:{sign}.1f}'
        return f'{mean} ± {self.deviation:.1f}' if self.number > 1 else mean


def estimate(values: Sequence[float]) -> Estimate:
    """Compute mean and sample standard deviation (n - 1) of scores."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return Estimate(statistics.fmean(values), spread, len(values))


def differences(scores: Dict[int, float], baseline: Dict[int, float]) -> List[float]:
    """Return a row minus the baseline for each seed, which cancels the common effect of the seed."""
    return [value - baseline[seed] for seed, value in scores.items()]


def score_of(run: Run, metric: Metric) -> float:
    """Return the score of a finished run, which is that of its last validation."""
    return metric.of(_history_of(run)[-1], run.name)


def start_score_of(run: Run, metric: Metric) -> float:
    """Return the score before the first step of a run that validates there."""
    return metric.of(_history_of(run)[0], run.name)


def _history_of(run: Run) -> List[Dict[str, Any]]:
    result = run.result
    assert result is not None, f'{run.name} is not finished'
    return result['history']


def collect(runs: Sequence[Run], metric: Metric, at_start: bool = False) -> Scores:
    """Return the scores of finished runs.

    Args:
        runs: The runs.
        metric: The metric that is compared.
        at_start: Whether to use the scores before the first step instead of those at the end.
    """
    scores: Scores = {}
    for run in runs:
        score = start_score_of(run, metric) if at_start else score_of(run, metric)
        scores.setdefault(run.row, {})[run.seed] = score
    return scores
