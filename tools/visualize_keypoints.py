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
from mmengine.registry import DATASETS
from rich.console import Console
from torch import nn

import mm_frelu  # noqa: F401  (registers the networks)
from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.launch import require_keys
from mm_frelu.engine.output_folder import require_writable
from mm_frelu.engine.progress import progress
from mm_frelu.engine.settings import SettingsAction
from mm_frelu.visualization.charts import new_figure, style
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.image_files import ImageFile, as_picture, read_image, targets_of
from mm_frelu.visualization.model_options import (
    add_device_argument,
    add_model_argument,
    check_model_names,
    config_change,
)
from mm_frelu.visualization.option_types import count, length, positive, share
from mm_frelu.visualization.trained_model import Change, load_trained, usable_device

SHOWN_WIDTH = 640
"""Width in pixels. Smaller images are enlarged before the skeletons are drawn, so that the lines are thin."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Draw the skeletons of several keypoint models and the ground truth side by side.'
    )
    add_model_argument(parser)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument(
        '--max-images', type=count, metavar='N', help='draw only the first N images; default: all'
    )
    parser.add_argument(
        '--kpt-thr',
        type=share,
        default=0.3,
        metavar='S',
        help='minimum score of the predicted keypoints to draw (default: 0.3)',
    )
    parser.add_argument(
        '--width',
        type=length,
        default=10.0,
        metavar='IN',
        help='width of a figure in inches, or with a unit such as 8.3cm (default: 10)',
    )
    parser.add_argument(
        '--dpi', type=positive, default=100, metavar='N', help='pixels per inch (default: 100)'
    )
    add_device_argument(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='settings that override those of all configs',
    )
    args = parser.parse_args(argv)
    check_model_names(parser, args)
    return args


class Model(NamedTuple):
    """A model with its weights, and the test set of its config."""

    name: str
    network: nn.Module
    people: Any


def load_model(name: str, config: str, checkpoint: str, device: str, change: Change) -> Model:
    """Load a model given on the command line.

    Raises:
        UserError: If a file does not exist, if the checkpoint does not fit the config, or if the config is for another task.
    """
    cfg, network, _ = load_trained(name, config, checkpoint, device, change, 'keypoints')
    require_keys(cfg, ('test_dataloader',), 'drawing')
    check_datasets(cfg, ('test_dataloader',))
    return Model(name, network, DATASETS.build(cfg.test_dataloader.dataset))


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

    image = as_picture(read_image(Path(path)))
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


def draw(shown: Dict[str, np.ndarray], width: float, dpi: float) -> Figure:
    """Draw the panels in a row, with their titles."""
    height, columns = next(iter(shown.values())).shape[:2]
    panel = width / len(shown)
    with style(shown):
        figure = new_figure(panel * height / columns + 0.3, width)
        figure.set_dpi(dpi)
        grid = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (title, picture) in zip(grid, shown.items()):
            axes.imshow(picture)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    return figure


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw the figures, and print where they are."""
    args = parse_args(argv)
    out = Path(args.out)
    require_writable('--out', out)
    device = usable_device(args.device)
    console = Console()
    models = []
    for name, config, checkpoint in args.model:
        console.print(f'Loading {name}: {checkpoint}', markup=False, highlight=False)
        models.append(load_model(name, config, checkpoint, device, config_change(args)))
    images = indices_by_image(models[0].people)
    for model in models[1:]:
        if indices_by_image(model.people) != images:
            raise UserError(
                f'The test sets of {models[0].name} and {model.name} have different images or people. Give configs with the same '
                'test set.'
            )
    chosen = list(images.items())[: args.max_images]
    files = [ImageFile(Path(path), Path(Path(path).name)) for path, _ in chosen]
    targets = targets_of(files, out, '.png')
    for path, indices in progress('Drawing', chosen, console):
        figure = draw(panels(path, indices, models, args.kpt_thr), args.width, args.dpi)
        save_figure(figure, targets[Path(path)])
    noun = 'picture' if len(chosen) == 1 else 'pictures'
    console.print(
        f'{len(chosen)} {noun} in {out.absolute()}', markup=False, highlight=False, soft_wrap=True
    )


if __name__ == '__main__':
    main()
