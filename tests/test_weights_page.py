"""docs/weights.md: its commands run unchanged on generated files, and its config lines load the results."""

import functools
import re
import shlex
from pathlib import Path

import pytest
import tiny_project
import torch
from mmengine.config import Config
from official_networks import dump, resnet50_state
from torch_ports import Port, trained

from mm_frelu.registry import MODELS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs/weights.md').read_text()


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', PAGE, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [
    line for block in blocks('shell') for line in block.splitlines() if line and line[0] != '#'
]
SOURCES = {
    'res50_frelu.model': lambda path: dump(resnet50_state(classes=3), path),
    'frelu_resnet50.pth': lambda path: save(Port(), path),
    'caffe_frelu_resnet50.pth': lambda path: save(Port(style='caffe'), path),
    'partial_frelu_resnet50.pth': lambda path: save(Port(names=('frelu1',), places=(2,)), path),
    'work_dirs/resnet50-frelu_8xb32_in1k/iter_600000.pth': lambda path: save(Port(), path),
}


def save(port, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(trained(port).state_dict(), path)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp('weights_page')


@pytest.mark.parametrize('command', COMMANDS)
def test_command_runs(command, workspace, monkeypatch):
    python, tool, source, *arguments = shlex.split(command)
    assert python == 'python'
    if not (workspace / source).exists():
        SOURCES[source](workspace / source)
    monkeypatch.chdir(workspace)
    tiny_project.load_tool(tool.removeprefix('tools/')).main([source, *arguments])
    assert list((workspace / 'weights').glob('*.pth'))


def test_every_source_is_used():
    assert {shlex.split(command)[2] for command in COMMANDS} == set(SOURCES)


@functools.cache
def configs():
    return [Config.fromstring(block, '.py') for block in blocks('python')]


def test_config_of_the_authors_weights_is_what_the_converter_prints(workspace, monkeypatch, capsys):
    source, target = 'res50_frelu.model', 'weights/resnet50_frelu.pth'
    if not (workspace / source).exists():
        SOURCES[source](workspace / source)
    monkeypatch.chdir(workspace)
    tiny_project.load_tool('model_converters/megengine_to_mm.py').main([source, target])
    printed = capsys.readouterr().out
    model = configs()[0].model
    for key, value in model.data_preprocessor.items():
        assert f'{key}={value}' in printed
    init_cfg = model.backbone.pop('init_cfg')
    for key, value in {**model.backbone, **init_cfg}.items():
        assert f'{key}={value!r}' in printed
    backbone = MODELS.build(dict(model.backbone, init_cfg=init_cfg))
    backbone.init_weights()
    weights = torch.load(target, weights_only=True)['state_dict']
    assert torch.equal(backbone.conv1.weight, weights['backbone.conv1.weight'])


def test_the_other_configs_build_and_start_as_relu():
    for cfg in configs()[1:]:
        backbone = MODELS.build({'depth': 18, **cfg.model.backbone, 'init_cfg': None})
        windows = [layer for layer in backbone.modules() if type(layer).__name__ == 'FReLU']
        assert windows
        assert not any(layer.norm.weight.any() for layer in windows)


def test_links_lead_somewhere():
    for link in re.findall(r'\]\((?!http)([^)#]+)\)', PAGE):
        assert (ROOT / 'docs' / link).exists(), link
    anchors = {
        re.sub(r'[^\w -]', '', title).strip().lower().replace(' ', '-')
        for title in re.findall(r'^#+ (.+)$', PAGE, re.MULTILINE)
    }
    assert set(re.findall(r'\]\(#([^)]+)\)', PAGE)) <= anchors
    for path in re.findall(r'tests/[\w/]+\.py', PAGE):
        assert (ROOT / path).exists()


def test_configs_of_the_page_need_no_torchvision():
    """``torchvision://`` needs torchvision, which is not a requirement. The URL of the file works without it."""
    assert 'torchvision://' not in PAGE
    address = configs()[1].model.backbone.init_cfg.checkpoint
    assert (
        address
        == Config.fromfile(
            ROOT / 'configs/_base_/models/pspnet_r50b-d8.py'
        ).model.backbone.init_cfg.checkpoint
    )
