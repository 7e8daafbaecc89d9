"""Support test sets without labels: the user's own images, or the test split of CityScapes, which only its server scores."""

import os
from typing import Any

from mmengine.config import Config

from mm_frelu.datasets.check_dataset import leaf_datasets

from .config_types import kind_of, metrics_of
from .errors import UserError

_NEED_LABELS = ('LoadAnnotations', 'CheckLabelIds')


def take_out_labels(cfg: Config) -> None:
    """Remove label loading from the test pipeline if the config has ``data_prefix.seg_map_path=None``.

    MMEngine's datasets do not accept None as a path, and mmseg's test pipelines load labels.
    """
    found = False
    for _, leaf in leaf_datasets((cfg.get('test_dataloader') or {}).get('dataset'), ''):
        prefix = leaf.get('data_prefix') or {}
        if prefix.get('seg_map_path', '') is None:
            found = True
            del prefix['seg_map_path']
            leaf['pipeline'] = without_labels(leaf.get('pipeline') or [])
    if found and cfg.get('tta_pipeline'):
        cfg.tta_pipeline = without_labels(cfg.tta_pipeline)


def without_labels(steps: Any) -> Any:
    """Return a pipeline, or a step of it, without the steps that read or check labels."""
    if isinstance(steps, dict):
        transforms = steps.get('transforms')
        return {**steps, 'transforms': without_labels(transforms)} if transforms else steps
    kept = []
    for step in steps:
        if isinstance(step, dict) and kind_of(step) in _NEED_LABELS:
            continue
        step = without_labels(step)
        # TestTimeAug takes the product of its lists, so an empty one would give no results.
        if step:
            kept.append(step)
    return kept


def require_output(cfg: Config) -> None:
    """Raise if a test has no place to write its predictions, or would delete them.

    Raises:
        UserError: For a metric with ``format_only=True`` but no output path, which would otherwise fail after the last image; and
            for a CityscapesMetric that would delete its output folder at the end, with everything in it.
    """
    for key, metric in metrics_of(cfg, 'test_evaluator'):
        kind = kind_of(metric)
        folder = metric.get('output_dir')
        filled = folder and os.path.isdir(folder) and os.listdir(folder)
        deleted = kind == 'CityscapesMetric' and folder and not metric.get('keep_results')
        if deleted and (filled or metric.get('format_only')):
            raise UserError(
                f'{key}.output_dir={folder}: CityscapesMetric deletes this folder at the end unless '
                f'keep_results=True. Add --cfg-options {key}.keep_results=True, or give --out DIR.'
            )
        if not metric.get('format_only'):
            continue
        if kind in ('IoUMetric', 'CityscapesMetric') and not metric.get('output_dir'):
            raise UserError(
                f'{key}.format_only=True: {kind} has no folder to write predictions to. Add --out DIR.'
            )
        if kind.startswith('Coco') and not metric.get('outfile_prefix'):
            raise UserError(
                f'{key}.format_only=True: {kind} has no file to write predictions to. Add '
                f'--cfg-options {key}.outfile_prefix=DIR/NAME to write DIR/NAME.bbox.json.'
            )
