"""Export a config and a checkpoint to a file that runs without OpenMMLab."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from mmengine.config import Config
from torch import nn

from mm_frelu.activations.live import recording_disabled
from mm_frelu.checkpoints.deploy import fold
from mm_frelu.checkpoints.files import read_checkpoint
from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError, first_line
from mm_frelu.engine.model_builder import build_model

from .comparison import TOLERANCES, Comparison, compare, expected_of, pictures, sizes_to_compare
from .description import describe
from .networks import DetectionBoxes, Network, network_of
from .onnx_file import DEFAULT_OPSET, to_onnx
from .runtime import Run, open_exported, open_onnx, open_torchscript
from .torch_files import to_exported, to_torchscript

SUFFIXES = {'onnx': '.onnx', 'torchscript': '.pt', 'exported': '.pt2'}
"""The formats and their file name suffixes."""


@dataclass(frozen=True)
class Options:
    """Options of an export.

    Attributes:
        shape: Height and width of the image that is used for tracing.
        format: A key of :data:`SUFFIXES`.
        part: ``'model'``, ``'heads'`` or ``'backbone'``.
        output: For segmentation, ``'labels'`` or ``'logits'``.
        dynamic: Whether the file supports other sizes.
        fp16: Whether the network computes in half precision. Types of input and outputs do not change.
        opset: ONNX opset version.
        verify: Whether the file is run and compared with the model.
        images: Pictures for the comparison; drawn street scenes if empty.
    """

    shape: Tuple[int, int]
    format: str = 'onnx'
    part: str = 'model'
    output: str = 'labels'
    dynamic: bool = False
    fp16: bool = False
    opset: int = DEFAULT_OPSET
    verify: bool = False
    images: Sequence[str] = ()

    @property
    def precision(self) -> str:
        """Precision of the network."""
        return 'float16' if self.fp16 else 'float32'


class Exported(NamedTuple):
    """An exported network.

    Attributes:
        content: Content of the file.
        comparisons: Comparisons with the model in PyTorch; empty without ``verify``.
    """

    content: bytes
    comparisons: List[Comparison]


def export(
    cfg: Config, source: str, options: Options, say: Callable[[str], Any] = print
) -> Exported:
    """Build the network of a config, load a checkpoint, fold the norms of its funnel activations, and export it.

    Args:
        cfg: The config that the checkpoint was trained with.
        source: The checkpoint.
        options: What to export.
        say: Function that reports the progress.

    Returns:
        The exported network.

    Raises:
        UserError: If the checkpoint does not fit, or the network cannot be exported.
    """
    with recording_disabled():
        return _export(cfg, source, options, say)


def _export(cfg: Config, source: str, options: Options, say: Callable[[str], Any]) -> Exported:
    checkpoint = read_checkpoint(source, 'CKPT')
    say(f'Building {cfg.filename}')
    model = build_model(cfg)
    load_strictly(model, checkpoint, source, cfg)
    with _explained(cfg, model, options):
        network = network_of(model, cfg, options.part, options.output)
    if options.format == 'exported' and isinstance(network, DetectionBoxes):
        raise UserError(
            'torch.export does not support NMS. For boxes use --format onnx or torchscript; for the outputs before NMS use '
            '--part heads.'
        )
    if options.part == 'model' and (getattr(model, 'test_cfg', None) or {}).get('mode') == 'slide':
        say(
            'test_cfg.mode is slide, but the exported file processes the whole image at once, not in windows'
        )
    description = describe(network, cfg, checkpoint, options.part, options.precision)

    images, expected = [], []
    if options.verify:
        images = pictures(sizes_to_compare(options.shape, options.dynamic), options.images)
        say(f'Running it in PyTorch on {len(images)} pictures')
        task = task_of(cfg)
        with _explained(cfg, model, options):
            expected = [expected_of(model, image, task, options.part) for image in images]

    folded = ' and '.join(f'{count} {name}' for name, count in fold(network.model).items())
    say(f'Folded the norms of {folded}' if folded else 'There are no norms of FReLU to fold')
    if options.fp16:
        network.model.half()
        network.pixels.dtype = torch.float16
    say(f'Exporting to {options.format}, traced at {_size(options)} pixels')
    with _explained(cfg, model, options):
        content = _content(network, options, description)
    comparisons = []
    if options.verify:
        say('Running the exported file on the same pictures')
        run = _open(content, options.format, list(network.outputs))
        comparisons = compare(run, images, expected, TOLERANCES[options.precision])
    return Exported(content, comparisons)


def _content(network: Network, options: Options, description: Dict[str, Any]) -> bytes:
    image = torch.from_numpy(pictures([options.shape])[0].transpose(2, 0, 1)[None]).float()
    if options.format == 'onnx':
        return to_onnx(network, image, options.dynamic, options.opset, description)
    if options.format == 'torchscript':
        return to_torchscript(network, image, description)
    return to_exported(network, image, options.dynamic, description)


@contextmanager
def _explained(cfg: Config, model: nn.Module, options: Options) -> Iterator[None]:
    """Convert errors of a model or an exporter to a single paragraph."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # exporters raise many types
        raise UserError(
            f'{cfg.filename}: {type(model).__name__} cannot be exported to {options.format} at {_size(options)} pixels '
            f'({first_line(error)}). If an operator is not supported, try another --opset or --part backbone. If the image '
            'is too small for the network, give a larger --shape.'
        ) from error


def _size(options: Options) -> str:
    return f'{options.shape[0]}x{options.shape[1]}'


def _open(content: bytes, format_: str, names: List[str]) -> Run:
    if format_ == 'onnx':
        return open_onnx(content)
    return (open_torchscript if format_ == 'torchscript' else open_exported)(content, names)
