"""Every command of the README runs unchanged, and README_zh-CN.md has the same commands.

They run in a folder with the layout of the guides, on generated scenes instead of CityScapes and COCO, with small versions of the configs
that they name: narrow networks, small images, one step.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_project
from markdown_pages import code_blocks, links, shell_lines
from mmengine.config import Config
from small_configs import write_small_config

pytestmark = pytest.mark.xdist_group('readme')  # one process: the fixtures are expensive

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
CHINESE = (ROOT / 'README_zh-CN.md').read_text()
COMMANDS = [line for line in shell_lines(README) if not line.startswith(('make ', 'pip '))]


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, street_scenes, coco):
    """A folder with tools, the small configs, data/cityscapes and data/coco."""
    folder = tmp_path_factory.mktemp('workspace')
    (folder / 'tools').symlink_to(ROOT / 'tools')
    for name in set(re.findall(r'configs/[\w/.-]+\.py', ' '.join(COMMANDS))):
        write_small_config(ROOT / name, folder / name)
    (folder / 'data/cityscapes/leftImg8bit').mkdir(parents=True)
    (folder / 'data/cityscapes/gtFine').symlink_to(street_scenes / 'gtFine')
    for split in ('train', 'val'):
        target = folder / 'data/cityscapes/leftImg8bit' / split
        target.symlink_to(street_scenes / 'leftImg8bit' / split)
    (folder / 'data/coco').symlink_to(coco)
    return folder


def lend_checkpoint(path):
    """Put the checkpoint of a short run where the full run would write it. The current folder is the workspace."""
    target = Path(path)
    if not target.exists():
        candidates = sorted(target.parent.glob('*_1.pth'))
        if not candidates:
            (config,) = Path().glob(f'configs/*/{target.parent.name}.py')
            tiny_project.load_tool('train.py').main([str(config)])
            tiny_project.forget_runs()
            candidates = sorted(target.parent.glob('*_1.pth'))
        shutil.copy(candidates[0], target)


@pytest.mark.parametrize('command', COMMANDS)
def test_command_runs(command, workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    for path in re.findall(r'work_dirs/\S+\.pth', command):
        lend_checkpoint(path)
    words = shlex.split(command)
    if words[0] == 'python':
        words[0] = sys.executable
    elif words[1].endswith('dist_train.sh'):
        assert words[-1] == '4'
        words[-1] = '1'  # process, for two cores
        monkeypatch.setenv('PYTHON', sys.executable)
        monkeypatch.setenv('PORT', '29731')
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def test_commands_are_found():
    assert len(COMMANDS) >= 6
    assert [c for c in shell_lines(README) if c.startswith('make ')] == ['make demo', 'make test']


def test_it_is_read_in_two_minutes():
    assert len(README.splitlines()) <= 150


def test_paths_exist():
    for name in re.findall(r'(?<![\w/])(?:tools|configs|docs)/[\w/.-]+\.(?:py|sh|md)', README):
        assert (ROOT / name).exists(), name


def test_chinese_says_the_same():
    """Both pages have the same commands, code, links and numbers."""
    assert shell_lines(CHINESE) == shell_lines(README)
    codes = [
        [re.sub(r' *#.*', '', code) for code in code_blocks(text, 'python')]
        for text in (README, CHINESE)
    ]
    assert codes[0] == codes[1]
    others = {'README.md', 'README_zh-CN.md'}
    assert {x for x in links(CHINESE) if x[0] not in others} == {
        x for x in links(README) if x[0] not in others
    }
    tables = [re.findall(r'^\|.*\|$', text, re.MULTILINE) for text in (README, CHINESE)]
    numbers = [[re.findall(r'\d+(?:\.\d+)?', line) for line in table] for table in tables]
    assert numbers[0] == numbers[1]


def test_five_lines_run():
    names = {}
    exec(next(code for code in code_blocks(README, 'python') if 'FReLU(64)' in code), names)
    assert names['y'].shape == names['z'].shape == names['x'].shape


def test_missing_data_says_what_the_questions_show(tmp_path):
    """docs/faq.md quotes the paragraph that the tool prints."""
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    config = 'configs/pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py'
    result = subprocess.run(
        [sys.executable, 'tools/train.py', config], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    (quoted,) = code_blocks((ROOT / 'docs/faq.md').read_text(), 'text')
    shown = re.sub(r'\s+', ' ', quoted).strip().replace('/home/you/mm_frelu', str(tmp_path))
    assert shown in re.sub(r'\s+', ' ', result.stderr)


def test_three_lines_put_frelu_into_a_config_of_mmdet(tmp_path):
    """The README's config lines, on top of mmdet's own RetinaNet."""
    import mmdet
    from mmengine.registry import MODELS, DefaultScope

    from mm_frelu import FReLU

    lines = next(code for code in code_blocks(README, 'python') if 'custom_imports' in code)
    base = Path(mmdet.__file__).parent / '.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py'
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {str(base)!r}\n{lines}')
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert sum(isinstance(layer, FReLU) for layer in model.backbone.modules()) == 39
