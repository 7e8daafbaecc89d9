"""tools/model_converters/publish_model.py: content and name of the published file, and errors."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import tiny_project
import torch

from mm_frelu.engine import preprocessing


@pytest.fixture
def tool():
    return tiny_project.load_tool('model_converters/publish_model.py')


def publish(tool, capsys, *arguments) -> Path:
    tool.main([str(argument) for argument in arguments])
    return Path(capsys.readouterr().out.splitlines()[-1])


def save(path, **content) -> Path:
    torch.save(content, path)
    return path


def load_as_plain_torch_does(path):
    """Without the types that MMEngine and this package declare to be safe."""
    declared = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        return torch.load(path, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(declared)


def equal(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def test_published_checkpoint(tool, segmentor, tmp_path, capsys):
    path = publish(tool, capsys, segmentor.checkpoint, tmp_path / 'zoo')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    date = torch.load(segmentor.checkpoint, weights_only=False)['meta']['time'][:8]
    assert path == tmp_path / 'zoo' / f'psp_frelu_{date}-{digest[:8]}.pth'
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_size < 0.7 * segmentor.checkpoint.stat().st_size

    published = load_as_plain_torch_does(path)
    trained = torch.load(segmentor.checkpoint, weights_only=False)
    assert {'optimizer', 'message_hub', 'param_schedulers'} & trained.keys()
    assert published.keys() == {'meta', 'state_dict'}
    assert equal(published['state_dict'], trained['state_dict'])
    for key in ('cfg', 'iter', 'experiment_name', 'dataset_meta'):
        assert published['meta'][key] == trained['meta'][key]
    recorded = published['meta']['preprocessing']
    assert recorded['mean'] == [123.675, 116.28, 103.53]
    assert recorded['bgr_to_rgb'] is True
    assert preprocessing.of_checkpoint(dict(meta=dict(preprocessing=recorded))) is not None


def test_publishing_twice_gives_one_file(tool, segmentor, tmp_path, capsys):
    first = publish(tool, capsys, segmentor.checkpoint, tmp_path)
    tool.main([str(segmentor.checkpoint), str(tmp_path)])
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(first)
    assert 'existed already' in out
    first.write_bytes(b'damaged')
    with pytest.raises(SystemExit):
        tool.main([str(segmentor.checkpoint), str(tmp_path)])
    assert 'different content' in capsys.readouterr().err
    assert first.read_bytes() == b'damaged'
    assert [entry.name for entry in tmp_path.iterdir()] == [first.name]


def test_published_checkpoint_tests_like_the_trained_one(tool, segmentor, tmp_path, capsys):
    path = publish(tool, capsys, segmentor.checkpoint, tmp_path / 'zoo')
    tester = tiny_project.load_tool('test.py')
    tester.main([str(segmentor.config), str(path), '--work-dir', str(tmp_path / 'work')])
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'mIoU' in log
    assert 'without them' not in log
    assert 'Could not safely load' not in log


def test_name_from_out(tool, tmp_path, capsys):
    source = save(tmp_path / 'a.pth', state_dict=dict(w=torch.ones(2)), meta=dict(time='20240229'))
    path = publish(tool, capsys, source, tmp_path / 'resnet50-frelu.pth')
    assert re.fullmatch(r'resnet50-frelu_20240229-[0-9a-f]{8}\.pth', path.name)


@pytest.mark.parametrize('name', ['../../elsewhere', 'folder/name', '/elsewhere'])
def test_a_name_from_the_checkpoint_stays_in_out(name, tool, tmp_path, capsys):
    meta = dict(experiment_name=f'{name}_20240229_120000', time='20240229_120000')
    source = save(tmp_path / 'a.pth', state_dict=dict(w=torch.ones(2)), meta=meta)
    path = publish(tool, capsys, source, tmp_path / 'zoo')
    assert path.parent == tmp_path / 'zoo'
    assert path.name.startswith('a_20240229-')


def test_averaged_weights(tool, tmp_path, capsys):
    """MMEngine's EMAHook writes the averages as state_dict and the optimizer's weights as ema_state_dict."""
    average, last = dict(w=torch.ones(2), n=torch.tensor(3)), dict(w=torch.zeros(2))
    ema = {'steps': torch.tensor(7), **{f'module.{key}': value for key, value in last.items()}}
    source = save(tmp_path / 'a.pth', state_dict=average, ema_state_dict=ema, meta={})
    path = publish(tool, capsys, source, tmp_path / 'averaged')
    assert equal(torch.load(path)['state_dict'], average)
    path = publish(tool, capsys, source, tmp_path / 'last', '--no-ema')
    assert equal(torch.load(path)['state_dict'], dict(average, **last))


def test_bare_state_dict_and_views(tool, tmp_path, capsys):
    """torchvision's files have no meta. A view is stored without its base tensor."""
    source = tmp_path / 'resnet.pth'
    torch.save(dict(w=torch.rand(1000, 1000)[0]), source)
    assert source.stat().st_size > 4_000_000
    tool.main([str(source), str(tmp_path / 'zoo')])
    out = capsys.readouterr().out
    assert 'preprocessing of the weights is unknown' in out
    path = Path(out.splitlines()[-1])
    assert path.name.startswith('resnet_')
    assert path.stat().st_size < 20_000
    assert torch.equal(torch.load(path)['state_dict']['w'], torch.load(source)['w'])


