"""Pictures of the insides of activations, for docs/inside.md."""

from pathlib import Path
from typing import List

from gallery_frame import Gallery, picture

_BASELINE = 'pspnet_r18_relu'


def dyrelu(gallery: Gallery, activation: str) -> List[str]:
    """Return config, checkpoint and settings of a small DY-ReLU model. It is not in the demo, so it is trained the first time."""
    folder = f'pspnet_r18_{activation.lower()}'
    options = ['--cfg-options', f'model.backbone.act_cfg.type={activation}']
    work_dir = gallery.demo / folder / 'train'
    if not (work_dir / 'last_checkpoint').is_file():
        gallery.run('train.py', gallery.config(_BASELINE), '--work-dir', work_dir, *options)
    return [gallery.config(_BASELINE), gallery.checkpoint(folder), *options]


def fields(gallery: Gallery, scenes: int) -> Path:
    """Run activation_field.py for the demo's FReLU model; return the output folder."""
    out = gallery.scratch / f'fields_{scenes}'
    if not out.is_dir():
        gallery.run(
            'visualization/activation_field.py',
            gallery.config('pspnet_r18_frelu'),
            gallery.checkpoint('pspnet_r18_frelu'),
            '--images',
            *gallery.scenes(scenes),
            '--out',
            out,
        )
    return out


def inspected(gallery: Gallery, activation: str, scenes: int, *options: str) -> Path:
    """Run dyrelu_inspect.py for a small DY-ReLU model; return the output folder."""
    out = gallery.scratch / f'{activation}_{scenes}'
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


@picture('inside_field.png')
def field(gallery: Gallery) -> None:
    """Activate fields of the first scene."""
    gallery.keep(min(fields(gallery, 8).glob('*_field.png')), 'inside_field.png')


@picture('inside_choices.png')
def choices(gallery: Gallery) -> None:
    """Pixels that choose the window, and fields, by depth."""
    gallery.keep(fields(gallery, 8) / 'choices.png', 'inside_choices.png', colors=256)


@picture('inside_windows.png')
def windows(gallery: Gallery) -> None:
    """Learned windows."""
    gallery.keep(fields(gallery, 8) / 'windows.png', 'inside_windows.png', colors=256)


@picture('inside_dyrelu_scatter.png')
def scatter(gallery: Gallery) -> None:
    """Output against input of DY-ReLU-B."""
    out = inspected(gallery, 'DyReLUB', 40)
    gallery.keep(out / 'scatter.png', 'inside_dyrelu_scatter.png', colors=256)


@picture('inside_dyrelu_slopes.png')
def slopes(gallery: Gallery) -> None:
    """Slope differences of DY-ReLU-B by depth."""
    out = inspected(gallery, 'DyReLUB', 40)
    gallery.keep(out / 'slopes.png', 'inside_dyrelu_slopes.png', colors=256)


@picture('inside_dyrelu_coefficients.png')
def coefficients(gallery: Gallery) -> None:
    """Coefficients of DY-ReLU-B for each image."""
    out = inspected(gallery, 'DyReLUB', 40)
    gallery.keep(out / 'coefficients.png', 'inside_dyrelu_coefficients.png', colors=256)


@picture('inside_dyrelu_attention.png')
def attention(gallery: Gallery) -> None:
    """Spatial attention of DY-ReLU-C over the first scene."""
    # Four layers only, because the file of a true-colour picture with more would be too large.
    out = inspected(gallery, 'DyReLUC', 1, '--layers', 'backbone.layer3.*')
    gallery.keep(next(out.glob('*_attention.png')), 'inside_dyrelu_attention.png')


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
