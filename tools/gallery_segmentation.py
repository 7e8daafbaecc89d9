"""Pictures of segmentation for docs/comparison.md."""

from gallery_frame import Gallery, picture


@picture('comparison.png')
def comparison(gallery: Gallery) -> None:
    """Both models of the demo on the scene of the README."""
    out = gallery.scratch / 'comparison'
    models = []
    for name, folder in (('ReLU', 'pspnet_r18_relu'), ('FReLU', 'pspnet_r18_frelu')):
        models += [
            '--model',
            f'PSPNet R-18 {name}',
            gallery.config(folder),
            gallery.checkpoint(folder),
        ]
    gallery.run(
        'visualize_segmentation.py',
        '--images',
        *gallery.scenes(1),
        '--gt',
        gallery.data / 'gtFine/val',
        *models,
        '--out',
        out,
    )
    gallery.keep(next(out.rglob('*.png')), 'comparison.png', colors=256)
