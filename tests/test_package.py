"""The package as users install it: effects of the import, content of the wheel, and commands of set-up and CI."""

import itertools
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group('package')  # one process: the fixtures are expensive

ROOT = Path(__file__).parents[1]


def run_python(code, **options):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, **options
    )


def test_import_reaches_for_nothing_heavy():
    code = (
        'import sys, mm_frelu\n'
        'heavy = ["mmdet", "mmseg", "mmpose", "torchvision", "matplotlib.pyplot", "cityscapesscripts", "torch._dynamo"]\n'
        'heavy = [name for name in heavy if name in sys.modules]\n'
        'assert not heavy, heavy'
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_import_registers_everything():
    code = (
        'import mm_frelu\n'
        'from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS\n'
        'for name in ("FReLU", "LightFReLU", "DyReLUA", "DyReLUB", "DyReLUC", "mm_frelu.ResNet",\n'
        '             "mm_frelu.ResNetV1c", "mm_frelu.ResNetV1d", "mm_frelu.ShuffleNetV2"):\n'
        '    assert MODELS.get(name) is not None, name\n'
        'assert TRANSFORMS.get("mm_frelu.CheckLabelIds") is not None\n'
        'assert HOOKS.get("mm_frelu.CheckpointGuardHook") is not None\n'
        'assert OPTIM_WRAPPER_CONSTRUCTORS.get("mm_frelu.WeightDecayConstructor") is not None'
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel, built from a copy of the tree, so that the tree itself gets no build folders."""
    source, built = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('built')
    for name in ('mm_frelu', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__', '.mim')
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', str(built), str(source)], check=True, capture_output=True)
    return next(built.glob('mm_frelu-*.whl'))


def test_wheel_holds_package_configs_and_tools(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ('configs', 'tools'):
        for file in (ROOT / folder).rglob('*'):
            if file.suffix in ('.py', '.yml', '.sh', '.md') and '__pycache__' not in file.parts:
                assert f'mm_frelu/.mim/{file.relative_to(ROOT).as_posix()}' in names
    assert 'mm_frelu/.mim/model-index.yml' in names
    assert 'mm_frelu/activations/frelu.py' in names
    assert any(name.endswith('licenses/LICENSE') for name in names)
    assert not any(name.startswith(('tests/', 'configs/', 'tools/')) for name in names)


def test_installed_tools_and_configs_work(wheel, tmp_path):
    """With the unpacked wheel only, a tool finds its config, and the config finds its bases."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    mim = tmp_path / 'mm_frelu/.mim'
    config = mim / 'configs/retinanet/retinanet_r50-frelu_fpn_1x_coco.py'
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', str(mim / 'tools/misc/print_config.py'), str(config)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path), 'PATH': ''},
    )
    assert result.returncode == 0, result.stderr
    assert "type='mm_frelu.ResNet'" in result.stdout


def test_versions_agree():
    version = {}
    exec((ROOT / 'mm_frelu/version.py').read_text(), version)
    assert f'version: {version["__version__"]}\n' in (ROOT / 'CITATION.cff').read_text()


def test_pins_satisfy_the_ranges():
    """Each requirement of pyproject.toml is pinned, and the pin is inside its range."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for line in (ROOT / 'constraints.txt').read_text().splitlines():
        if line and not line.startswith('#'):
            name, version = line.partition(';')[0].split('==')
            pins[canonicalize_name(name)] = version.strip()
    tomllib = pytest.importorskip('tomllib', reason='Python < 3.11 has no tomllib')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    extras = project['optional-dependencies']
    for left_out in ('pretrain', 'pose'):  # by set-up
        extras.pop(left_out)
    for text in [*project['dependencies'], *itertools.chain(*extras.values())]:
        requirement = Requirement(text)
        if requirement.name == 'mm_frelu':  # an extra that names others
            continue
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


@pytest.mark.parametrize('target', ['demo', 'test'])
def test_readme_commands_are_one_step(target):
    """Each make target installs what it needs."""
    command = ['make', '-n', '-C', str(ROOT), target, 'VENV=no-such-venv']
    steps = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    order = ['-m venv', 'pip install', 'tools/demo.py' if target == 'demo' else 'pytest']
    places = [steps.index(step) for step in order]
    assert places == sorted(places)


def test_ci_runs_what_a_user_runs():
    lines = (ROOT / '.ci/run').read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(('#', 'set ', 'cd '))] == [
        'make test'
    ]
