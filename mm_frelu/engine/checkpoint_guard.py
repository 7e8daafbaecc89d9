"""Report in one sentence if a checkpoint does not fit a model.

MMEngine loads with ``strict=False`` and prints every key that did not fit. For a ResNet-50 that is a screen of names. "Nothing fits"
and "only the head is new" look alike, and ``tools/test.py`` then reports an mIoU near 0 without an error.
"""

import logging
from collections import Counter
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from mm_frelu.activations.builder import is_activation
from mm_frelu.registry import HOOKS

from .checkpoint_file import weights_of
from .disagreement import disagreement
from .errors import UserError
from .resume_guard import check_resumable
from .trained_classes import compare_classes

Shape = Union[Tuple[int, ...], str]
"""Shape of a tensor, or the type of an entry that is not a tensor."""


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Compare a checkpoint with the model when it is loaded.

    Args:
        strict (bool): True for testing and resuming: every weight must fit, and any mismatch is an error. False for
            fine-tuning from ``load_from``, where the head may differ: mismatches give one warning, and only a checkpoint
            of which nothing fits is an error.
    """

    # After EMAHook, which may swap the weights in the checkpoint.
    priority = 'VERY_LOW'

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner, checkpoint: Dict) -> None:
        """Compare the preprocessing now, and the weights when PyTorch loads them.

        A load hook that runs once reads the result of PyTorch's own comparison of names. Keys that a layer renames for an
        older checkpoint therefore count as found. For a resumed run the optimizer is compared last, because its state is
        useless if the weights do not fit.
        """
        source = runner.cfg.get('load_from') or f'the last checkpoint of {runner.work_dir}'
        weights = weights_of(checkpoint, str(source))
        model = unwrap(runner.model)
        message = disagreement(str(source), checkpoint, runner.cfg, model)
        if message:
            warn(message)
        if self.strict:
            message = compare_classes(str(source), checkpoint, runner)
            if message:
                warn(message)
        resuming = bool(runner.cfg.get('resume'))
        renamed = unwrapped(weights)
        if renamed.keys() != weights.keys():
            weights.clear()
            weights.update(renamed)  # for the Runner, which loads them next
        shapes = shapes_of(weights)

        def report_once(module: nn.Module, incompatible) -> None:
            handle.remove()
            fit = Fit(module, shapes, incompatible.missing_keys, incompatible.unexpected_keys)
            fit.report(str(source), self.strict, resuming)
            message = check_resumable(runner, checkpoint, str(source)) if resuming else None
            if message:
                warn(message)

        handle = model.register_load_state_dict_post_hook(report_once)


class Fit:
    """Result of comparing the weights of a checkpoint with a model.

    Args:
        model (nn.Module): The model that the weights were loaded into.
        shapes (Dict[str, Shape]): Names and shapes in the checkpoint.
        missing (Sequence[str]): Names that only the model has.
        unexpected (Sequence[str]): Names that only the checkpoint has.
        what (str): Name of the model in messages.
    """

    def __init__(
        self,
        model: nn.Module,
        shapes: Dict[str, Shape],
        missing: Sequence[str],
        unexpected: Sequence[str],
        what: str = 'this model',
    ) -> None:
        self.what = what
        expected = shapes_of(model.state_dict())
        prefixes, harmless = _activation_prefixes(model)
        missing = [key for key in missing if 'num_batches_tracked' not in key]
        self.windows = [key for key in missing if key.startswith(prefixes)]
        self.identity_windows = all(key.startswith(harmless) for key in self.windows)
        # A window without its norm is folded. With a freshly initialised norm it would compute another function.
        self.folded = [key for key in self.windows if _window_of(key) in shapes]
        self.missing = [key for key in missing if not key.startswith(prefixes)]
        # Weights of a whole part that the model lacks, e.g. of an auxiliary head left out for testing, are harmless.
        parts = {key.split('.')[0] for key in expected}
        self.unused = [key for key in unexpected if key.split('.')[0] not in parts]
        self.unexpected = [key for key in unexpected if key.split('.')[0] in parts]
        self.reshaped = [
            f'{key} expected {expected[key]} found {shapes[key]}'
            for key in expected
            if key in shapes and shapes[key] != expected[key]
        ]
        self.total = sum('num_batches_tracked' not in key for key in expected)
        self.fitting = self.total - len(missing) - len(self.reshaped)

    def report(self, source: str, strict: bool, resuming: bool = False) -> None:
        """Warn about mismatches, or raise if the weights are unusable.

        Args:
            source (str): Name of the checkpoint.
            strict (bool): Whether everything must fit.
            resuming (bool): Whether the optimizer's state is loaded too; it has no entries for new weights.

        Raises:
            UserError: When nothing fits, when the norms of windows are folded, or when ``strict`` is True and a weight is missing,
                unexpected or of another shape.
        """
        misfits = self._misfits()
        summary = (
            f'{source} fits {self.fitting} of the {self.total} tensors of {self.what}: {misfits}.'
        )
        if misfits and self.fitting <= 0:
            raise UserError(f'Checkpoint of another architecture: {summary} {self._advice()}')
        if self.folded:
            raise UserError(
                f'{source} has windows without the norms that {self.what} has after them ({len(self.folded)} missing: '
                f'{_first(self.folded, 2)}): it is deployed, with the norms folded into the windows, or was trained with '
                'norm_cfg=None. Use the config that reparameterize_model.py wrote next to it, or the checkpoint from before.'
            )
        if self.windows:
            self._report_windows(source, strict, resuming)
        if not misfits:
            return
        if strict:
            raise UserError(
                f'Checkpoint of another architecture: {summary} Use the config that it was trained with.'
            )
        if self.missing or self.reshaped:
            warn(f'{summary} Missing and reshaped weights start untrained.')
        else:
            warn(f'{summary} Unexpected weights are not loaded.')

    def _report_windows(self, source: str, strict: bool, resuming: bool) -> None:
        first = ', '.join(self.windows[:2])
        what = f'{source} has no weights for the activations of {self.what} ({len(self.windows)} missing: {first} and more)'
        if resuming:
            raise UserError(
                f'{what}: a run must continue with the activations that it started with. To put new ones into a trained model, '
                f'start a new run with load_from={source!r} instead of resuming.'
            )
        if self.identity_windows:
            start = 'stay' if strict else 'start'
            # The network is unchanged only if it had ReLU there, and names do not show what it had. (If ReplaceActivation
            # replaced another activation, its windows do not count as identity windows.)
            warn(
                f"{what}. They {start} at init='identity', which is exactly ReLU. The network is unchanged if it was trained with "
                'ReLU there; another activation (ReLU6, h-swish, SiLU) is replaced.'
            )
        elif not strict:
            warn(f'{what}: it was trained without them, so the windows start untrained.')
        else:
            raise UserError(
                f'{what}: it was trained with another activation. Use the config that it was trained with, or fine-tune '
                f'from it (load_from in tools/train.py) first.'
            )

    def _advice(self) -> str:
        """Say what to do: add the missing prefix if a backbone was given the names of a whole model."""
        if any(key.startswith('backbone.') for key in self.unused):
            return "The names are those of a whole model: add prefix='backbone.' to its init_cfg."
        return 'Use the checkpoint that belongs to the config.'

    def _misfits(self) -> str:
        groups = [
            ('missing', self.missing),
            ('unexpected', self.unexpected),
            ('of another shape', self.reshaped),
        ]
        if any(keys for _, keys in groups):
            groups.append(('for parts that this model lacks', self.unused))
        return '; '.join(
            f'{_by_part(keys)} {kind}, e.g. {_first(keys)}' for kind, keys in groups if keys
        )


def load_strictly(
    model: nn.Module, checkpoint: Dict[str, Any], source: str, cfg: Optional[Dict[str, Any]] = None
) -> None:
    """Load weights without a Runner, and require that every one of them fits.

    Args:
        model (nn.Module): The model.
        checkpoint (Dict[str, Any]): A checkpoint, or a bare state dict.
        source (str): Its file name, for messages.
        cfg (Config, optional): The config of the model. A warning says if the weights were trained with other preprocessing.

    Raises:
        UserError: When it has no weights, or a weight is missing, unexpected or of another shape.
    """
    weights = unwrapped(weights_of(checkpoint, source))
    shapes, expected = shapes_of(weights), shapes_of(model.state_dict())
    # PyTorch raises on a wrong shape before it reports what is missing; Fit reports both.
    fitting = {
        key: value
        for key, value in weights.items()
        if shapes[key] == expected.get(key, shapes[key])
    }
    result = model.load_state_dict(fitting, strict=False)
    missing = [key for key in result.missing_keys if key not in shapes]
    Fit(model, shapes, missing, result.unexpected_keys).report(source, strict=True)
    message = None if cfg is None else disagreement(source, checkpoint, cfg, model)
    if message:
        warn(message)


def shapes_of(weights: Mapping[str, Any]) -> Dict[str, Shape]:
    """Return the shape of each tensor of a state dict, and the type of an entry that is not a tensor."""
    return {
        key: tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        for key, value in weights.items()
    }


def _window_of(key: str) -> str:
    """Return the name of the window before the norm that a weight belongs to: ``act1.conv2.weight`` for ``act1.norm2.bias``."""
    layer, _, name = key.rpartition('.')[0].rpartition('.')
    return f'{layer}.{name.replace("norm", "conv")}.weight' if name.startswith('norm') else ''


def _activation_prefixes(model: nn.Module) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Return name prefixes of a model's activations: of all, and of those that replace a ReLU and start as exactly ReLU."""
    found: List[str] = []
    identity: List[str] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if is_activation(module):
            found.append(f'{name}.')
            # ReplaceActivation sets in_place_of
            was_relu = getattr(module, 'in_place_of', 'ReLU') == 'ReLU'
            if was_relu and getattr(module, 'init', None) == 'identity':
                identity.append(f'{name}.')
    return tuple(found), tuple(identity)


def _by_part(keys: Sequence[str]) -> str:
    counts = Counter(key.split('.')[0] for key in keys)
    return ' and '.join(f'{number} of {part}' for part, number in counts.most_common())


def _first(keys: Sequence[str], number: int = 3) -> str:
    return ', '.join(keys[:number]) + (' and more' if len(keys) > number else '')


def unwrapped(weights: Mapping[str, Any]) -> Dict[str, Any]:
    """Remove the prefixes of DDP (``module.``, in front) and torch.compile (``_orig_mod.``, anywhere) from names of weights."""
    names = (name.replace('_orig_mod.', '') for name in weights)
    return {
        name[len('module.') :] if name.startswith('module.') else name: value
        for name, value in zip(names, weights.values())
    }


def unwrap(model: Any) -> nn.Module:
    """Return the model inside wrappers for distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def warn(message: str) -> None:
    """Log a warning."""
    print_log(message, logger='current', level=logging.WARNING)
