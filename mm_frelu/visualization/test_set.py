"""The test set of a segmentation config, asked for what pictures need: they have to show what the evaluation compares."""

import functools
from typing import Any, Dict, Sequence

from mmengine.config import Config

from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.errors import UserError


class SegmentationTestSet:
    """How a config's test set reads images and labels. The dataset itself is built, without its files, when it is asked for.

    Args:
        cfg: The config.
        config: Its name, for messages.
    """

    def __init__(self, cfg: Config, config: str) -> None:
        self.config = config
        self.settings = _without_wrappers(cfg)
        # Options on the command line change the dataset's pipeline, not the variable that the file made it from.
        self.pipeline = self.settings.get('pipeline') or cfg.get('test_pipeline') or ()
        evaluators = cfg.get('test_evaluator') or cfg.get('val_evaluator') or ()
        self.evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]

    @functools.cached_property
    def dataset(self) -> Any:
        """The dataset, which knows its classes; None where the config has no test set."""
        from mmseg.registry import DATASETS

        if 'type' not in self.settings:
            return None
        try:
            settings = {'_scope_': 'mmseg', **self.settings, 'lazy_init': True, 'pipeline': []}
            return DATASETS.build(settings)
        except Exception as error:  # as each dataset class has it
            raise UserError(
                f'{self.config}: its test set, a {self.settings["type"]}, says which label is which class, and cannot be '
                f'built ({error}). Mend test_dataloader.dataset.'
            ) from error

    @property
    def metainfo(self) -> Dict[str, Any]:
        """Names and colours of the classes, as mmseg chooses them."""
        return dict(getattr(self.dataset, 'metainfo', None) or {})

    @property
    def ignore_index(self) -> int:
        """The label that counts in no score: the metric's, else the dataset's."""
        for settings in (*self.evaluators, self.settings):
            if isinstance(settings, dict) and settings.get('ignore_index') is not None:
                return settings['ignore_index']
        return 255

    def renumbering(self, classes: Sequence[str]) -> Renumbering:
        """What becomes of the ids in label files.

        Raises:
            UserError: When the test set has other classes than the weights were trained on, or in another order.
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
        """The pipeline without the steps that read or check label files: images may have none.

        Raises:
            UserError: When nothing is left that loads an image.
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


def kind_of(step: Dict[str, Any]) -> str:
    """The type of a step without scope."""
    return getattr(step['type'], '__name__', str(step['type'])).rsplit('.', 1)[-1]


def listed(classes: Sequence[str]) -> str:
    """The first names of classes, for messages."""
    return ', '.join(classes[:4]) + (', ...' if len(classes) > 4 else '')


def _without_wrappers(cfg: Config) -> Dict[str, Any]:
    """Config of the test set; of several, the first; without its wrappers."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset
