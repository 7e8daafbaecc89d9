"""Picture of keypoint models for docs/keypoints.md."""

import os
from pathlib import Path

from gallery_frame import CONFIGS, Gallery, picture

from mm_frelu.compat import import_mmpose

MODELS = {'ReLU': 'relu', 'DY-ReLU': 'dyrelu'}
CONFIG = 'keypoints/td-hm_mobilenetv2-025-{}_1xb16-demo_posed-people-128x96.py'
EPOCHS = 20


@picture('keypoints.png')
def keypoints(gallery: Gallery) -> None:
    """Skeletons of two models next to the ground truth. Generates the dataset and trains the models if they are missing."""
    try:
        import_mmpose()
    except ImportError as error:
        print(f'  left out: {error}')
        return
    gallery.run('dataset_converters/posed_people.py', gallery.people)
    models = []
    for name, act in MODELS.items():
        config = os.path.relpath(CONFIGS / CONFIG.format(act))
        folder = gallery.demo / f'keypoints_{act}'
        checkpoint = folder / f'epoch_{EPOCHS}.pth'
        if not checkpoint.is_file():
            gallery.run('train.py', config, '--work-dir', str(folder))
        models += ['--model', name, config, str(checkpoint)]
    out = Path(gallery.scratch) / 'keypoints'
    arguments = ['--out', out, '--max-images', '3', '--device', 'cpu']
    gallery.run('visualize_keypoints.py', *models, *arguments)
    gallery.keep(sorted(out.glob('*.png'))[2], 'keypoints.png', colors=256)
