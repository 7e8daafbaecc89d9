"""What the converter of PyTorch ports does not take ends in one clear error, exit code 1, and no file."""

import argparse
import pickle
import re

import numpy as np
import pytest
import tiny_project
import torch
from torch import nn
from torch_ports import Port, trained

IMAGE = torch.zeros(1, 3, 64, 64)


def port():
    return trained(Port(depth=18, names=('act1', 'act2'), places=(1, 2)))


@pytest.fixture(scope='module')
def state():
    return port().state_dict()


@pytest.fixture(scope='module')
def main():
    return tiny_project.load_tool('model_converters/torch_to_mm.py').main


@pytest.fixture
def refuse(main, tmp_path, capsys):
    """Convert what must be refused; return the message."""

    def run(source, *options):
        target = tmp_path / 'out' / 'mm.pth'
        with pytest.raises(SystemExit) as stop:
            main([str(source), str(target), *options])
        assert stop.value.code == 1
        assert not target.exists()
        assert not target.parent.exists() or not list(target.parent.iterdir())
        message = capsys.readouterr().err
        assert message.startswith('error: ')
        assert 'Traceback' not in message
        return message

    return run


@pytest.fixture
def saved(tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'port.pth')
        return tmp_path / 'port.pth'

    return save


@pytest.mark.parametrize('wrap', [lambda net: net, nn.DataParallel, lambda net: dict(model=net)])
@pytest.mark.parametrize('zipped', [True, False])
def test_a_pickled_model_is_answered_with_the_lines_that_mend_it(
    wrap, zipped, refuse, main, tmp_path, monkeypatch
):
    torch.save(wrap(port()), tmp_path / 'whole.pth', _use_new_zipfile_serialization=zipped)
    message = refuse(tmp_path / 'whole.pth')
    assert 'is a complete pickled model' in message
    lines = re.findall(r'^  (.+)$', message, re.MULTILINE)
    assert len(lines) == 2
    if isinstance(torch.load(tmp_path / 'whole.pth', weights_only=False), dict):
        return  # the lines are for the model itself; it lies one level deeper here
    monkeypatch.chdir(tmp_path)
    exec('\n'.join(lines), dict(torch=torch))
    main(['whole_state_dict.pth', 'mm.pth'])
    assert (tmp_path / 'mm.pth').is_file()


def test_a_script_is_answered_with_the_lines_that_mend_it(refuse, main, tmp_path, monkeypatch):
    torch.jit.trace(port(), IMAGE, check_trace=False, strict=False).save(str(tmp_path / 'port.pt'))
    message = refuse(tmp_path / 'port.pt')
    assert 'is a TorchScript program' in message
    monkeypatch.chdir(tmp_path)
    exec('\n'.join(re.findall(r'^  (.+)$', message, re.MULTILINE)), dict(torch=torch))
    main(['port_state_dict.pth', 'mm.pth'])
    assert (tmp_path / 'mm.pth').is_file()


def test_other_objects_beside_the_weights(refuse, saved, state, main, tmp_path, monkeypatch):
    message = refuse(saved(dict(state_dict=state, args=argparse.Namespace(lr=0.1))))
    assert 'argparse.Namespace' in message
    monkeypatch.chdir(tmp_path)
    exec('\n'.join(re.findall(r'^  (.+)$', message, re.MULTILINE)), dict(torch=torch))
    main(['port_state_dict.pth', 'mm.pth'])


def test_nothing_in_the_file_is_run(refuse, saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    refuse(saved(dict(state_dict=Trap())))
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'<!DOCTYPE html>', 'web page'),
        (b'weights', 'is not a PyTorch checkpoint'),
        (b'\x80\x04K\x01.', 'could not be read as a PyTorch file'),
        (pickle.dumps(dict(a=np.zeros(2)), 4), 'megengine_to_mm.py converts it'),
    ],
)
def test_files_that_are_no_checkpoint(content, message, refuse, tmp_path):
    (tmp_path / 'port.pth').write_bytes(content)
    assert message in refuse(tmp_path / 'port.pth')


