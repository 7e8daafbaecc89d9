"""Read the folder of PNG files that tools/test.py --out writes for segmentation, together with the labels."""

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mm_frelu.datasets.check_dataset import check_datasets
from mm_frelu.datasets.label_files import Renumbering
from mm_frelu.engine.arguments import require_library, task_of
from mm_frelu.engine.config_types import kind_of
from mm_frelu.engine.errors import UserError
from mm_frelu.engine.output_names import folders_of
from mm_frelu.visualization.image_files import read_labels
from mm_frelu.visualization.test_set import SegmentationTestSet

_MAKE = 'Write it again: tools/test.py CONFIG CHECKPOINT --out DIR.'


class LabelledImage(NamedTuple):
    """An image of the test set.

    Attributes:
        image: The image file.
        label: Its label file.
        prediction: The file with its prediction.
    """

    image: Path
    label: Path
    prediction: Path


class SegmentationResults(NamedTuple):
    """Predictions for a test set.

    Attributes:
        classes: Names of the classes.
        palette: One RGB colour for each class, or None.
        ignore_index: The label of unlabelled pixels.
        images: The images, in the order of the dataset.
        renumbering: Conversion of the ids in label files to classes.
        from_file: Class of each value in a prediction file; 255 for none.
    """

    classes: Tuple[str, ...]
    palette: Optional[List[Sequence[int]]]
    ignore_index: int
    images: List[LabelledImage]
    renumbering: Renumbering
    from_file: np.ndarray

    def read(self, entry: LabelledImage) -> Tuple[np.ndarray, np.ndarray]:
        """Read prediction and label of an image.

        Returns:
            Integer arrays (H, W) of class numbers. The label may also have ``ignore_index``.

        Raises:
            UserError: If a file cannot be read or does not have class numbers, or the files differ in size.
        """
        try:
            with Image.open(entry.prediction) as file:
                values: np.ndarray = np.asarray(file)
        except Exception as error:  # decoders raise different errors
            raise UserError(f'{entry.prediction} cannot be read ({error}). {_MAKE}') from None
        if values.ndim != 2:
            raise UserError(
                f'{entry.prediction} is a colour image; expected one channel of class numbers. {_MAKE}'
            )
        prediction = self.from_file[np.clip(values, 0, 255).astype(np.uint8)]
        strange = np.unique(values[prediction == 255])
        if strange.size:
            raise UserError(
                f'{entry.prediction} has the value {strange[0]}, which is not one of the {len(self.classes)} classes. The '
                'predictions are of a model for another dataset. Give its config.'
            )
        label = read_labels(
            entry.label,
            values.shape[1::-1],
            len(self.classes),
            self.ignore_index,
            self.renumbering,
        )
        return prediction.astype(np.int64), label


def load_segmentation_results(cfg: Config, config: str, folder: str) -> SegmentationResults:
    """Find the predictions of a config's test set.

    Args:
        cfg: The config that was tested.
        config: Its name, for messages.
        folder: Folder of ``tools/test.py --out``.

    Raises:
        UserError: If this is not a segmentation config, there are no labels, or the files do not belong to its test set.
    """
    task = task_of(cfg)
    if task != 'segmentation':
        raise UserError(f'{config} is a {task} config; expected one for segmentation.')
    if not os.path.isdir(folder):
        kind = 'is a file' if os.path.isfile(folder) else 'there is no such folder'
        raise UserError(
            f'{folder}: {kind}. Predictions of a segmentor are in a folder of PNG files. {_MAKE}'
        )
    require_library(cfg)
    check_datasets(cfg, ('test_dataloader',))
    import mmseg.datasets  # noqa: F401  (registers its datasets)

    test_set = SegmentationTestSet(cfg, config)
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = test_set.dataset
        if dataset is None:
            raise UserError(
                f'{config} has no test_dataloader.dataset. Give the config that was tested.'
            )
        dataset.full_init()
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    classes = tuple(dataset.metainfo['classes'])
    return SegmentationResults(
        classes,
        dataset.metainfo.get('palette'),
        test_set.ignore_index,
        _pair(infos, config, Path(folder)),
        test_set.renumbering(classes),
        _values(test_set, len(classes), bool(getattr(dataset, 'reduce_zero_label', False))),
    )


def _pair(infos: List[Dict[str, Any]], config: str, folder: Path) -> List[LabelledImage]:
    paths = [info['img_path'] for info in infos]
    folders = folders_of(list(dict.fromkeys(paths)), suffix=False)
    images = []
    for info in infos:
        path = Path(info['img_path'])
        if not info.get('seg_map_path'):
            raise UserError(f'{config}: {path} has no label file to compare the prediction with.')
        prediction = folder / folders[info['img_path']] / f'{path.stem}.png'
        images.append(LabelledImage(path, Path(info['seg_map_path']), prediction))
    expected = {entry.prediction.resolve() for entry in images}
    absent = [entry.prediction for entry in images if not entry.prediction.is_file()]
    strange = [file for file in sorted(folder.rglob('*.png')) if file.resolve() not in expected]
    if absent:
        more = f', but has {strange[0].name}, which is not of this test set' if strange else ''
        raise UserError(
            f'{folder} lacks the predictions for {len(absent)} of {len(images)} images of {config}, for example '
            f'{absent[0].name}{more}. The predictions are for another dataset, or the test was interrupted. {_MAKE}'
        )
    return images


def _values(test_set: SegmentationTestSet, num_classes: int, from_one: bool) -> np.ndarray:
    """Return the class of each value in a prediction file.

    IoUMetric writes class numbers, which start at 1 if the dataset has ``reduce_zero_label``. CityscapesMetric writes the label
    ids of CityScapes.
    """
    table = np.full(256, 255)
    # tools/test.py chooses the metric that writes in the same way.
    writer = next(
        (
            kind_of(metric)
            for metric in test_set.evaluators
            if kind_of(metric) in ('CityscapesMetric', 'IoUMetric')
        ),
        'IoUMetric',
    )
    if writer == 'CityscapesMetric':
        from cityscapesscripts.helpers.labels import trainId2label

        ids = [trainId2label[number].id for number in range(num_classes)]
    else:
        ids = list(range(from_one, num_classes + from_one))
    table[ids] = range(num_classes)
    return table
