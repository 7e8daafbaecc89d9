"""Draw the skeletons of several keypoint models and the ground truth side by side, one figure for each image of the test set.

    python tools/visualize_keypoints.py --model NAME CONFIG CHECKPOINT [--model ...] --out DIR [--max-images N] [--kpt-thr S]
        [--width IN] [--dpi N] [--device D] [--cfg-options K=V ...]

The models predict the keypoints of the people in the boxes of the test set. MMPose's PoseLocalVisualizer draws the skeletons.
"""

import argparse
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import CheckpointLoader
from rich.console import Console
from torch import nn

import mm_frelu  # noqa: F401  (registers the networks)
from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.arguments import read_config, task_of
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.model_builder import build_model
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.segmentors import check_device

SHOWN_WIDTH = 640
"""Width in pixels. Smaller images are enlarged before the skeletons are drawn, so that the lines are thin."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Draw the skeletons of several keypoint models and the ground truth side by side.'
    )
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='name, config and checkpoint of a model; repeat the option for each model, the baseline first',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument(
        '--max-images', type=int, metavar='N', help='draw only the first N images; default: all'
    )
    parser.add_argument(
        '--kpt-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='minimum score of the predicted keypoints to draw (default: 0.3)',
    )
    parser.add_argument(
        '--width',
        type=float,
        default=10.0,
        metavar='IN',
        help='width of a figure in inches (default: 10)',
    )
    parser.add_argument(
        '--dpi', type=int, default=100, metavar='N', help='pixels per inch (default: 100)'
    )
    parser.add_argument(
        '--device',
        default='cuda:0' if torch.cuda.is_available() else 'cpu',
        help='device for the models; default: cuda:0 if available, otherwise cpu',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='settings that override those of all configs',
    )
    args = parser.parse_args(argv)
    names = [name for name, _, _ in args.model]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        parser.error(
            f'--model: two models are called {twice[0]!r}; give each model a different name'
        )
    if args.max_images is not None and args.max_images < 1:
        parser.error(f'--max-images: expected at least 1, found {args.max_images}')
    return args


class Model(NamedTuple):
    """A model with its weights, and the test set of its config."""

    name: str
    network: nn.Module
    people: Any


def load_model(
    name: str, config: str, checkpoint: str, device: str, options: Optional[Dict[str, Any]]
) -> Model:
    """Load a model given on the command line.

    Raises:
        UserError: If a file does not exist, if the checkpoint does not fit the config, or if the config is for another task.
    """
    cfg = read_config(config)
    merge_settings(cfg, options)
    if task_of(cfg) != 'keypoints':
        raise UserError(
            f'--model {name}: {config} is a {task_of(cfg)} config. Give a keypoint config.'
        )
    require_keys(cfg, ('test_dataloader',), 'drawing')
    check_checkpoint_file(checkpoint, f'the checkpoint of {name}')
    network = build_model(cfg)
    check_datasets(cfg, ('test_dataloader',))
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    load_strictly(network, loaded, f'{name}: {checkpoint}')
    return Model(name, network.to(device), DATASETS.build(cfg.test_dataloader.dataset))


def indices_by_image(people: Any) -> Dict[str, List[int]]:
    """Return the indices of the samples of each image, by image path. Each sample is a person."""
    found: Dict[str, List[int]] = {}
    for index in range(len(people)):
        found.setdefault(people.get_data_info(index)['img_path'], []).append(index)
    return found


def panels(
    path: str, indices: List[int], models: Sequence[Model], threshold: float
) -> Dict[str, np.ndarray]:
    """Return the image with the skeletons of the ground truth, and with those of each model, by title."""
    from mmpose.structures import merge_data_samples
    from mmpose.visualization import PoseLocalVisualizer

    image = mmcv.imread(path, channel_order='rgb')
    scale = max(1.0, SHOWN_WIDTH / image.shape[1])
    image = mmcv.imrescale(image, scale)
    visualizer = PoseLocalVisualizer(radius=4, line_width=2)
    drawn = {}
    for model in models:
        batch = pseudo_collate([model.people[index] for index in indices])
        with torch.no_grad():
            sample = merge_data_samples(model.network.test_step(batch))
        visualizer.set_dataset_meta(model.people.metainfo, skeleton_style='mmpose')
        for instances in (sample.gt_instances, sample.pred_instances):
            instances.keypoints = instances.keypoints * scale
        for title, truth in (('ground truth', True), (model.name, False)):
            if title not in drawn:
                visualizer.add_datasample(
                    title,
                    image,
                    sample,
                    draw_gt=truth,
                    draw_pred=not truth,
                    kpt_thr=threshold,
                )
                drawn[title] = visualizer.get_image()
    return drawn


def draw(shown: Dict[str, np.ndarray], width: float) -> Figure:
    """Draw the panels in a row, with their titles."""
    height, columns = next(iter(shown.values())).shape[:2]
    panel = width / len(shown)
    figure = Figure(figsize=(width, panel * height / columns + 0.3), layout='constrained')
    for axis, (title, picture) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown.items()
    ):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    return figure


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw the figures, and print where they are."""
    args = parse_args(argv)
    out = Path(args.out)
    require_writable('--out', out)
    check_device(args.device)
    console = Console()
    models = []
    for name, config, checkpoint in args.model:
        console.print(f'Loading {name}: {checkpoint}', markup=False, highlight=False)
        models.append(load_model(name, config, checkpoint, args.device, args.cfg_options))
    init_default_scope('mmpose')
    images = indices_by_image(models[0].people)
    for model in models[1:]:
        if indices_by_image(model.people) != images:
            raise UserError(
                f'The test sets of {models[0].name} and {model.name} have different images or people. Give configs with the same '
                'test set.'
            )
    chosen = list(images.items())[: args.max_images]
    for path, indices in progress('Drawing', chosen, console):
        figure = draw(panels(path, indices, models, args.kpt_thr), args.width)
        figure.set_dpi(args.dpi)
        save_figure(figure, out / f'{Path(path).stem}.png')
    noun = 'picture' if len(chosen) == 1 else 'pictures'
    console.print(
        f'{len(chosen)} {noun} in {out.absolute()}', markup=False, highlight=False, soft_wrap=True
    )


if __name__ == '__main__':
    main()