def test_numpy_in_meta_becomes_plain(tool, tmp_path, capsys):
    palette = np.array([[1, 2, 3]])
    meta = dict(dataset_meta=dict(palette=palette, classes=('a',)), hook_msgs=dict(best='/home/me'))
    source = save(tmp_path / 'a.pth', state_dict=dict(w=torch.ones(2)), meta=meta)
    path = publish(tool, capsys, source, tmp_path / 'zoo')
    assert load_as_plain_torch_does(path)['meta'] == dict(
        dataset_meta=dict(palette=[[1, 2, 3]], classes=('a',))
    )


class Unknown:
    """An object that can only be loaded with the code of its class."""


BAD = {
    'missing': (None, 'does not exist'),
    'LFS pointer': (b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n', 'git lfs pull'),
    'web page': (b'<!DOCTYPE html><html></html>', 'is a web page'),
    'text': (b'hello', 'is not a PyTorch checkpoint'),
    'empty': (b'', 'is empty'),
    'damaged pickle': (b'\x80\x02garbage', 'could not be read'),
}


@pytest.mark.parametrize('kind', BAD)
def test_not_a_checkpoint(kind, tool, tmp_path, capsys):
    content, message = BAD[kind]
    source = tmp_path / 'a.pth'
    if content is not None:
        source.write_bytes(content)
    refuses(tool, capsys, source, tmp_path / 'zoo', message)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(meta={}), 'has no weights'),
        ([1, 2], 'has no weights'),
        (dict(state_dict=dict(w=torch.ones(1)), extra=Unknown()), 'Unknown'),
    ],
)
def test_checkpoint_without_weights_or_with_code(content, message, tool, tmp_path, capsys):
    source = tmp_path / 'a.pth'
    torch.save(content, source)
    refuses(tool, capsys, source, tmp_path / 'zoo', message)


def test_cut_off(tool, segmentor, tmp_path, capsys):
    source = tmp_path / 'a.pth'
    source.write_bytes(segmentor.checkpoint.read_bytes()[:5000])
    refuses(tool, capsys, source, tmp_path / 'zoo', 'cut off')


def test_out_below_a_file(tool, segmentor, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    refuses(tool, capsys, segmentor.checkpoint, tmp_path / 'file' / 'zoo', 'is a file')


def test_address(tool, tmp_path, capsys):
    refuses(tool, capsys, 'https://host/a.pth', tmp_path / 'zoo', 'download it')


def test_no_averages(tool, tmp_path, capsys):
    source = save(tmp_path / 'a.pth', state_dict=dict(w=torch.ones(2)), meta={})
    refuses(tool, capsys, source, tmp_path / 'zoo', '--no-ema', '--no-ema')


def refuses(tool, capsys, source, out, message, *options):
    with pytest.raises(SystemExit) as error:
        tool.main([str(source), str(out), *options])
    assert error.value.code == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_full_disk_is_one_sentence(tool, tmp_path, capsys, monkeypatch):
    source = save(tmp_path / 'iter_1.pth', state_dict=dict(a=torch.ones(2)), meta={})

    def full(content, stream):
        stream.write(b'half')
        raise RuntimeError('unexpected pos 64 vs 0')  # torch's words for it

    monkeypatch.setattr('mm_frelu.checkpoints.files.torch.save', full)
    with pytest.raises(SystemExit) as error:
        tool.main([str(source), str(tmp_path / 'zoo')])
    assert error.value.code == 1
    assert 'cannot be written (unexpected pos 64 vs 0)' in capsys.readouterr().err
    assert not list((tmp_path / 'zoo').iterdir())
