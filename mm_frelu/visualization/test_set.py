"""Read classes, labels and pipeline from the test set of a config, so that pictures show what the evaluation uses."""

import functools
from typing import Any, Dict, List, Sequence

from mmengine.config import Config

from mm_frelu.datasets.check_dataset import leaf_datasets
from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.config_types import kind_of
from mm_frelu.engine.errors import UserError, listed

_ANNOTATION_STEPS = (
    'LoadAnnotations',
    'LoadPanopticAnnotations',
    'LoadProposals',
    'CheckLabelIds',
)


class SegmentationTestSet:
    """Reads the settings of a config's test set. The dataset is built on first use, without reading its files.

    Args:
        cfg: The config.
        config: Its name, for messages.
    """

    def __init__(self, cfg: Config, config: str) -> None:
        self.config = config
        self.settings = first_test_set(cfg)
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


def first_test_set(cfg: Config) -> Dict[str, Any]:
    """Returns the config of the test set without wrappers; of the first one if there are several, empty if there is none."""
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset')
    return next((leaf for _, leaf in leaf_datasets(dataset, '')), {})


def image_steps(cfg: Config, config: str) -> List[Dict[str, Any]]:
    """Returns the test pipeline without the steps that read or check annotations, because images may have none.

    Args:
        cfg: The config.
        config: Its name, for messages.

    Raises:
        UserError: If the remaining pipeline does not start with loading an image.
    """
    pipeline = first_test_set(cfg).get('pipeline') or cfg.get('test_pipeline') or ()
    steps = [dict(step) for step in pipeline if kind_of(step) not in _ANNOTATION_STEPS]
    if not steps or not kind_of(steps[0]).startswith('Load'):
        raise UserError(
            f'{config} has no test pipeline that begins with loading an image: expected test_pipeline, or '
            'test_dataloader.dataset.pipeline.'
        )
    return steps


def check_same_classes(names: Sequence[str], classes: Sequence[Sequence[str]]) -> None:
    """Raises :class:`UserError` unless all models have the same classes in the same order."""
    first = classes[0]
    for name, own in zip(names[1:], classes[1:]):
        if tuple(own) == tuple(first):
            continue
        if len(own) != len(first):
            found = f'{names[0]} has {len(first)} classes ({listed(first)}), '
            found += f'{name} {len(own)} ({listed(own)})'
        else:
            number = [a == b for a, b in zip(first, own)].index(False)
            found = (
                f'class {number} is {first[number]!r} for {names[0]} and {own[number]!r} for {name}'
            )
        raise UserError(
            f'The models do not have the same classes: {found}. Compare models that were trained on the same dataset.'
        )
