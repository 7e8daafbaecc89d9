"""Hook that logs statistics of the activations during training."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mm_frelu.engine.checkpoint_guard import unwrap, warn
from mm_frelu.registry import HOOKS

from .statistics import ActivationStatistics


@HOOKS.register_module()
class ActivationStatisticsHook(Hook):
    """Log how often FReLU chooses its window and how nonlinear DY-ReLU is, for each layer, to the visualiser's backends.

    The hook is not enabled by default. To enable it on the command line: ``--cfg-options
    default_hooks.activations.type=mm_frelu.ActivationStatisticsHook``.

    ``activation/window_share/LAYER`` is the fraction of the values with :math:`T(x) > x`. ``activation/gamma_norm/LAYER`` is the
    L2 norm of the scales of the window's norm, which is 0 at the start with ``init='identity'``.
    ``activation/slope_difference/LAYER`` is the mean of :math:`|a^1 - a^2|` of DY-ReLU over the images and channels of the batch.

    For a model compiled with ``torch.compile``, only the norms of gamma are logged, because its graph may not call hooks that are
    registered later.

    Args:
        interval (int): Number of steps between two recorded steps. A recorded step takes longer and needs more memory, because
            activations are not fused with the norms before them.
    """

    # Before LoggerHook (BELOW_NORMAL), after hooks that change the model.
    priority = 'NORMAL'

    def __init__(self, interval: int = 100) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(
                f'ActivationStatisticsHook: interval must be a number of steps, 1 or more; got {interval!r}.'
            )
        self.interval = interval
        self._statistics: Optional[ActivationStatistics] = None
        self._watching = False

    def before_train(self, runner: Runner) -> None:
        """Find the activations."""
        self._statistics = ActivationStatistics(unwrap(runner.model))
        if not len(self._statistics):
            warn(
                'ActivationStatisticsHook: the model has no FReLU, LightFReLU or DY-ReLU. There is nothing to log.'
            )
            self._statistics = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Start recording in the steps to be logged."""
        if self._statistics is not None and self.every_n_train_iters(runner, self.interval):
            self._statistics.start()
            self._watching = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Log the statistics, with the same step number as LoggerHook."""
        if self._watching and self._statistics is not None:
            self._watching = False
            values = self._statistics.stop()
            if values:
                step = runner.iter + 1
                # LoggerHook logs 'iter' too: without it, WandB would not have an axis, because it ignores the step.
                runner.visualizer.add_scalars({**values, 'iter': step}, step=step)
