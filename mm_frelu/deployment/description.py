"""Description of an exported network for programs that run it: classes, colours, size of the image.

It is stored in the metadata of the file, so that the file can be run without other files. Mean, std and channel order are part
of the graph.
"""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from mm_frelu.analysis.input_shape import test_pipeline
from mm_frelu.engine.arguments import task_of
from mm_frelu.engine.config_types import kind_of
from mm_frelu.engine.errors import UserError
from mm_frelu.version import __version__
from mm_frelu.visualization.palette import as_palette

from .networks import Network


def describe(
    network: Network, cfg: Config, checkpoint: Dict[str, Any], part: str, precision: str
) -> Dict[str, Any]:
    """Describe a network.

    Args:
        network: The network.
        cfg: Its config.
        checkpoint: Its checkpoint, which may have the names of its classes.
        part: ``'model'``, ``'heads'`` or ``'backbone'``.
        precision: ``'float32'`` or ``'float16'``.

    Returns:
        Values for JSON: ``task``, ``config``, ``precision``, ``made_by``, ``pixels`` (format of the input), ``mean`` (an RGB
        colour for padding), ``resize`` (how the test pipeline resizes an image), and for a complete model ``classes`` and
        ``palette`` (RGB).
    """
    task = task_of(cfg) if part == 'model' else 'features'
    mean = network.pixels.mean.flatten().tolist()
    described = dict(
        task=task,
        config=str(cfg.filename).rpartition('/')[2],
        precision=precision,
        made_by=f'mm_frelu {__version__}',
        pixels='RGB, 0 to 255',
        mean=mean if network.pixels.rgb else mean[::-1],
        resize=resizing(cfg),
    )
    if part == 'model':
        described.update(_classes(network, cfg, checkpoint, task))
    return described


def resizing(cfg: Config) -> List[Dict[str, Any]]:
    """Return type and arguments of the steps of the test pipeline that resize an image and that run_onnx.py supports."""
    known = ('Resize', 'ResizeEdge', 'CenterCrop')
    arguments = ('scale', 'keep_ratio', 'edge', 'crop_size')
    steps = []
    for step in test_pipeline(cfg):
        kind = kind_of(step)
        if kind in known:
            steps.append(dict(type=kind, **{key: step[key] for key in arguments if key in step}))
    return steps


def _classes(
    network: Network, cfg: Config, checkpoint: Dict[str, Any], task: str
) -> Dict[str, Any]:
    meta = checkpoint['meta'].get('dataset_meta') or {}
    classes = meta.get('classes', meta.get('CLASSES'))
    if not classes:
        meta = _test_set_meta(cfg)
        classes = meta.get('classes')
    number = _number_of_classes(network, task)
    if classes and len(classes) != number:
        raise UserError(
            f'The network has {number} classes, but its dataset has {len(classes)}: {", ".join(classes[:4])}, ... '
            f'Correct num_classes of the head in {cfg.filename}, or metainfo.classes of the dataset.'
        )
    classes = list(classes or (f'class {index}' for index in range(number)))
    if task == 'classification':
        return dict(classes=classes)
    palette = _palette(meta.get('palette', meta.get('PALETTE')), number, task)
    return dict(classes=classes, palette=palette)


def _number_of_classes(network: Network, task: str) -> int:
    head = {'segmentation': 'decode_head', 'detection': 'bbox_head', 'classification': 'head'}[task]
    module = getattr(network.model, head)
    return (module[-1] if hasattr(module, '__getitem__') else module).num_classes


def _palette(palette: Any, number: int, task: str) -> List[List[int]]:
    """Return one RGB colour for each class: that of the dataset, or the default of this task."""
    if task == 'detection':
        from mmdet.visualization.palette import get_palette

        palette = get_palette(palette if isinstance(palette, (list, str)) else None, number)
        return [[int(value) for value in color] for color in palette[:number]]
    return as_palette(_fitting(palette, number), number).tolist()


def _fitting(palette: Optional[Sequence], number: int) -> Optional[Sequence]:
    return palette if palette is not None and len(palette) == number else None


def _test_set_meta(cfg: Config) -> Dict[str, Any]:
    """Return names and colours from the dataset class and settings of the config's test set."""
    from mmengine.registry import DATASETS

    settings = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    while 'dataset' in settings or 'datasets' in settings:
        settings = settings.get('dataset') or settings['datasets'][0]
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = settings.get('type')
        kind = registry.get(kind) if isinstance(kind, str) else kind
    return {**(getattr(kind, 'METAINFO', None) or {}), **(settings.get('metainfo') or {})}
