"""Pictures of detection and of the analysis tools for docs/detection.md and docs/analysis.md."""

from pathlib import Path
from typing import List

from gallery_frame import Gallery, picture

_DETECTORS = {
    'RetinaNet R-18 ReLU': 'retinanet_r18_relu',
    'RetinaNet R-18 FReLU': 'retinanet_r18_frelu',
}


def _predictions(gallery: Gallery, model: str) -> Path:
    """Return a detector's predictions on the test scenes. The ReLU baseline is not in the demo and is trained first (2 minutes)."""
    folder = gallery.demo / model
    if not (folder / 'train/last_checkpoint').is_file():
        gallery.run('train.py', gallery.config(model), '--work-dir', folder / 'train')
    if not (folder / 'predictions.pkl').is_file():
        arguments = [
            gallery.config(model),
            gallery.checkpoint(model),
            '--work-dir',
            folder / 'test',
        ]
        gallery.run('test.py', *arguments, '--out', folder / 'predictions.pkl')
    return folder / 'predictions.pkl'


def _models(gallery: Gallery) -> List[str]:
    arguments: List[str] = []
    for name, model in _DETECTORS.items():
        arguments += ['--model', name, gallery.config(model), str(_predictions(gallery, model))]
    return arguments


@picture('detection.png')
def detection(gallery: Gallery) -> None:
    """Both detectors next to the true boxes, on the README's scene."""
    out = gallery.scratch / 'detection'
    options = ['--max-images', '1', '--score-thr', '0.4']
    gallery.run('visualize_detection.py', *_models(gallery), '--out', out, *options)
    gallery.keep(next(out.rglob('*.png')), 'detection.png', colors=256)


@picture('confusion_matrix.png')
def confusion_matrix(gallery: Gallery) -> None:
    """Confusions of the FReLU segmentor of the demo."""
    out, model = gallery.scratch / 'confusion', 'pspnet_r18_frelu'
    arguments = [gallery.config(model), gallery.demo / model / 'predictions', out]
    gallery.run('analysis_tools/confusion_matrix.py', *arguments, '--title', 'PSPNet R-18 FReLU')
    gallery.keep(out / 'confusion_matrix.png', 'confusion_matrix.png', colors=128)


@picture('curves.png')
def curves(gallery: Gallery) -> None:
    """Training curves of the demo's segmentors."""
    out = gallery.scratch / 'curves.png'
    logs = [gallery.demo / model / 'train' for model in ('pspnet_r18_relu', 'pspnet_r18_frelu')]
    arguments = ['--legend', 'ReLU', 'FReLU', '--keys', 'loss', 'decode.acc_seg', '--out', out]
    gallery.run('analysis_tools/analyze_logs.py', 'plot_curve', *logs, *arguments)
    gallery.keep(out, 'curves.png', colors=64)


@picture('browse_dataset.png')
def browse_dataset(gallery: Gallery) -> None:
    """A training image after the pipeline of the demo's segmentor."""
    out = gallery.scratch / 'browse'
    arguments = ['--output-dir', out, '--not-show', '--show-number', '1']
    gallery.run('analysis_tools/browse_dataset.py', gallery.config('pspnet_r18_frelu'), *arguments)
    gallery.keep(next(out.rglob('*.png')), 'browse_dataset.png', colors=256)


@picture('worst_image.png')
def worst_image(gallery: Gallery) -> None:
    """The scene on which the FReLU segmentor has the lowest score."""
    out, model = gallery.scratch / 'results', 'pspnet_r18_frelu'
    arguments = [gallery.config(model), gallery.demo / model / 'predictions', out, '--topk', '1']
    gallery.run('analysis_tools/analyze_results.py', *arguments)
    gallery.keep(next((out / 'bad').rglob('*.png')), 'worst_image.png', colors=256)
