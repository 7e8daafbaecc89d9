"""The commands of the guides in docs/ run unchanged, in order.

They run in a folder with the layout of the guides, on generated scenes instead of CityScapes and the reader's own data, with small
versions of the configs that they name.
"""

import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import tiny_project
from markdown_pages import code_blocks, shell_lines
from mmengine.config import Config
from small_configs import write_small_config

from mm_frelu import run as library_tool

# One process: a later command needs the files of an earlier one. Slow: tests/test_readme.py runs the same tools.
pytestmark = [pytest.mark.xdist_group('guides'), pytest.mark.slow]

ROOT = Path(__file__).parents[1]
OWN_CLASSES = ('helmet', 'vest', 'cone')
# Drawing 280 scenes, four processes, and a whole FCOS: tests of these tools run them.
ONLY_READ = ('python tools/dataset_converters/', 'bash ', 'python tools/train.py mmdet::')
ELSEWHERE = ('pip ', 'make ', 'export ', 'csCreate')


def commands(name):
    return [
        line
        for line in shell_lines((ROOT / 'docs' / name).read_text())
        if not line.startswith((*ONLY_READ, *ELSEWHERE))
    ]


GUIDES = {name: commands(name) for name in ('get_started.md', 'own_detector.md', 'cityscapes.md')}


@pytest.fixture(scope='module')
def own_data(street_scenes, tmp_path_factory):
    """Boxes of the street scenes as a dataset of other classes, in the layout of docs/own_detector.md."""
    folder = tmp_path_factory.mktemp('own_data')
    (folder / 'annotations').mkdir()
    for split in ('train', 'val'):
        content = json.loads((street_scenes / f'annotations/instances_{split}.json').read_text())
        content['categories'] = [
            dict(id=index, name=name) for index, name in enumerate(OWN_CLASSES, 1)
        ]
        for annotation in content['annotations']:
            annotation['category_id'] = 1 + annotation['category_id'] % len(OWN_CLASSES)
        (folder / split).mkdir()
        for image in content['images']:
            source = street_scenes / 'leftImg8bit' / split / image['file_name']
            image['file_name'] = source.name
            shutil.copy(source, folder / split)
        (folder / f'annotations/{split}.json').write_text(json.dumps(content))
    return folder


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, street_scenes, own_data):
    folder = tmp_path_factory.mktemp('guides')
    names = {
        name for lines in GUIDES.values() for name in re.findall(r'configs/\S+\.py', str(lines))
    }
    for name in names:
        write_small_config(ROOT / name, folder / name)
    cityscapes = folder / 'data/cityscapes'
    (cityscapes / 'leftImg8bit').mkdir(parents=True)
    (cityscapes / 'gtFine').symlink_to(street_scenes / 'gtFine')
    # CityScapes has a test split without labels; the scenes have none.
    for split, scenes in dict(train='train', val='val', test='val').items():
        target = street_scenes / 'leftImg8bit' / scenes
        (cityscapes / 'leftImg8bit' / split).symlink_to(target)
    (folder / 'data/street_scenes').symlink_to(street_scenes)
    (folder / 'data/own').symlink_to(own_data)
    return folder


@pytest.fixture(autouse=True)
def _fresh_process():
    tiny_project.forget_runs()


def lend_checkpoint(path):
    """Put the checkpoint of the short run where the full run would write it."""
    if not path.exists():
        shutil.copy(next(path.parent.glob('*_1.pth')), path)


@pytest.mark.parametrize(
    ('guide', 'command'),
    [
        pytest.param(guide, line, id=f'{guide}-{number}')
        for guide, lines in GUIDES.items()
        for number, line in enumerate(lines)
    ],
)
def test_command_runs(guide, command, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    for path in re.findall(r'work_dirs/\S+\.pth', command):
        lend_checkpoint(workspace / path)
    python, *words = shlex.split(command)
    assert python == 'python'
    if words[0] == '-m':
        monkeypatch.setattr(sys, 'argv', words[1:])
        if words[1] == 'mm_frelu.run':
            library_tool.main(words[2:])
        else:
            runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        tiny_project.load_tool(words[0].removeprefix('tools/')).main(words[1:])


def test_guides_left_what_they_say(workspace):
    """Pictures, predictions and the submission of the commands above."""
    scenes = workspace / 'data/street_scenes/leftImg8bit/val'
    number = len(list(scenes.rglob('*.png')))
    for folder in ('predictions', 'submission', 'comparison', 'browse'):
        found = len(list((workspace / 'work_dirs' / folder).rglob('*.png')))
        assert found == (6 if folder == 'browse' else number), folder
    assert (workspace / 'work_dirs/submission.zip').is_file()
    assert list(workspace.glob('work_dirs/*own-data/*/pictures/*.png'))


def test_python_of_the_own_data_page_detects(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    (block,) = [b for b in code_blocks(page_text('own_detector.md'), 'python') if 'Infer' in b]
    lend_checkpoint(workspace / re.search(r'work_dirs/\S+\.pth', block)[0])
    names = {}
    exec(compile(block, 'docs/own_detector.md', 'exec'), names)
    assert len(names['result']['predictions']) == 4
    assert names['detector'].model.dataset_meta['classes'] == OWN_CLASSES


def page_text(name):
    return (ROOT / 'docs' / name).read_text()


def configs_of_the_page(folder):
    shutil.copytree(ROOT / 'configs', folder / 'configs')
    blocks = [b for b in code_blocks(page_text('own_detector.md'), 'python') if '_base_' in b]
    for number, block in enumerate(blocks):
        path = folder / f'configs/retinanet/mine{number}.py'
        path.write_text(block)
        yield Config.fromfile(path, import_custom_modules=False)


def test_configs_of_the_own_data_page(tmp_path):
    """Three equivalent configs: the user's own file, the packaged example, and the demo with another palette."""
    mine, frelu, demo = configs_of_the_page(tmp_path)
    folder = ROOT / 'configs/retinanet'
    packaged = [
        Config.fromfile(
            folder / f'retinanet_r50-{act}_fpn_1x_own-data.py', import_custom_modules=False
        )
        for act in ('relu', 'frelu')
    ]
    for got, expected in zip((mine, frelu), packaged):
        for key in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
            assert got[key] == expected[key], key
        assert got.test_evaluator == got.val_evaluator == expected.val_evaluator
    assert frelu.model.backbone.act_cfg == dict(type='FReLU', init='identity')
    for cfg in (mine, demo):
        assert cfg.model.bbox_head.num_classes == len(OWN_CLASSES)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            metainfo = loader.dataset.metainfo
            assert metainfo.classes == OWN_CLASSES
            assert len(metainfo.palette) == len(OWN_CLASSES)
            assert loader.dataset.data_root == 'data/own'
        assert cfg.test_evaluator.ann_file == 'data/own/annotations/val.json'


def test_coco_file_of_the_page_is_one():
    (text,) = code_blocks(page_text('own_detector.md'), 'json')
    content = json.loads(text)
    assert [category['name'] for category in content['categories']] == list(OWN_CLASSES)
    (box,) = content['annotations']
    assert box['area'] == box['bbox'][2] * box['bbox'][3]
