"""Fold the norms of a trained network's funnel activations, and check that its output is unchanged before saving."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mm_frelu.activations.funnel_activation import FunnelActivation
from mm_frelu.engine import preprocessing
from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.model_builder import build_model, forward_tensors
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.write_file import write_file

from .deploy_config import deploy_config
from .files import compact, read_checkpoint, sha256
from .saving import save_checkpoint

TOLERANCE = 1e-4
"""Largest allowed difference, relative to the largest output. Rounding in float32 causes about a hundredth of it."""


class Deployed(NamedTuple):
    """Result of :func:`deploy`.

    Attributes:
        checkpoint: The file with the folded weights.
        config: The config for these weights.
        folded: Number of folded activations of each class.
        difference: Largest difference of the outputs of the network and of each of its activations, relative to the
            largest value of that output.
    """

    checkpoint: Path
    config: Path
    folded: Dict[str, int]
    difference: float


def deploy(cfg: Config, source: str, out: str, shape: Tuple[int, int] = (256, 512)) -> Deployed:
    """Fold the norms in a checkpoint, and write it with a matching config.

    The network is built twice: from ``cfg`` with the given weights, and from the new config with the folded weights, which
    must fit exactly. The outputs of both for the same image are compared.

    Args:
        cfg: The config that the checkpoint was trained with.
        source: The checkpoint.
        out: The file to write, ``NAME.pth``. The config is written to ``NAME.py`` in the same folder.
        shape: Height and width of the image for the comparison.

    Returns:
        The written files, the number of folded activations and the difference of the outputs.

    Raises:
        UserError: If the checkpoint does not fit, there is nothing to fold, a file would be overwritten, or the outputs
            differ by more than :data:`TOLERANCE`.
    """
    target, config = _targets(out)
    checkpoint = read_checkpoint(source, 'CKPT')
    task = task_of(cfg)
    original = build_model(cfg)
    load_strictly(original, checkpoint, source, cfg)
    image = image_like(shape, cfg)
    expected = outputs_of(original, image, task)

    folded = fold(original)
    if not folded:
        raise UserError(
            f'{cfg.filename}: there is nothing to fold: no FReLU or LightFReLU in the model has a batch norm after its '
            'window (they may be folded already, or have GN, LN or IN). Use the checkpoint as it is.'
        )
    new_cfg = deploy_config(cfg)
    deployed = build_model(new_cfg)
    weights = original.state_dict()
    _require_equal_keys(deployed, weights)
    deployed.load_state_dict(weights)
    difference = largest_difference(expected, outputs_of(deployed, image, task))
    if not difference <= TOLERANCE:  # also when it is nan
        raise UserError(
            f'The folded network differs from the original by {difference:.1e} of the largest output, more than '
            f'{TOLERANCE:.0e}: nothing is saved. Look for a running variance close to 0 or for nan in {source}.'
        )

    meta = {**checkpoint['meta'], 'cfg': new_cfg.pretty_text}
    meta['folded_from'] = sha256(Path(source).expanduser())
    # MMEngine writes CONFIG_DATE_TIME, and publish_model.py reads the config's name from it.
    if isinstance(meta.get('experiment_name'), str):
        stamp = re.search(r'_\d{8}_\d{6}$', meta['experiment_name'])
        meta['experiment_name'] = f'{target.stem}{stamp.group() if stamp else ""}'
    _write_config(new_cfg, config, source)
    try:
        save_checkpoint(dict(meta=meta, state_dict=compact(weights)), target, 'OUT')
    except BaseException:
        config.unlink()
        raise
    return Deployed(target, config, folded, difference)


def fold(model: nn.Module) -> Dict[str, int]:
    """Fold every funnel activation of a model, in place. Return the number of folded activations of each class."""
    counts: Counter = Counter()
    for module in model.modules():
        if isinstance(module, FunnelActivation):
            before = len(module.state_dict())
            module.switch_to_deploy()
            counts[type(module).__name__] += len(module.state_dict()) < before
    return {name: count for name, count in counts.items() if count}


def outputs_of(model: nn.Module, image: Tensor, task: str) -> List[Tensor]:
    """Return the outputs of the network and of each of its funnel activations for an image.

    The activations are compared one by one, because some of them may hardly affect the output of the network: a residual
    branch whose last norm is still near zero hides changes inside it.
    """
    outputs: List[Tensor] = []

    def record(module: nn.Module, args: Any, output: Tensor) -> None:
        outputs.append(output)

    windows = [module for module in model.modules() if isinstance(module, FunnelActivation)]
    handles = [module.register_forward_hook(record) for module in windows]
    try:
        outputs += _tensors(forward_tensors(model, image, task))
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def image_like(shape: Tuple[int, int], cfg: Config) -> Tensor:
    """Create a fixed synthetic image with smooth shading, edges and grain, preprocessed like the input of the network.

    Args:
        shape: Height and width.
        cfg: The config whose preprocessing is applied.

    Returns:
        Pixels of shape (1, 3, H, W).
    """
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(1, 3, 9, 17, generator=generator)
    smooth = nn.functional.interpolate(blocks, shape, mode='bilinear', align_corners=True)
    edges = nn.functional.interpolate(blocks.flip(-1), shape, mode='nearest')
    grain = torch.randn(1, 3, *shape, generator=generator)
    pixels = (150 * smooth + 90 * edges + 6 * grain).clamp(0, 255).round()
    fed = preprocessing.of_config(cfg)
    if fed is None:
        return pixels
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (fed.mean, fed.std))
    return (pixels - mean) / std


def largest_difference(expected: List[Tensor], found: List[Tensor]) -> float:
    """Return the largest ``|expected - found|`` relative to the largest value of its tensor; nan if there is a nan."""
    ratios = [
        (old - new).abs().max() / old.abs().max().clamp(min=torch.finfo(old.dtype).tiny)
        for old, new in zip(expected, found)
    ]
    return float(torch.stack(ratios).max())  # max propagates nan


def _tensors(nested: Any) -> Iterator[Tensor]:
    if isinstance(nested, Tensor):
        if nested.is_floating_point() and nested.numel():
            yield nested
    elif isinstance(nested, dict):
        yield from _tensors(list(nested.values()))
    elif isinstance(nested, (list, tuple)):
        for item in nested:
            yield from _tensors(item)


def _require_equal_keys(model: nn.Module, weights: Dict[str, Tensor]) -> None:
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    odd = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
    if odd:
        raise UserError(
            f'The folded weights do not fit the config that was generated for them: {len(odd)} tensors differ. {odd[0]}: '
            f'expected {expected.get(odd[0])}, found {found.get(odd[0])}. Nothing is saved. One act_cfg seems to build '
            'activations with different norms; set norm_cfg in each act_cfg.'
        )


def _targets(out: str) -> Tuple[Path, Path]:
    target = Path(out).expanduser()
    if target.suffix != '.pth' or target.is_dir():
        raise UserError(f'OUT {out}: expected a file name that ends with .pth.')
    config = target.with_suffix('.py')
    require_writable('OUT: the folder', target.parent)
    for path in (target, config):
        if path.exists():
            raise UserError(
                f'OUT: {path} exists already and would be overwritten (the config is written next to the checkpoint). '
                'Give another OUT, or remove the file.'
            )
    return target, config


def _write_config(cfg: Config, path: Path, source: str) -> None:
    lines = (
        f'# Deployed form of {Path(cfg.filename).name}, for {path.stem}.pth: the norms of its funnel activations are',
        f'# folded into their windows. Written by reparameterize_model.py from {Path(source).name}; not for training.',
    )
    with write_file(path) as stream:
        stream.write('\n'.join((*lines, cfg.pretty_text)))
