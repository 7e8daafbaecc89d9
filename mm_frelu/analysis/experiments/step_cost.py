"""Cost of a training step of each model: time, and memory saved for backward.

The runs of a comparison may share the machine with each other and with other work, so their times are not comparable. Here the
models run in turns, step by step on one batch in one process, so that other work slows down all of them.
"""

import copy
import statistics
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Callable, Dict, List

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import set_random_seed

from mm_frelu.analysis.input_shape import input_shape
from mm_frelu.analysis.kept_for_backward import kept_bytes
from mm_frelu.analysis.measure import times_in_turns
from mm_frelu.analysis.model_cost import measure, total_of
from mm_frelu.engine.model_builder import build_model
from mm_frelu.engine.runner import GuardedRunner


@dataclass
class StepCost:
    """Cost of one model.

    Attributes:
        parameters: Number of its parameters.
        macs: Multiply-adds of one forward pass of one test image.
        seconds: Median time of a training step, in seconds.
        times_baseline: Median of the ratio of its time to that of the baseline in the same round.
        quartiles: First and third quartile of this ratio.
        kept: Bytes saved for backward.
    """

    parameters: int
    macs: int
    seconds: float
    times_baseline: float
    quartiles: List[float]
    kept: int


def measure_step_costs(cfgs: Dict[str, Config], rounds: int) -> Dict[str, Any]:
    """Measure training steps of several models in turns.

    Args:
        cfgs: Configs by name; the first one is the baseline. They have the same dataset and batch size.
        rounds: Number of measurements of each model.

    Returns:
        ``costs``, the fields of :class:`StepCost` by name, and how they were measured: ``device``, ``threads``, ``rounds``,
        ``batch`` (shape of the images), ``shape`` (height and width for the MACs), ``torch``.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    baseline = next(iter(cfgs.values()))
    models: Dict[str, Any] = {}
    optimizers = {}
    for name, cfg in cfgs.items():
        set_random_seed(0)
        models[name] = build_model(cfg, device).train()
        optimizers[name] = build_optim_wrapper(models[name], copy.deepcopy(cfg.optim_wrapper))

    batch = first_batch(baseline)
    images, kept = {}, {}
    for name, model in models.items():
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        images[name] = list(data['inputs'].shape)
        kept[name] = kept_bytes(model, **data, mode='loss')

    steps: Dict[str, Callable[[], object]] = {
        name: partial(_step, model, optimizers[name], batch) for name, model in models.items()
    }
    times = times_in_turns(steps, rounds, torch.device(device))

    shape = input_shape(baseline)
    first = next(iter(times.values()))
    costs = {}
    for name, cfg in cfgs.items():
        total = total_of(measure(cfg, shape))
        ratios = [own / other for own, other in zip(times[name], first)]
        costs[name] = asdict(
            StepCost(
                parameters=total.parameters,
                macs=total.macs,
                seconds=statistics.median(times[name]) / 1000,
                times_baseline=statistics.median(ratios),
                quartiles=_quartiles(ratios),
                kept=kept[name],
            )
        )
    return dict(
        costs=costs,
        device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
        threads=torch.get_num_threads(),
        rounds=rounds,
        batch=next(iter(images.values())),
        shape=[shape.height, shape.width],
        torch=torch.__version__,
    )


def first_batch(cfg: Config) -> Dict[str, Any]:
    """Load the first batch of the training data without worker processes."""
    loader = copy.deepcopy(cfg.train_dataloader)
    loader.update(num_workers=0, persistent_workers=False)
    for key in ('prefetch_factor', 'timeout'):  # of worker processes
        loader.pop(key, None)
    set_random_seed(0)
    return next(iter(GuardedRunner.build_dataloader(loader, seed=0)))


def _step(model: Any, optimizer: Any, batch: Dict[str, Any]) -> None:
    # The preprocessor pads the labels of a batch in place, so each step gets a copy of the labels.
    model.train_step(copy.deepcopy(batch), optimizer)


def _quartiles(values: List[float]) -> List[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    first, _, third = statistics.quantiles(values, n=4, method='inclusive')
    return [first, third]
