"""Check that ReplaceActivation works for the model of a config.

The model is built with and without replaced activations, initialised and loaded like in a Runner, and run on dummy images. The
outputs are compared, and the model with replaced activations runs a training step.
"""

import copy
import logging
import random
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mm_frelu.engine.act_options import replaced_model
from mm_frelu.engine.model_builder import without_pretrained
from mm_frelu.replacement import Replacement
from mm_frelu.replacement.samples import Run
from mm_frelu.replacement.tracing import passes

SEED = 0


@dataclass
class Verdict:
    """Result for one config.

    Attributes:
        replaced: Replaced sites.
        kept: Selected sites that were not replaced, with the reason.
        kinds: Classes of the replaced activations.
        parameters: Number of parameters of the new activations.
        equal: Whether the outputs in eval mode are bitwise equal. None if they need not be, because activations other than ReLU
            were replaced.
        trained: Whether every new parameter got a finite gradient in a training step.
        problem: Why the check failed or could not run.
    """

    replaced: int = 0
    kept: Optional[Dict[str, int]] = None
    kinds: str = ''
    parameters: int = 0
    equal: Optional[bool] = None
    trained: bool = False
    problem: str = ''

    @property
    def works(self) -> bool:
        """Whether all applicable checks passed."""
        return not self.problem and self.trained and self.equal is not False


def check_config(
    cfg: Config,
    act_cfg: Dict[str, Any],
    include: Optional[List[str]] = None,
    exclude: Optional[List[str]] = None,
) -> Verdict:
    """Replace the activations of a config's model and check the model.

    Args:
        cfg: A config of mmdet or mmseg. It is not changed. Pretrained weights are not downloaded.
        act_cfg: Config of the new activation.
        include: Patterns of sites to replace, see :func:`mm_frelu.replace_activations`.
        exclude: Patterns of sites to skip.
    """
    verdict = Verdict()
    try:
        with _quiet():
            _check(cfg, act_cfg, include, exclude, verdict)
    except Exception as error:  # models, ops and libraries raise anything; the table says what
        verdict.problem = f'{type(error).__name__}: {gist(error)}'
    return verdict


def _check(
    cfg: Config,
    act_cfg: Dict[str, Any],
    include: Optional[List[str]],
    exclude: Optional[List[str]],
    verdict: Verdict,
) -> None:
    init_default_scope(cfg.default_scope)
    model_cfg = without_pretrained(cfg.model)
    original = _build(model_cfg)
    swapped: Any = _build(replaced_model(model_cfg, act_cfg, include, exclude))
    if not hasattr(swapped, 'replaced_activations'):
        verdict.problem = 'nothing to replace'
        return
    report: Replacement = swapped.replaced_activations.reports[0]
    new = _new_parameters(swapped, report)
    verdict.replaced = len(report.replaced)
    verdict.kinds = ', '.join(sorted({site.kind for site in report.replaced}))
    verdict.parameters = sum(parameter.numel() for parameter in new.values())
    verdict.kept = {}
    for _, reason in report.kept:
        verdict.kept[reason] = verdict.kept.get(reason, 0) + 1

    fit = swapped.load_state_dict(original.state_dict(), strict=False)
    layers = {swapped.get_submodule(site.name) for site in report.replaced}
    # A module may have two names, and its keys too (ANN).
    named = swapped.named_modules(remove_duplicate=False)
    sites = tuple(f'{name}.' for name, module in named if module in layers)
    # What a PReLU had learnt goes with it (CGNet).
    changed = [*fit.unexpected_keys, *fit.missing_keys]
    strangers = [key for key in changed if not key.startswith(sites)]
    if strangers:
        verdict.problem = f'keys changed: {", ".join(strangers[:3])}'
        return
    original, swapped = revert_sync_batchnorm(original), revert_sync_batchnorm(swapped)
    if verdict.kinds == 'ReLU':
        try:
            outputs, run = _first_that_runs(original.eval(), 'tensor')
        except TypeError:  # mmseg's PointRend has no such mode
            outputs, run = _first_that_runs(original.eval(), 'predict')
        verdict.equal = _same(outputs, _run(swapped.eval(), run))
    del original
    _train_a_step(swapped, new, verdict)


def _build(model_cfg: Dict[str, Any]) -> nn.Module:
    _seed()
    model = MODELS.build(copy.deepcopy(model_cfg))
    model.init_weights()
    return model


def _new_parameters(model: nn.Module, report: Replacement) -> Dict[str, Tensor]:
    sites = tuple(f'{site.name}.' for site in report.replaced)
    return {name: p for name, p in model.named_parameters() if name.startswith(sites)}


def _train_a_step(model: Any, new: Dict[str, Tensor], verdict: Verdict) -> None:
    model.train()
    losses, _ = _first_that_runs(model, 'loss', grad=True)
    total, _ = model.parse_losses(losses)
    total.backward()
    without = [name for name, p in new.items() if p.grad is None]
    bad = [name for name, p in new.items() if p.grad is not None and not p.grad.isfinite().all()]
    if without or bad:
        what = 'no gradient' if without else 'a gradient that is not finite'
        verdict.problem = (
            f'{what} in {len(without or bad)} new parameters, e.g. {(without or bad)[0]}'
        )
        return
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3).step()
    verdict.trained = all(bool(parameter.isfinite().all()) for parameter in new.values())


def _first_that_runs(model: nn.Module, mode: str, grad: bool = False) -> Any:
    """Run a model on the smallest dummy images that it supports. If all fail, raise the last error."""
    failure: Optional[Exception] = None
    for run in passes(model, mode):
        try:
            return _run(model, run, grad), run
        except (ImportError, NotImplementedError):
            raise
        except Exception as error:  # too small an image shows in many ways
            failure = error
    assert failure is not None  # there is at least one run
    raise failure


def _run(model: nn.Module, run: Run, grad: bool = False) -> Any:
    _seed()
    with torch.set_grad_enabled(grad):
        return run(model)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return bool(first.isfinite().all()) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    if hasattr(first, 'all_items'):  # InstanceData and other data elements
        return _same(dict(first.all_items()), dict(second.all_items()))
    return first is second or bool(first == second)


def _seed() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log of every initialised parameter."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def gist(error: Exception) -> str:
    """Return the beginning of a message, without advice and without local paths."""
    text = re.sub(r'^config .*?\.py: ', '', ' '.join(str(error).split()))
    for end in ('. ', ', and mm_frelu', ', the current sys.path'):
        text = text.partition(end)[0]
    return text[:160]
