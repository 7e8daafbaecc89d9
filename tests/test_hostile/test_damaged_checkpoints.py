"""Checkpoints with damaged bytes, odd content or code are loaded completely or refused in one sentence; no code is run."""

import copy
import os
import pickle
from random import Random

import damage
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader
from torch import nn

from mm_frelu import FReLU
from mm_frelu.checkpoints.files import read_checkpoint
from mm_frelu.checkpoints.torch_file import read_torch_state_dict
from mm_frelu.engine import UserError
from mm_frelu.engine.checkpoint_file import check_checkpoint_file
from mm_frelu.engine.checkpoint_guard import load_strictly
from mm_frelu.engine.safe_load import let_mmengine_load_safely

COUNTS = [30, pytest.param(400, marks=pytest.mark.slow)]


class Network(BaseModel):
    """A network with an FReLU."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = FReLU(4)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.act(self.conv(inputs))


def content():
    return dict(
        meta=dict(epoch=1, iter=3, dataset_meta=dict(classes=['a', 'b'])),
        state_dict=dict(Network().state_dict()),
        optimizer=dict(state={}, param_groups=[dict(lr=0.1, params=[0])]),
    )


class Command:
    """An object that creates a folder when it is unpickled unsafely."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def load(path):
    """Read a file like test.py and the converters."""
    check_checkpoint_file(str(path), 'checkpoint')
    checkpoint = read_checkpoint(str(path), 'checkpoint')
    load_strictly(Network(), checkpoint, str(path))


def load_as_the_runner(path):
    """Read a file like MMEngine in tools/train.py and tools/test.py."""
    let_mmengine_load_safely()
    check_checkpoint_file(str(path), 'checkpoint')
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    if not isinstance(checkpoint, dict):
        raise UserError(f'{path} holds no dict, says the Runner.')


READERS = {
    'checkpoint': load,
    'checkpoint, by MMEngine': load_as_the_runner,
    'weights of a port': read_torch_state_dict,
}


def try_cases(count, seed, path, write, reader):
    outcomes = set()
    for case in range(count):
        write(Random(f'{seed} {case}'))
        before = path.read_bytes()
        try:
            reader(path)
            outcomes.add('read')
        except UserError as error:
            assert 20 < len(str(error)) < 2000, f'case {case}: {error}'
            outcomes.add('refused')
        except Exception as error:
            raise AssertionError(f'case {case}: {error!r}') from error
        assert path.read_bytes() == before
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert 'refused' in outcomes


@pytest.mark.parametrize('count', COUNTS)
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('reader', READERS)
def test_bytes(tmp_path, reader, zipped, count):
    path = tmp_path / 'iter_3.pth'
    torch.save(content(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()

    def write(random):
        path.write_bytes(damage.of_bytes(whole, random))

    try_cases(count, f'{zipped}', path, write, READERS[reader])


@pytest.mark.parametrize('count', COUNTS)
def test_entries(tmp_path, count):
    path = tmp_path / 'iter_3.pth'
    tensors = (torch.zeros(0), torch.zeros(2, 2), torch.full((4,), float('nan')), torch.tensor(3))

    def write(random):
        checkpoint = content()
        if random.random() < 0.5:
            checkpoint = damage.of_tree(checkpoint, random)
        else:
            weights = checkpoint['state_dict']
            weights[random.choice(sorted(weights))] = copy.deepcopy(
                random.choice([*tensors, None, 'text', [1.0], {}])
            )
        torch.save(checkpoint, path)

    try_cases(count, 'entries', path, write, load)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('place', ['top', 'meta', 'state_dict'])
def test_code_is_not_run(tmp_path, reader, zipped, place):
    folder = tmp_path / 'made by the file'
    (tmp_path / 'in').mkdir()
    path = tmp_path / 'in/iter_3.pth'
    checkpoint = content()
    if place == 'top':
        checkpoint = Command(folder)
    else:
        checkpoint[place] = {'a': Command(folder)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError):
        READERS[reader](path)
    path.write_bytes(pickle.dumps(checkpoint))
    with pytest.raises(UserError):
        READERS[reader](path)
    assert not folder.exists()
