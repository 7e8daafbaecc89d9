"""Bad files end in one clear error, exit code 1, and no file: cut off, hostile, of another network, no weights at all."""

import pickle
import random
import time

import numpy as np
import pytest
import tiny_project
import torch
from bad_pickles import ARRAY, attacks, programs, twice, with_persistent_id
from official_networks import dump, resnet50_state, shufflenet_fixture

from mm_frelu.checkpoints.pickled_arrays import NdarrayName

pytestmark = pytest.mark.xdist_group('bad_files')  # one process: the fixtures are expensive

PROTOCOLS = (2, 3, 4, 5)
SMALL = {'conv1.weight': ARRAY, 'conv1.bias': ARRAY[0], 'bn1.running_mean': ARRAY[1]}


@pytest.fixture(scope='module')
def main():
    return tiny_project.load_tool('model_converters/megengine_to_mm.py').main


@pytest.fixture(scope='module')
def shufflenet():
    return shufflenet_fixture()[0]


@pytest.fixture
def refused(main, tmp_path, capsys):
    """A check that a file is refused: content in, message out. It counts what it was given."""
    source, out = tmp_path / 'weights.model', tmp_path / 'out'

    def check(content, *options):
        source.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
        with pytest.raises(SystemExit) as exit_:
            main([str(source), str(out / 'converted.pth'), *options])
        said = capsys.readouterr()
        assert exit_.value.code == 1
        assert not out.exists()
        assert said.out == ''
        assert said.err.startswith('error: ')
        assert str(source) in said.err
        assert said.err.count('\n') == 1, said.err
        assert len(said.err) < 700 + len(str(source)), said.err
        check.count += 1
        return said.err

    check.count = 0
    return check


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_cut_off_at_any_byte(refused, protocol):
    data = pickle.dumps(SMALL, protocol)
    for end in range(1, len(data)):
        assert 'cut off' in refused(data[:end]) or end < 3
    assert refused.count == len(data) - 1 > 250


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_any_byte_changed(refused, protocol):
    """Whatever a wrong byte makes of the file, it is never more than an error. Code would run in find_class only."""
    numbers = random.Random(protocol)
    data = pickle.dumps(SMALL, protocol)
    started = time.monotonic()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= numbers.randrange(1, 256)
        refused(bytes(changed))
    assert time.monotonic() - started < 20


