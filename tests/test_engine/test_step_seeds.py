"""Random numbers of a training step depend only on seed, rank and iteration, not on earlier draws."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mm_frelu.engine.step_seeds import seed_all, seed_batches, seed_iteration


class Dice(Dataset):
    """Loads its index and three random numbers."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return index, random.random(), float(np.random.rand()), float(torch.rand(1))


class Forever:
    """A sampler that can skip, like MMEngine's InfiniteSampler."""

    def __init__(self):
        self.position = 0

    def skip(self, number):
        self.position = number

    def __iter__(self):
        while True:
            yield self.position % 6
            self.position += 1


def runner(iteration=0, seed=5, rank=0, loop=None):
    return SimpleNamespace(seed=seed, rank=rank, iter=iteration, _train_loop=loop or object())


def batches(number, runner, sampler=None, workers=0, skip=0):
    sampler = sampler or Forever()
    loader = DataLoader(Dice(), 2, sampler=sampler, num_workers=workers, collate_fn=list)
    seed_batches(loader, runner)
    if skip:
        sampler.skip(2 * skip)
    found = []
    iterator = iter(loader)
    for _ in range(number):
        found.append(next(iterator))
        runner.iter += 1
    return found


def test_numbers_differ_between_places_iterations_ranks_and_seeds():
    one = batches(4, runner())
    numbers = [number for batch in one for image in batch for number in image[1:]]
    assert len(set(numbers)) == len(numbers) == 4 * 2 * 3
    for other in (runner(rank=1), runner(seed=6)):
        others = [number for batch in batches(4, other) for image in batch for number in image[1:]]
        assert not set(numbers) & set(others)
    assert [image[0] for batch in one for image in batch] == [0, 1, 2, 3, 4, 5, 0, 1]


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_they_depend_neither_on_workers_nor_on_what_was_drawn_before(workers):
    expected = batches(4, runner())
    random.random(), np.random.rand(9), torch.rand(9)
    assert batches(4, runner(), workers=workers) == expected
    assert batches(2, runner(2), workers=workers, skip=2) == expected[2:]


def test_a_sampler_that_cannot_skip_draws_the_past_again():
    """MMEngine discards as many batches as were trained on, while its Runner is at that iteration."""
    expected = batches(3, runner(), sampler=range(6))
    resumed = runner(2, loop=SimpleNamespace(dataloader_iterator=None))
    loader = DataLoader(Dice(), 2, sampler=range(6), collate_fn=list)
    seed_batches(loader, resumed)
    iterator = iter(loader)
    assert [next(iterator) for _ in range(3)] == expected


def test_an_epoch_begins_at_the_iteration_of_its_first_batch():
    both = batches(3, runner(), sampler=range(6)) + batches(3, runner(3), sampler=range(6))
    there = runner()
    loader = DataLoader(Dice(), 2, sampler=range(6), collate_fn=list)
    seed_batches(loader, there)
    found = []
    for _ in range(2):
        for batch in loader:
            found.append(batch)
            there.iter += 1
    assert found == both
    assert found[0] != found[3]


def test_each_step_of_the_training_process_is_seeded():
    def draw(there):
        seed_iteration(there)
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    assert draw(runner(7)) == draw(runner(7))
    others = (runner(8), runner(7, rank=1), runner(7, seed=6))
    assert len({draw(runner(7)), *map(draw, others)}) == 4


def test_images_and_training_process_draw_different_numbers():
    seed_all(5, 0, 0)
    assert random.random() not in [image[1] for image in batches(1, runner())[0]]


def test_a_loader_without_batches_is_left_alone():
    loader = DataLoader(Dice(), batch_size=None)
    seed_batches(loader, runner())
    assert [image[0] for image in loader] == list(range(6))
