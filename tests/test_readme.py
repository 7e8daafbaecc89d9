"""Every command of the README runs, word for word.

They run in a folder laid out as the README says, on generated scenes in place of CityScapes and COCO, with the configs that
they name made small: narrow networks, small pictures, two steps.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

pytestmark = pytest.mark.xdist_group('readme')  # one process: the fixtures are expensive

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
SMALL = {(2048, 1024): (128, 64), (1333, 800): (128, 64), (512, 1024): (64, 128)}
OVERRIDES = dict(
    num_workers=0,
    persistent_workers=False,
    channels=8,
    feat_channels=8,
    out_channels=8,
    max_iters=1,
    max_epochs=1,
    val_interval=1,
    interval=1,
)


def shell_commands():
    """The lines of the README's shell blocks, comments left out."""
    blocks = re.findall(r'^```shell\n(.*?)^```', README, flags=re.MULTILINE | re.DOTALL)
    lines = (line.split('  # ')[0].strip() for block in blocks for line in block.splitlines())
    return [line.rstrip() for line in lines if line and not line.startswith('#')]


COMMANDS = [command for command in shell_commands() if not command.startswith('make ')]


def shrink(node):
    """The same config at a size for tests."""
    if isinstance(node, dict):
        small = {key: shrink(value) for key, value in node.items()}
        if small.get('type') == 'mm_frelu.ResNet':
            small.update(base_channels=8, init_cfg=None)
        for key, value in OVERRIDES.items():
            if isinstance(small.get(key), int):
                small[key] = value
        return small
    if isinstance(node, (list, tuple)):
        if all(isinstance(value, int) for value in node):
            return SMALL.get(tuple(node), node)
        return type(node)(shrink(value) for value in node)
    return node


def write_small_config(source, target):
    cfg = Config.fromfile(source)
    small = shrink(cfg.to_dict())
    heads = [small['model'].get(key) for key in ('decode_head', 'auxiliary_head', 'bbox_head')]
    for head in filter(None, heads):
        head['in_channels'] = {2048: 256, 1024: 128, 256: 8}[head['in_channels']]
    if 'neck' in small['model']:
        small['model']['neck']['in_channels'] = [32, 64, 128, 256]
    target.parent.mkdir(parents=True, exist_ok=True)
    Config(small).dump(target)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, street_scenes, coco):
    """A folder with tools, the small configs, data/cityscapes and data/coco."""
    folder = tmp_path_factory.mktemp('workspace')
    (folder / 'tools').symlink_to(ROOT / 'tools')
    for name in set(re.findall(r'configs/[\w/.-]+\.py', ' '.join(COMMANDS))):
        write_small_config(ROOT / name, folder / name)
    (folder / 'data').mkdir()
    (folder / 'data/cityscapes/leftImg8bit').mkdir(parents=True)
    (folder / 'data/cityscapes/gtFine').symlink_to(street_scenes / 'gtFine')
    # CityScapes has a test split without labels; the scenes of the demo have none.
    for split, scenes in dict(train='train', val='val', test='val').items():
        target = folder / 'data/cityscapes/leftImg8bit' / split
        target.symlink_to(street_scenes / 'leftImg8bit' / scenes)
    (folder / 'data/coco').symlink_to(coco)
    return folder


def lend_checkpoint(workspace, path):
    """Put the checkpoint of a short run where the full run would have left it."""
    target = workspace / path
    if not target.exists():
        candidates = sorted(target.parent.glob('*_1.pth'))
        if not candidates:
            train = ROOT / 'tools/train.py'
            config = next(workspace.glob(f'configs/*/{target.parent.name}.py'))
            command = [sys.executable, str(train), str(config.relative_to(workspace))]
            subprocess.run(command, cwd=workspace, check=True, capture_output=True)
            candidates = sorted(target.parent.glob('*_1.pth'))
        shutil.copy(candidates[0], target)


@pytest.mark.parametrize('command', COMMANDS)
def test_command_runs(command, workspace, monkeypatch):
    for path in re.findall(r'work_dirs/\S+\.pth', command):
        lend_checkpoint(workspace, path)
    words = shlex.split(command)
    if words[0] == 'python':
        words[0] = sys.executable
    elif words[1].endswith('dist_train.sh'):
        assert words[-1] == '4'
        words[-1] = '1'  # process, for two cores
        monkeypatch.setenv('PYTHON', sys.executable)
        monkeypatch.setenv('PORT', '29731')
    result = subprocess.run(words, cwd=workspace, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def test_commands_are_found():
    assert len(COMMANDS) >= 7
    assert [c for c in shell_commands() if c.startswith('make ')] == ['make demo', 'make test']


def test_links_and_paths_exist():
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', README) if not link.startswith('http')]
    # Those behind a library's name are its own.
    paths = re.findall(r'(?<!mmdet )(?<![\w/])(?:tools|configs)/[\w/.-]+\.(?:py|sh|md)', README)
    for name in {*links, *paths}:
        assert (ROOT / name).exists(), name


def test_missing_data_says_what_the_readme_shows(tmp_path):
    """The paragraph that the README quotes is the one that the tool prints."""
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    command = next(c for c in COMMANDS if c.startswith('python tools/train.py configs/pspnet'))
    result = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    quoted = re.search(r'^```text\n(error: .*?)^```', README, flags=re.MULTILINE | re.DOTALL)
    shown = (
        re.sub(r'\s+', ' ', quoted.group(1)).strip().replace('/home/you/mm_frelu', str(tmp_path))
    )
    assert shown in re.sub(r'\s+', ' ', result.stderr)


def test_three_lines_put_frelu_into_a_config_of_mmdet(tmp_path):
    """The README's config lines, on top of mmdet's own RetinaNet."""
    import mmdet
    from mmengine.registry import MODELS, DefaultScope

    from mm_frelu import FReLU

    lines = re.search(r'^```python\n(custom_imports.*?)^```', README, re.MULTILINE | re.DOTALL)
    base = Path(mmdet.__file__).parent / '.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py'
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {str(base)!r}\n{lines.group(1)}')
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert sum(isinstance(layer, FReLU) for layer in model.backbone.modules()) == 39
