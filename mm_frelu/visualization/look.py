"""Appearance of label maps: classes, colours, error panels and legend entries."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import palette as colors
from .contrast import merging_pairs, moved_apart
from .differences import Scores, count_answers, error_map, image_scores, largest_confusions
from .differences import slip_radius as radius_of
from .layout import Sheet
from .legend import Entry, class_entries
from .painter import Painter
from .scene import Scene
from .titles import Panel

PALETTES = ('apart', 'dataset')


class Look(NamedTuple):
    """Settings that all pictures of one comparison share.

    Attributes:
        classes: Names of the classes.
        palette: ``uint8`` array (num_classes, 3).
        opacity: Opacity of the class colours, 0 to 1.
        only_mask: Leave the image out of every map.
        ignore_index: The label that means "not labelled".
    """

    classes: Sequence[str]
    palette: np.ndarray
    opacity: float = 0.65
    only_mask: bool = False
    ignore_index: int = 255

    def scores(self, scene: Scene, model: str) -> Scores:
        """Returns the scores of a model on the whole image."""
        assert scene.ground_truth is not None
        labels = scene.predictions[model]
        return image_scores(labels, scene.ground_truth, len(self.classes), self.ignore_index)

    def painter(self, image: np.ndarray, size: Tuple[int, int], sheet: Sheet) -> Painter:
        """Creates a painter for panels of this size over an image."""
        return Painter.over(
            image,
            size,
            palette=self.palette,
            opacity=self.opacity,
            only_mask=self.only_mask,
            ignore_index=self.ignore_index,
            sheet=sheet,
        )

    def errors(self, painter: Painter, scene: Scene, model: str) -> Panel:
        """Returns the panel of a model's errors. Its remarks are the most frequent confusions in the shown part."""
        assert scene.ground_truth is not None
        labels = scene.box.cut(scene.predictions[model])
        truth = scene.box.cut(scene.ground_truth)
        # Computed on the whole image, because the tolerance at boundaries depends on the image size.
        states = scene.box.cut(
            error_map(scene.predictions[model], scene.ground_truth, self.ignore_index)
        )
        found = [
            f'{self.classes[pair.truth]} → {self.classes[pair.answer]} {100 * pair.share:.1f}'
            for pair in largest_confusions(labels, truth, states)
        ]
        lengths = [', '.join(found[:number]) for number in range(len(found), 0, -1)]
        remarks = [*lengths, ''] if lengths else []
        return Panel(model, painter.errors(states, labels), ': errors', remarks)

    def disagreement(self, painter: Painter, scene: Scene) -> Panel:
        """Returns the panel that shows where the models differ."""
        shown = [scene.box.cut(labels) for labels in scene.predictions.values()]
        picture = painter.disagreement(count_answers(shown), len(shown))
        return Panel('Where the models differ', picture)

    def class_entries(self, scenes: Sequence[Scene]) -> List[Entry]:
        """Returns the legend's entries for the classes that are shown."""
        maps = [labels for scene in scenes for labels in scene.shown_maps()]
        return class_entries(maps, self.classes, self.palette, self.ignore_index)

    def error_entries(self, scenes: Sequence[Scene]) -> List[Entry]:
        """Returns the legend's entries for the colours of error maps."""
        radii = sorted({radius_of(scene.size) for scene in scenes})
        reach = '–'.join(str(radius) for radius in dict.fromkeys((radii[0], radii[-1])))
        return [
            Entry('correct', colors.CORRECT),
            Entry('wrong: colour of the class that was predicted', (255, 255, 255), colors.WRONG),
            Entry(f'boundary off by at most {reach} px', colors.SLIP),
        ]

    def unlabelled_entries(self, scenes: Sequence[Scene]) -> List[Entry]:
        """Returns the entry for unlabelled pixels, if any are shown."""
        truths = [
            scene.box.cut(scene.ground_truth) for scene in scenes if scene.ground_truth is not None
        ]
        shown = any((truth == self.ignore_index).any() for truth in truths)
        return [Entry('not labelled', None)] if shown else []

    @staticmethod
    def difference_entries(scene: Scene) -> List[Entry]:
        """Returns the legend's entries for the map that shows where models differ."""
        shown = [scene.box.cut(labels) for labels in scene.predictions.values()]
        shades = colors.difference_colors(len(shown))
        texts = ['the models agree', 'they differ']
        if len(shown) > 2:
            most = int(count_answers(shown).max())
            texts[1:] = [f'{count} different answers' for count in range(2, most + 1)]
        return [Entry(text, tuple(shade)) for text, shade in zip(texts, shades.tolist())]


def choose_palette(
    palette: Optional[Sequence[Sequence[int]]], num_classes: int, kind: str = 'apart'
) -> np.ndarray:
    """Chooses the colours of the classes.

    Args:
        palette: The dataset's colours (0..255), one for each class, or None.
        num_classes: Number of classes.
        kind: ``'dataset'`` for the dataset's own colours; ``'apart'`` to change colours that are too similar to that of another
            class, see :mod:`mm_frelu.visualization.contrast`.

    Returns:
        ``uint8`` array (num_classes, 3).

    Raises:
        ValueError: If the palette does not fit, or the kind is unknown.
    """
    if kind not in PALETTES:
        raise ValueError(f'The kinds of palettes are {" and ".join(PALETTES)}; found {kind!r}.')
    table = colors.as_palette(palette, num_classes)
    return moved_apart(table) if kind == 'apart' else table


def describe_palette(
    palette: Optional[Sequence[Sequence[int]]], chosen: np.ndarray, classes: Sequence[str]
) -> str:
    """Returns sentences about changed colours and about classes that still look similar; empty if there are none."""
    table = colors.as_palette(palette, len(classes))
    moved = [name for name, was, now in zip(classes, table, chosen) if (was != now).any()]
    alike = [f'{classes[a]} and {classes[b]}' for a, b in merging_pairs(chosen)]
    texts = []
    if moved:
        texts.append(
            f'{_some(moved)}: changed from the colour of the dataset, which is too similar to that of another class '
            '(--palette dataset keeps it).'
        )
    if alike:
        texts.append(f'Hard to distinguish by colour: {_some(alike)}.')
    return ' '.join(texts)


def _some(names: Sequence[str], number: int = 8) -> str:
    rest = f' and {len(names) - number} more' if len(names) > number else ''
    return ', '.join(names[:number]) + rest


def score_remarks(scores: Scores) -> List[str]:
    """Returns the scores as text in several lengths, the longest first, because a number must not be cut."""
    iou, accuracy = ('–' if np.isnan(value) else f'{100 * value:.1f}' for value in scores[:2])
    classes = f'({scores.num_counted} classes)'
    return [f'mIoU {iou} {classes}, acc {accuracy}', f'mIoU {iou}, acc {accuracy}', f'mIoU {iou}']


SCORE_NOTE = 'Scores in %, over the whole image. mIoU is the mean over the classes that its ground truth or the prediction holds.'
CONFUSION_NOTE = (
    'Above errors: what was most often taken for what, in % of the labelled pixels shown.'
)
