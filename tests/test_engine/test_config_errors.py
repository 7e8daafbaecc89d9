"""The error for an unreadable config is one paragraph with the file and the line."""

import re

import pytest
import tiny_project

from mm_frelu.engine import UserError
from mm_frelu.engine.arguments import read_config

CONFIGS = tiny_project.REPOSITORY / 'configs'
NAMES = dict(base='x = 1\nitems = [1, 2]\n', other='x = 2\n')


@pytest.fixture
def write(tmp_path):
    for name, text in NAMES.items():
        (tmp_path / f'{name}.py').write_text(text)

    def write_config(text, name='mine.py'):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text) if isinstance(text, str) else file.write_bytes(text)
        return file

    return write_config


def message(file):
    with pytest.raises(UserError) as raised:
        read_config(str(file))
    return str(raised.value)


@pytest.mark.parametrize(
    ('text', 'line', 'said'),
    [
        ("_base_ = './base.py'\nmodel = dict(head=dict(a=1)\n", 2, 'was never closed'),
        ('a = 1\n  b = 2\n', 2, 'unexpected indent'),
        ('just some words\n', 1, 'is not valid Python'),
        ('a = 1\nb = [a, colour]\n', 2, "name 'colour' is not defined"),
        ("a = 1\nb = open('names.txt').read()\n", 2, 'does not exist .*: names.txt'),
        ("_base_ = './base.py'\nb = _base_.model.depth\n", 2, 'AttributeError'),
        ('a = 1 / 0\n', 1, 'division by zero'),
    ],
)
def test_file_and_line_are_named(write, text, line, said):
    file = write(text)
    source = text.splitlines()[line - 1].strip()
    expected = f'config {file}: line {line} (`{source}`) '
    told = message(file)
    assert told.startswith(expected)
    assert re.search(said, told), told


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("_base_ = './nowhere.py'\n", 'needs a file that does not exist'),
        ("_base_ = ['./base.py', './other.py']\n", "Duplicate keys: {'x'}"),
        ("_base_ = './mine.py'\n", 'refers to itself'),
        ("_base_ = './base.py'\nitems = dict(a=1)\n", 'cannot inherit from base'),
        ("_base_ = './base.py'\nb = {{_base_.colour}}\n", "uses 'colour' of its _base_"),
        (
            "custom_imports = dict(imports=['nowhere_to_find'])\n",
            "No module named 'nowhere_to_find'",
        ),
        ("name = 'Straße'\n".encode('latin-1'), 'is not UTF-8 text'),
    ],
)
def test_the_file_is_named(write, text, said):
    file = write(text)
    told = message(file)
    assert told.startswith(f'config {file}: ')
    assert said in told


def test_a_base_is_named_where_the_fault_is_there(write):
    base = write('model = dict(\n', 'wrong.py')
    for text in ("_base_ = './wrong.py'\n", "_base_ = './between.py'\n"):
        write("_base_ = './wrong.py'\n", 'between.py')
        told = message(write(text))
        assert f'{base}, which it needs (_base_), line 1 (`model = dict(`)' in told


def test_json_and_yaml_too(write):
    assert 'JSONDecodeError' in message(write('{"a": 1,}', 'mine.json'))
    assert 'line 2' in message(write('a: [1\nb: 2\n', 'mine.yml'))


def test_a_variable_with_a_quote_is_named(write, monkeypatch):
    monkeypatch.setenv('SOME_ROOT', "/media/Anna's disk")
    told = message(write("a = 1\nroot = '{{$SOME_ROOT:data}}'\n"))
    assert 'environment variable SOME_ROOT' in told
    assert "(/media/Anna's disk)" in told
    assert 'line 2' in told
    # What it advises works.
    cfg = read_config(str(write('root = r"""{{$SOME_ROOT:data}}"""\n')))
    assert cfg.root == "/media/Anna's disk"


def test_a_folder_with_a_quote_is_named(write):
    file = write("folder = '{{ fileDirname }}'\n", "Anna's/mine.py")
    assert 'the name of the file' in message(file)
    assert read_config(str(write('folder = r"""{{ fileDirname }}"""\n', "Anna's/mine.py"))).folder


ROOTS = dict(
    CITYSCAPES_DATASET='pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py',
    COCO_ROOT='retinanet/retinanet_r50-frelu_fpn_1x_coco.py',
    STREET_SCENES_ROOT='pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py',
    IMAGENET_ROOT='imagenet/resnet50-frelu_8xb32_in1k.py',
)


@pytest.mark.parametrize('folder', ["/media/Anna's disk", '/a "quoted" folder', '/Straße 1 (neu)'])
def test_every_folder_reaches_our_configs(folder, monkeypatch):
    for variable, name in ROOTS.items():
        monkeypatch.setenv(variable, folder)
        cfg = read_config(str(CONFIGS / name))
        assert cfg.train_dataloader.dataset.data_root == folder
    monkeypatch.setenv('WEIGHTS_ROOT', folder)
    cfg = read_config(str(CONFIGS / 'retinanet/retinanet_r50-caffe-frelu_fpn_1x_coco.py'))
    assert cfg.model.backbone.init_cfg.checkpoint == f'{folder}/resnet50_frelu.pth'
    assert folder in cfg.weights_hint
