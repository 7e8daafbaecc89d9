"""Checkpoints are read without running code from them, with every torch version."""

import os
import pickle

import mmengine.runner.checkpoint as mmengine_checkpoint
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mm_frelu.engine.safe_load import load_safely


class Command:
    """An object that creates a folder when it is unpickled unsafely."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(params=['types named to torch', 'types looked up by us'])
def reader(request, monkeypatch):
    """Both implementations, regardless of which one this torch version uses."""
    if request.param.endswith('us'):
        monkeypatch.setattr(mmengine_checkpoint, 'get_torch_safe_globals', list, raising=False)
    return load_safely


@pytest.mark.parametrize('zipped', [True, False])
def test_what_mmengine_saves_is_read(reader, tmp_path, zipped):
    log = HistoryBuffer([np.float32(0.5), 1.5], [1, 1])
    model = torch.nn.BatchNorm2d(3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    content = dict(
        meta=dict(epoch=1, time='now'),
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log=log, rate=np.float64(0.1)),
    )
    file = tmp_path / 'iter_1.pth'
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    loaded = reader(file, mmap=zipped)
    assert loaded['message_hub']['log'].mean(2) == 1
    assert loaded['message_hub']['rate'] == 0.1
    assert loaded['meta'] == content['meta']
    torch.testing.assert_close(loaded['state_dict'], content['state_dict'])
    torch.testing.assert_close(loaded['optimizer']['state'], content['optimizer']['state'])


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('start', [False, True])
def test_nothing_runs(reader, tmp_path, zipped, start):
    file, folder = tmp_path / 'iter_1.pth', tmp_path / 'made by the file'
    if start:  # in place of the number that files of torch < 1.6 begin with
        file.write_bytes(pickle.dumps(Command(folder), protocol=2))
    else:
        torch.save(dict(a=Command(folder)), file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        reader(file)
    assert not folder.exists()