def test_a_missing_file_and_a_cut_one(refuse, saved, state, tmp_path):
    assert 'does not exist' in refuse(tmp_path / 'nowhere.pth')
    data = saved(state).read_bytes()
    for length in (10, 1000, len(data) // 2, len(data) - 10):
        (tmp_path / 'port.pth').write_bytes(data[:length])
        assert 'cut off' in refuse(tmp_path / 'port.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'has no state dict: expected names and tensors'),
        ({}, 'has no state dict'),
        (dict(epoch=3, loss=0.1), 'found a dict of epoch, loss'),
        (dict(weight=torch.zeros(2, 2)), 'has the weights of another network: 1 tensors (weight'),
    ],
)
def test_files_without_the_weights_of_a_network(content, message, refuse, saved):
    assert message in refuse(saved(content))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('layer2.0.conv1.weight'), 'lacks 1 tensor that the network needs: layer2.0.conv1.weight'),
        (lambda s: s.pop('layer1.0.act1.bn_frelu.bias'), 'layer1.0.act1.norm.bias'),
        (lambda s: s.pop('layer1.0.act1.conv_frelu.bias'), 'layer1.0.act1.conv.bias'),
        (lambda s: s.update({'neck.weight': torch.ones(1)}), 'does not have: neck.weight'),
        (lambda s: s.update({'layer1.0.act1.ln.bias': torch.ones(8)}), 'has 1 tensor that the network does not have: layer1.0.act1.ln.bias'),
        (lambda s: s.update({'layer3.0.bn1.extra': torch.ones(1)}), 'layer3.0.bn1.extra'),
        (lambda s: s.update({'conv1.weight': torch.ones(8, 3, 3, 3)}), 'expected (8, 3, 7, 7), found (8, 3, 3, 3)'),
        (lambda s: s.update({'conv1.weight': torch.ones(8)}), 'another network'),
        (lambda s: s.update({'layer1.0.conv1.weight': torch.tensor(1.0)}), 'another network'),
        (lambda s: s.update({'fc.weight': torch.ones(5, 9)}), 'fc.weight has a wrong shape'),
        (lambda s: s['conv1.weight'].fill_(float('nan')), 'conv1.weight has values that are not finite'),
        (lambda s: s['bn1.running_var'].fill_(-1), 'bn1.running_var is negative'),
        (lambda s: s.update({'fc.bias': torch.ones(5, dtype=torch.int8)}), 'fc.bias has the type torch.int8'),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith('layer4.1')], 'another network'),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith('layer2.1.act')], 'in some blocks of a stage'),
        (lambda s: [s.pop(k) for k in list(s) if '.act2.' in k], '1 activations in layer1.0 (act1); a block has 2 sites'),
        (lambda s: [s.pop(k) for k in list(s) if '.act' in k], 'ResNet without funnel activations. It needs no conversion'),
    ],
)  # fmt: skip
def test_one_wrong_tensor(change, message, refuse, saved, state):
    broken = {name: tensor.clone() for name, tensor in state.items()}
    change(broken)
    assert message in refuse(saved(broken))


def test_options_that_do_not_fit(refuse, saved, state, tmp_path):
    assert 'has the weights of resnet18' in refuse(saved(state), '--arch', 'resnet50')
    assert '--act-sites gives 1' in refuse(saved(state), '--act-sites', 'act1')
    message = refuse(saved(state), '--std', '0.229', '0.224', '0.225')
    assert '--std 58.395 57.12 57.375' in message
    message = refuse(saved(state), '--mean', '0.485', '0.456', '0.406')
    assert '--mean 123.675 116.28 103.53' in message
    for option in ('--mean', '--std'):
        for odd in ('nan', 'inf'):
            assert f'{option} {odd} 1 1: expected three finite' in refuse(
                saved(state), option, odd, '1', '1'
            )


def test_an_address_is_told_from_a_missing_file(refuse):
    assert 'is a URL; download it' in refuse('https://example.org/port.pth')


def test_the_source_is_never_overwritten(main, saved, state, capsys):
    source = saved(state)
    before = source.read_bytes()
    with pytest.raises(SystemExit):
        main([str(source), str(source)])
    assert 'is the source file itself' in capsys.readouterr().err
    assert source.read_bytes() == before
