"""Pictures of the insides of activations, for docs/inside.md."""

from pathlib import Path
from typing import Callable, List, Optional

from gallery_frame import Gallery, Picture, picture

_BASELINE = 'pspnet_r18_relu'


def dyrelu(gallery: Gallery, activation: str) -> List[str]:
    """Return config, checkpoint and settings of a small DY-ReLU model. It is not in the demo, so it is trained the first time."""
    folder = f'pspnet_r18_{activation.lower()}'
    options = ['--cfg-options', f'model.backbone.act_cfg.type={activation}']
    work_dir = gallery.demo / folder / 'train'
    if not (work_dir / 'last_checkpoint').is_file():
        gallery.run('train.py', gallery.config(_BASELINE), '--work-dir', work_dir, *options)
    return [gallery.config(_BASELINE), gallery.checkpoint(folder), *options]


def fields(gallery: Gallery) -> Path:
    """Run activation_field.py for the demo's FReLU model; return the output folder."""
    out = gallery.scratch / 'fields'
    if not out.is_dir():
        gallery.run(
            'visualization/activation_field.py',
            gallery.config('pspnet_r18_frelu'),
            gallery.checkpoint('pspnet_r18_frelu'),
            '--images',
            *gallery.scenes(8),
            '--out',
            out,
        )
    return out


def inspected(gallery: Gallery, activation: str, scenes: int, *options: str) -> Path:
    """Run dyrelu_inspect.py for a small DY-ReLU model; return the output folder."""
    out = gallery.scratch / activation
    if not out.is_dir():
        gallery.run(
            'visualization/dyrelu_inspect.py',
            *dyrelu(gallery, activation),
            '--images',
            *gallery.scenes(scenes),
            *options,
            '--out',
            out,
        )
    return out


def dyrelu_b(gallery: Gallery) -> Path:
    """Inspect DY-ReLU-B on all scenes."""
    return inspected(gallery, 'DyReLUB', 40)


def dyrelu_c(gallery: Gallery) -> Path:
    """Inspect DY-ReLU-C on one scene; four layers only, because the file of a true-colour picture with more would be too large."""
    return inspected(gallery, 'DyReLUC', 1, '--layers', 'backbone.layer3.*')


def _keep_from(
    name: str, folder: Callable[[Gallery], Path], file: str, colors: Optional[int]
) -> Picture:
    return lambda gallery: gallery.keep(min(folder(gallery).glob(file)), name, colors)


# Each picture is the first file of a tool's output folder that matches the pattern.
for _name, _folder, _file, _colors in (
    ('inside_field.png', fields, '*_field.png', None),
    ('inside_choices.png', fields, 'choices.png', 256),
    ('inside_windows.png', fields, 'windows.png', 256),
    ('inside_dyrelu_scatter.png', dyrelu_b, 'scatter.png', 256),
    ('inside_dyrelu_slopes.png', dyrelu_b, 'slopes.png', 256),
    ('inside_dyrelu_coefficients.png', dyrelu_b, 'coefficients.png', 256),
    ('inside_dyrelu_attention.png', dyrelu_c, '*_attention.png', None),
):
    picture(_name)(_keep_from(_name, _folder, _file, _colors))


@picture('inside_features.png')
def features(gallery: Gallery) -> None:
    """The last stage of the demo's two segmentation models for one scene."""
    out = gallery.scratch / 'features'
    models = []
    for name in ('ReLU', 'FReLU'):
        folder = f'pspnet_r18_{name.lower()}'
        models += ['--model', name, gallery.config(folder), gallery.checkpoint(folder)]
    gallery.run(
        'visualization/feature_compare.py',
        *models,
        '--layer',
        'backbone.layer3',
        '--images',
        *gallery.scenes(1),
        '--pixel',
        '193,76',
        '--out',
        out,
    )
    gallery.keep(next(out.glob('*.png')), 'inside_features.png', colors=256)
