"""Keep the output files of a test apart when images in different folders have the same name.

mmseg's metrics and the visualisation hooks name their output files after the file name of the image, without its folder. Datasets with a
folder per sequence, camera or patient may have a ``000000.png`` in each, and every output would overwrite the one before.
"""

import os
from collections import Counter
from typing import Any, Callable, Dict, List, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from .errors import UserError

_FOLDER_OF_HOOK = {'DetVisualizationHook': 'test_out_dir', 'VisualizationHook': 'out_dir'}
"""Attribute of each hook that has its output folder. mmseg's hook is not listed: it numbers its pictures."""


def keep_folders(runner: Runner) -> None:
    """Make the metrics and hooks of a test write into the subfolders of the images, if names of images are not unique.

    Args:
        runner (Runner): A runner whose test has not started.

    Raises:
        UserError: When two images differ only in their suffix, so that their label files would have the same name.
    """
    metrics = [m for m in runner.test_evaluator.metrics if getattr(m, 'output_dir', None)]
    hooks = [h for h in runner.hooks if getattr(h, _FOLDER_OF_HOOK.get(type(h).__name__, ''), None)]
    if not metrics and not hooks:
        return
    paths = image_paths(runner.test_dataloader.dataset)
    if not paths:
        return
    if metrics:
        folders = folders_of(paths, suffix=False)
        for metric in metrics:
            _divide_metric(metric, folders)
    folders = folders_of(paths, suffix=True)
    for hook in hooks:
        _divide_hook(hook, folders)


def image_paths(dataset: Any) -> List[str]:
    """Return the image paths of a built dataset, each once, in order; empty for a dataset that is not MMEngine's."""
    if not hasattr(dataset, 'get_data_info'):
        return []
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return list(dict.fromkeys(info['img_path'] for info in infos if info.get('img_path')))


def folders_of(paths: Sequence[str], suffix: bool) -> Dict[str, str]:
    """Return the subfolder of the output folder for the file of each image.

    Args:
        paths (Sequence[str]): Different images.
        suffix (bool): Whether the output's name includes the image's suffix.

    Returns:
        Dict[str, str]: Subfolder of each image. Empty strings if the names of the images are unique; otherwise the images'
        folders relative to their common parent.

    Raises:
        UserError: When two images would still have the same output file.
    """

    def name(path: str) -> str:
        return os.path.basename(path if suffix else os.path.splitext(path)[0])

    if len({name(path) for path in paths}) == len(paths):
        return dict.fromkeys(paths, '')
    parents = {path: os.path.dirname(os.path.abspath(path)) for path in paths}
    common = os.path.commonpath(set(parents.values()))
    folders = {path: os.path.relpath(parent, common) for path, parent in parents.items()}
    (target, times), *_ = Counter((folders[path], name(path)) for path in paths).most_common(1)
    if times > 1:
        same = [path for path in paths if (folders[path], name(path)) == target]
        raise UserError(
            f'{same[0]} and {same[1]} are two images of the test set, and their predictions would have the same name, '
            f'{os.path.normpath(os.path.join(*target))}. Rename one of them, or test them separately into two folders.'
        )
    return folders


def _divide_metric(metric: Any, folders: Dict[str, str]) -> None:
    process, root = metric.process, metric.output_dir

    def process_one_by_one(data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            metric.output_dir = _made(root, folders[sample['img_path']])
            process(data_batch, [sample])
        metric.output_dir = root

    metric.process = process_one_by_one


def _divide_hook(hook: Hook, folders: Dict[str, str]) -> None:
    draw: Callable = hook.after_test_iter
    attribute = _FOLDER_OF_HOOK[type(hook).__name__]
    folder = getattr(hook, attribute)

    def draw_one_by_one(runner: Runner, batch_idx: int, data_batch: Any, outputs: Any) -> None:
        # Same as in mmdet, but absolute, because mmdet joins the paths again.
        root = os.path.abspath(os.path.join(runner.work_dir, runner.timestamp, folder))
        for index, sample in enumerate(outputs):
            setattr(hook, attribute, _made(root, folders[sample.img_path]))
            one = data_batch
            if isinstance(data_batch, dict):  # mmpretrain draws on the model's inputs
                one = dict(data_batch, inputs=data_batch['inputs'][index : index + 1])
            draw(runner, batch_idx, one, [sample])
        setattr(hook, attribute, folder)

    hook.after_test_iter = draw_one_by_one


def _made(root: str, folder: str) -> str:
    path = os.path.normpath(os.path.join(root, folder))
    os.makedirs(path, exist_ok=True)
    return path
