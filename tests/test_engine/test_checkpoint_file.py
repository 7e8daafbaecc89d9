"""Files that are not checkpoints are reported before a model is built."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mm_frelu.engine import UserError
from mm_frelu.engine.checkpoint_file import (
    check_checkpoint_file,
    check_pretrained_files,
    read_meta,
)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', r'empty \(0 bytes\)'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:12\n', 'git lfs pull'),
        (b'\n<!DOCTYPE html><html>Sign in</html>', 'web page'),
        (b'PK\x03\x04' + b'0' * 100, 'cut off after 104 bytes'),
        (b'epoch,loss\n1,2\n', 'is not a PyTorch checkpoint'),
    ],
)
def test_what_is_no_checkpoint_is_named(content, message, tmp_path):
    file = tmp_path / 'weights.pth'
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        check_checkpoint_file(str(file), 'checkpoint')
    assert str(error.value).startswith(f'checkpoint: {file} ')


def test_a_missing_file_is_answered_with_what_is_there(tmp_path):
    torch.save({}, tmp_path / 'iter_40000.pth')
    with pytest.raises(UserError, match=r'does not exist .* that folder has iter_40000\.pth'):
        check_checkpoint_file(str(tmp_path / 'iter_4000.pth'), 'load_from')
    with pytest.raises(UserError, match=r'is a folder.*iter_40000\.pth'):
        check_checkpoint_file(str(tmp_path), 'load_from')


def test_real_checkpoints_of_both_formats_pass(tmp_path):
    torch.save(dict(a=torch.zeros(2)), tmp_path / 'new.pth')
    torch.save(dict(a=torch.zeros(2)), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    for name in (tmp_path / 'new.pth', tmp_path / 'old.pth'):
        check_checkpoint_file(str(name), 'checkpoint')


def test_a_log_of_float32_is_loaded_without_an_alarm(tmp_path, capsys):
    """mmseg logs its accuracy as float32, which is not in MMEngine's own list of safe types."""
    log = HistoryBuffer([np.float32(0.5)], [1])
    torch.save(dict(state_dict={}, message_hub=dict(log=log)), tmp_path / 'iter_1.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_1.pth'), map_location='cpu')
    assert loaded['message_hub']['log'].current() == 0.5
    assert 'arbitrary code' not in ''.join(capsys.readouterr())


@pytest.mark.parametrize('zipped', [True, False])
def test_meta_is_read_from_both_formats_and_nothing_from_others(zipped, tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
        return tmp_path / 'a.pth'

    log = HistoryBuffer([np.float64(0.5)], [1])
    content = dict(meta=dict(epoch=3), state_dict=dict(a=torch.zeros(2)), message_hub=dict(log=log))
    assert read_meta(save(content)) == dict(epoch=3)
    assert read_meta(save(dict(a=torch.zeros(2)))) == {}
    assert read_meta(save(dict(meta=dict(odd=torch.nn.ReLU())))) == {}


def test_a_file_cut_in_half_is_noticed(tmp_path):
    file = tmp_path / 'weights.pth'
    torch.save(dict(a=torch.zeros(1000)), file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match='cut off after 2000 bytes'):
        check_checkpoint_file(str(file), 'checkpoint')


def test_pretrained_backbones_are_looked_for_anywhere_in_the_model(tmp_path):
    def model(checkpoint):
        init_cfg = [dict(type='Kaiming'), dict(type='Pretrained', checkpoint=checkpoint)]
        return dict(type='A', parts=[dict(backbone=dict(init_cfg=init_cfg))])

    check_pretrained_files(model('torchvision://resnet50'))  # addresses are asked for later
    with pytest.raises(UserError, match=r'^model\.parts\.0\.backbone\.init_cfg\.1\.checkpoint: '):
        check_pretrained_files(model(str(tmp_path / 'r50.pth')))
    with pytest.raises(
        UserError, match=r' does not exist .* Convert it: python tools/convert\.py$'
    ):
        check_pretrained_files(
            model(str(tmp_path / 'r50.pth')), hint='Convert it: python tools/convert.py'
        )
