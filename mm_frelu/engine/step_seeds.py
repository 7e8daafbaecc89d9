"""Seed every training step by the seed of the run, the rank and the iteration, so that a resumed run repeats the original one.

MMEngine seeds each process once. The random numbers of dropout and augmentation then depend on every step since the start, and
checkpoints do not save the state of the generators. A resumed run therefore draws other numbers than a run that was never stopped. Here,
every step is seeded by its position: in the training process, and for each image in the workers of the dataloader. A resumed run
repeats the steps exactly, and the number of workers has no influence.
"""

import random
from typing import Any, Iterator, List, Tuple

import numpy as np
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

Position = Tuple[int, ...]
"""Seed of the run, rank and iteration."""


def seed_all(*position: int) -> None:
    """Seed Python, NumPy and PyTorch (GPUs included) from non-negative integers. Different integers give unrelated numbers."""
    words = np.random.SeedSequence(position).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))


def seed_iteration(runner: Runner) -> None:
    """Seed the training process for the current iteration."""
    seed_all(runner.seed, runner.rank, runner.iter)


def seed_batches(loader: DataLoader, runner: Runner) -> None:
    """Make a dataloader seed the loading of each image by the iteration of its batch.

    A batch sampler yields the positions and PyTorch's ``__getitems__`` receives them. They reach the workers together with the
    indices.

    Args:
        loader: The training dataloader, before it is iterated over. Without a batch sampler it is not changed.
        runner: Its Runner.
    """
    if loader.batch_sampler is None:
        return
    dataset: Any = loader.dataset
    dataset.__getitems__ = _SeededItems(dataset)
    # DataLoader forbids this assignment in general: a batch sampler of another size would contradict its batch_size.
    object.__setattr__(loader, 'batch_sampler', _NumberedBatches(loader, runner))


class _NumberedBatches:
    """Batch sampler that yields the position of each batch together with its indices."""

    def __init__(self, loader: DataLoader, runner: Runner) -> None:
        self.loader = loader
        self.runner = runner
        self.batches: Any = loader.batch_sampler
        self.sampler = getattr(self.batches, 'sampler', loader.sampler)  # DistSamplerSeedHook
        self.batch_size = getattr(self.batches, 'batch_size', loader.batch_size)
        self.drop_last = getattr(self.batches, 'drop_last', loader.drop_last)
        self._drawn = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tuple[Position, List[int]]]:
        number = self._drawn if self._draws_the_past_again() else self._iteration()
        for indices in self.batches:
            self._drawn = number + 1
            yield (self.runner.seed, self.runner.rank, number), indices
            number += 1

    def _iteration(self) -> int:
        # runner.iter would build the loop, and MMEngine's loop draws a batch while it is built.
        loop = self.runner._train_loop
        return 0 if isinstance(loop, dict) else self.runner.iter

    def _draws_the_past_again(self) -> bool:
        """Whether MMEngine resumes by drawing and discarding the batches that were already trained on.

        It does so in iteration-based training if the sampler cannot skip. Releases without skipping samplers always do so.
        """
        loop = self.runner._train_loop
        return (
            not isinstance(loop, dict)
            and hasattr(loop, 'dataloader_iterator')
            and not getattr(loop, 'fast_forward_on_resume', False)
            and not hasattr(self.loader.sampler, 'skip')
        )


class _SeededItems:
    """``__getitems__`` of a dataset that seeds each image of a batch on its own."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, batch: Tuple[Position, List[int]]) -> List[Any]:
        position, indices = batch
        items = []
        for place, index in enumerate(indices):
            seed_all(*position, place + 1)
            items.append(self.dataset[index])
        return items