def test_a_whole_checkpoint_cut_off(refused, shufflenet, tmp_path):
    data = dump(shufflenet, tmp_path / 'whole.model').read_bytes()
    numbers = random.Random(0)
    for _ in range(30):
        message = refused(data[: numbers.randrange(len(data) // 2, len(data))])
        assert 'cut off' in message


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_hostile_objects(refused, protocol, tmp_path):
    marker = tmp_path / 'code_ran'
    for name, attack in attacks(marker).items():
        for content in (attack, dict(SMALL, extra=attack)):
            message = refused(pickle.dumps(content, protocol))
            assert not marker.exists(), name
            if name == 'system':
                assert 'posix.system' in message
                assert 'may run code' in message
    long_name, escape = {'a' * 10**6: ARRAY}, {'a\n\x1b[31m': ARRAY}
    for content in (
        long_name,
        escape,
        {(1, 2): ARRAY},
        {1: ARRAY},
        {b'a': ARRAY},
        {},
        ARRAY,
        [ARRAY],
        (ARRAY,),
    ):
        refused(pickle.dumps(content, protocol))
    assert 'persistent' in refused(with_persistent_id(protocol))


@pytest.mark.parametrize('protocol', [0, 1])
def test_text_protocols_are_not_megengines(refused, protocol, tmp_path):
    for content in (SMALL, *attacks(tmp_path / 'code_ran').values()):
        assert 'protocol 2 to 5' in refused(pickle.dumps(content, protocol))
    assert not (tmp_path / 'code_ran').exists()


@pytest.mark.parametrize('name', programs())
def test_hostile_programs(refused, name):
    started = time.monotonic()
    refused(programs()[name])
    assert time.monotonic() - started < 2
    assert not hasattr(NdarrayName, 'weight')


def test_a_megengine_object_is_told_how_to_save(refused):
    message = refused(b'\x80\x02cmegengine.core.tensor_nn\nParameter\n)R.')
    assert 'megengine.save(model.state_dict(), path)' in message


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_name_twice(refused, protocol):
    names = ['a.weight', 'b.weight', 'a.weight']
    assert 'occurs twice' in refused(pickle.dumps(twice(names), protocol))
    data = pickle.dumps({'a.weight': ARRAY, 'b.weight': ARRAY.copy()}, protocol)
    assert 'occurs twice' in refused(data.replace(b'b.weight', b'a.weight'))
    shared = {'a.weight': ARRAY, 'b.weight': ARRAY}
    assert 'under two names' in refused(pickle.dumps(shared, protocol))


def changed(state, name, value):
    return {**state, name: value}


def test_missing_and_additional_tensors(refused, shufflenet):
    numbers = random.Random(0)
    for name in numbers.sample(sorted(shufflenet), 30):
        rest = {key: value for key, value in shufflenet.items() if key != name}
        message = refused(rest)
        if 'another network' not in message:
            assert f'lacks 1 tensor that the network needs: {name}' in message
    for name in ('fc.weight', 'features.16.branch_main.0.weight', 'first_conv.0.bias'):
        message = refused(changed(shufflenet, name, ARRAY))
        assert f'has 1 tensor that the network does not have: {name}' in message


def test_wrong_shapes(refused, shufflenet):
    numbers = random.Random(1)
    for name in numbers.sample(sorted(shufflenet), 30):
        value = shufflenet[name]
        for wrong in (value.ravel()[:-1], value[..., None, None], value.reshape(1, -1)):
            if wrong.ndim < 6:
                message = refused(changed(shufflenet, name, wrong))
                assert name in message or 'another network' in message
    turned = shufflenet['conv_last.0.weight'].transpose(1, 0, 2, 3)
    message = refused(changed(shufflenet, 'conv_last.0.weight', turned))
    assert 'conv_last.0.weight has a wrong shape: expected (1024, 192, 1, 1)' in message
    assert 'found (192, 1024, 1, 1)' in message


def test_numbers_that_are_no_weights(refused, shufflenet):
    name = 'features.3.branch_main.1.running_var'
    value = shufflenet[name]
    for wrong in (np.nan, np.inf, -np.inf):
        assert f'{name} has values that are not finite' in refused(
            changed(shufflenet, name, np.where(value == value[0], wrong, value).astype('f4'))
        )
    huge = value.astype(np.float64) * 1e300
    assert 'not finite in float32' in refused(changed(shufflenet, name, huge))
    assert f'{name} is negative' in refused(changed(shufflenet, name, -value))
    for kind in ('int8', 'int32', 'int64', 'uint8', 'bool', 'complex64'):
        assert 'expected float32' in refused(changed(shufflenet, name, value.astype(kind)))


def test_other_networks(refused, shufflenet):
    resnet = resnet50_state()
    relu = {name: value for name, value in resnet.items() if '.frelu' not in name}
    assert 'looks like resnet50 but lacks 234 tensors' in refused(relu)
    without_bias = {
        name: value for name, value in resnet.items() if 'conv' not in name or 'bias' not in name
    }
    assert 'lacks' in refused(without_bias)
    deeper = {name.replace('layer3.5', 'layer3.22'): value for name, value in resnet.items()}
    assert 'layer3.5' in refused(dict(deeper))
    assert 'another network' in refused({'module.conv1.weight': ARRAY})
    message = refused(dict(shufflenet), '--arch', 'resnet50')
    assert message.startswith('error: --arch resnet50: ')
    assert 'has the weights of shufflenet_v2_x0_5' in message
    refused(dict(shufflenet), '--arch', 'shufflenet_v2_x1_0')
    for nested in ('state_dict', 'model'):
        assert 'names and arrays only' in refused({nested: SMALL})


def test_what_is_no_pickle_is_named(refused, tmp_path):
    torch.save(dict(a=torch.zeros(2)), tmp_path / 'torch.pth')
    np.savez(tmp_path / 'arrays.npz', ARRAY)
    cases = {
        b'': r'empty (0 bytes)',
        b'version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 103\n': 'git lfs pull',
        b'<!DOCTYPE html>\n<html><body>404</body></html>': 'web page',
        b'\n  <?xml version="1.0"?><Error/>': 'web page',
        (tmp_path / 'torch.pth').read_bytes(): 'It may be a PyTorch checkpoint',
        (tmp_path / 'arrays.npz').read_bytes(): 'is not a MegEngine file',
        b'\x89PNG\r\n\x1a\n' + b'0' * 100: 'is not a MegEngine file',
        b'{"weights": 1}': 'is not a MegEngine file',
        b'\x00' * 1000: 'is not a MegEngine file',
        bytes(range(256)): 'is not a MegEngine file',
    }
    for content, part in cases.items():
        assert part in refused(content)


def test_paths(main, shufflenet, tmp_path, capsys):
    source = dump(shufflenet, tmp_path / 'weights.model')
    before = source.read_bytes()
    (tmp_path / 'file').write_text('')
    cases = {
        (tmp_path / 'weight.model', tmp_path / 'a.pth'): 'does not exist',
        (tmp_path, tmp_path / 'a.pth'): 'is a folder',
        (source, source): 'is the source file itself',
        (source, tmp_path): 'is a folder',
        (source, tmp_path / 'file' / 'a.pth'): 'is a file; give a folder',
    }
    for (src, dst), part in cases.items():
        with pytest.raises(SystemExit) as exit_:
            main([str(src), str(dst)])
        assert exit_.value.code == 1
        assert part in capsys.readouterr().err
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'weights.model']


def test_a_good_file_is_written_and_a_bad_one_leaves_it(main, shufflenet, tmp_path, capsys):
    source = dump(shufflenet, tmp_path / 'weights.model')
    target = tmp_path / 'new' / 'converted.pth'
    main([str(source), str(target), '--arch', 'shufflenet_v2_x0_5'])
    said = capsys.readouterr().out
    assert "type='mm_frelu.ShuffleNetV2', widen_factor=0.5" in said
    assert 'bgr_to_rgb=False' in said
    written = target.read_bytes()
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(SystemExit):
        main([str(source), str(target)])
    assert target.read_bytes() == written
    assert [path.name for path in target.parent.iterdir()] == ['converted.pth']


def test_a_failed_write_leaves_nothing(main, shufflenet, tmp_path, capsys, monkeypatch):
    source = dump(shufflenet, tmp_path / 'weights.model')

    def full_disk(checkpoint, stream):
        stream.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full_disk)
    with pytest.raises(SystemExit) as exit_:
        main([str(source), str(tmp_path / 'converted.pth')])
    assert exit_.value.code == 1
    assert 'No space left' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['weights.model']
