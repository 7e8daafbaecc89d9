"""Check that a pipeline loads labels if training or evaluation needs them.

Without labels MMEngine stops with ``KeyError: 'gt_sem_seg'``; in validation, only after thousands of iterations.
"""

from typing import Any, Dict

from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from mm_frelu.engine.config_types import class_of, kind_of, metrics_of, steps_of
from mm_frelu.engine.errors import UserError

_LIBRARIES = ('mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mm_frelu')


def check_labels(cfg: Config, loader: str, key: str, dataset: Dict[str, Any]) -> None:
    """Raise if a dataloader needs labels and its pipeline does not load them.

    Args:
        cfg (Config): A whole config of mmseg or mmdet.
        loader (str): Config key of the dataloader.
        key (str): Config key of the dataset in it.
        dataset (dict): Its config.

    Raises:
        UserError: When labels are needed and no step of the pipeline loads them.
    """
    pipeline = [step for step in steps_of(dataset.get('pipeline')) if 'type' in step]
    kinds = [kind_of(step) for step in pipeline]
    # A dataset for re-identification has the labels itself.
    if not kinds or any('Annotation' in kind or 'ReID' in kind for kind in kinds):
        return
    classes = [class_of(step, TRANSFORMS, cfg.get('default_scope')) for step in pipeline]
    # The user's own transforms may load labels.
    if not all(cls and cls.__module__.partition('.')[0] in _LIBRARIES for cls in classes):
        return
    steps = ', '.join(kinds)
    if loader == 'train_dataloader':
        if cfg.get('default_scope') in ('mmseg', 'mmdet'):
            raise UserError(
                f'{key}.pipeline loads no labels ({steps}), so there is nothing to learn from. Add '
                "dict(type='LoadAnnotations') after the step that loads the image."
            )
        return
    evaluator = loader.replace('dataloader', 'evaluator')
    # Metrics of mmseg, which compare with labels from the pipeline.
    metrics = [
        kind_of(metric)
        for _, metric in metrics_of(cfg, evaluator)
        if kind_of(metric) in ('IoUMetric', 'CityscapesMetric', 'DepthMetric')
        and not metric.get('format_only')
    ]
    # mmdet's metrics read the annotation file themselves.
    if cfg.get('default_scope') != 'mmseg' or not metrics:
        return
    remedy = (
        'Turn validation off (val_dataloader=None val_cfg=None val_evaluator=None).'
        if loader == 'val_dataloader'
        else f'To write predictions only, add --out DIR and --cfg-options {evaluator}.format_only=True.'
    )
    raise UserError(
        f'{key}.pipeline loads no labels ({steps}), so {evaluator} ({", ".join(metrics)}) has nothing to compare with. '
        f"{remedy} If there are labels, add dict(type='LoadAnnotations') after Resize."
    )
