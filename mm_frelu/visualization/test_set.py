"""Read labels and classes from the test set of a segmentation config, so that pictures show the labels that the evaluation uses."""

import functools
from typing import Any, Dict, Sequence

from mmengine.config import Config

from mm_frelu.datasets.config_types import kind_of
from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.errors import UserError, listed


class SegmentationTestSet:
    """Reads the settings of a config's test set. The dataset is built on first use, without reading its files.

    Args:
        cfg: The config.
        config: Its name, for messages.
    """

    def __init__(self, cfg: Config, config: str) -> None:
        self.config = config
        self.settings = _without_wrappers(cfg)
        # --cfg-options change the dataset's pipeline, not the top-level variable that it was defined with.
        self.pipeline = self.settings.get('pipeline') or cfg.get('test_pipeline') or ()
        evaluators = cfg.get('test_evaluator') or cfg.get('val_evaluator') or ()
        self.evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]

    @functools.cached_property
    def dataset(self) -> Any:
        """The dataset, which has the classes; None if the config has no test set."""
        from mmseg.registry import DATASETS

        if 'type' not in self.settings:
            return None
        try:
            settings = {'_scope_': 'mmseg', **self.settings, 'lazy_init': True, 'pipeline': []}
            return DATASETS.build(settings)
        except Exception as error:  # each dataset class raises its own types
            raise UserError(
                f'{self.config}: its test set, a {self.settings["type"]}, is needed to map labels to classes, but cannot be '
                f'built ({error}). Fix test_dataloader.dataset.'
            ) from error

    @property
    def metainfo(self) -> Dict[str, Any]:
        """Names and colours of the classes, as set by mmseg."""
        return dict(getattr(self.dataset, 'metainfo', None) or {})

    @property
    def ignore_index(self) -> int:
        """The label that scores ignore: the metric's, otherwise the dataset's."""
        for settings in (*self.evaluators, self.settings):
            if isinstance(settings, dict) and settings.get('ignore_index') is not None:
                return settings['ignore_index']
        return 255

    def renumbering(self, classes: Sequence[str]) -> Renumbering:
        """Returns the mapping from ids in label files to class ids.

        Raises:
            UserError: If the test set has other classes than the weights were trained on, or the same in another order.
        """
        own = self.metainfo.get('classes')
        if own and tuple(own) != tuple(classes):
            raise UserError(
                f'{self.config}: its test set has the classes {listed(own)}, but the weights were trained on '
                f'{listed(classes)} ({len(own)} and {len(classes)}). Give both the same metainfo.classes, in the same order.'
            )
        loaders = [step for step in self.pipeline if kind_of(step) == 'LoadAnnotations']
        reduces = getattr(self.dataset, 'reduce_zero_label', False)
        return Renumbering(
            bool(reduces or any(step.get('reduce_zero_label') for step in loaders)),
            getattr(self.dataset, 'label_map', None),
            dict(loaders[0]) if loaders else dict(type='LoadAnnotations'),
        )

    def steps(self) -> Sequence[Dict[str, Any]]:
        """Returns the pipeline without the steps that read or check label files, because images may have none.

        Raises:
            UserError: If the remaining pipeline does not start with loading an image.
        """
        steps = [
            dict(step)
            for step in self.pipeline
            if kind_of(step) not in ('LoadAnnotations', 'CheckLabelIds')
        ]
        if not steps or not kind_of(steps[0]).startswith('Load'):
            raise UserError(
                f'{self.config} has no test pipeline that begins with loading an image: expected test_pipeline, or '
                'test_dataloader.dataset.pipeline.'
            )
        return steps


def _without_wrappers(cfg: Config) -> Dict[str, Any]:
    """Return the config of the test set without wrappers; of the first one if there are several."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset
