"""Test the wheel in the environments that users have.

    pip install nox
    nox                # every environment; `nox -s upstream` for one
    nox -s table       # the table of docs/installation.md, from the environments that were run

Python 3.10 to 3.13 must be on the PATH. Each environment downloads several gigabytes, because PyPI's torch for Linux is a CUDA
build. Everything runs on the CPU.
"""

import json
from pathlib import Path

import nox

nox.options.sessions = ['pinned', 'newest', 'upstream', 'activations', 'oldest_triton']

ROOT = Path(__file__).parent
RESULTS = ROOT / 'work_dirs' / 'compat'
# These folders are copied out of the checkout, so that tests import the installed wheel.
ACTIVATIONS = ('test_activations', 'test_ops')
EVERYTHING = (
    *ACTIVATIONS,
    'test_replacement',
    'test_backbones',
    'test_checkpoints',
    'test_compat',
    'test_engine',
    'test_datasets',
)
PACKAGES = ('torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmseg')
VERSIONS = f"""
import importlib, json, platform
found = dict(python=platform.python_version())
for name in {PACKAGES}:
    try:
        found[name] = importlib.import_module(name).__version__
    except ImportError:
        found[name] = ''
print(json.dumps(found))
"""


@nox.session(python='3.11')
def pinned(session: nox.Session) -> None:
    """The exact versions of constraints.txt."""
    session.install('-c', 'constraints.txt', '.[dev]')
    smoke(session, EVERYTHING, demo=True)


@nox.session(python='3.13')
def newest(session: nox.Session) -> None:
    """The newest version of everything."""
    session.install('--upgrade', '.[dev]')
    smoke(session, EVERYTHING, demo=True)


@nox.session(python='3.10')
def upstream(session: nox.Session) -> None:
    """OpenMMLab's own last releases, on a torch version that they support."""
    session.install('torch==2.1.2', 'torchvision==0.16.2', 'numpy<2', 'setuptools<70', 'wheel')
    # mmcv-lite is mmcv without compiled ops.
    session.install('--no-build-isolation', 'mmcv-lite==2.1.0')
    session.install(
        'numpy<2', 'opencv-python<4.12', 'mmengine', 'mmdet==3.3.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex',
        'cityscapesscripts', 'pytest<9.2', 'pytest-xdist', 'hypothesis',
    )  # fmt: skip
    session.install('--no-deps', '.')
    # The test that kills trainings runs only with the pinned versions.
    smoke(session, EVERYTHING, '--ignore=tests/test_engine/test_kill_and_resume.py', demo=True)


@nox.session(python='3.12')
def activations(session: nox.Session) -> None:
    """Activations and backbones only, without mmdet, mmseg and Numba."""
    session.install('.', 'pytest<9.2', 'pytest-xdist', 'hypothesis')
    smoke(session, ACTIVATIONS, demo=False)


@nox.session(python='3.12')
def oldest_triton(session: nox.Session) -> None:
    """The oldest Triton version that is supported, with its torch version. The kernels are compiled, but not run."""
    session.install('torch==2.11.0', '.', 'pytest<9.2', 'pytest-xdist', 'hypothesis')
    smoke(session, ('test_gpu',), demo=False)


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Print the table of docs/installation.md."""
    columns = ('environment', 'python', *PACKAGES, 'tests', 'demo')
    print('| ' + ' | '.join(columns) + ' |\n' + '|---' * len(columns) + '|')
    for file in sorted(RESULTS.glob('*.json')):
        found = json.loads(file.read_text())
        print('| ' + ' | '.join(str(found.get(column, '')) for column in columns) + ' |')


def smoke(session: nox.Session, folders: tuple, *options: str, demo: bool) -> None:
    """Run tests on the installed wheel, and the demo for a few steps; record versions and results."""
    work = Path(session.create_tmp())
    copied = [str(ROOT / name) for name in ('tests', 'configs', 'tools', 'docs', 'pyproject.toml')]
    session.run('cp', '-r', *copied, str(work), external=True)
    versions = session.run('python', '-W', 'ignore', '-c', VERSIONS, silent=True)
    if versions is None:  # nox --install-only
        return
    found = json.loads(versions.splitlines()[-1])
    with session.chdir(work):
        tests = [f'tests/{name}' for name in folders]
        pytest = ['python', '-m', 'pytest', '-q', '-o', 'addopts=', '-n', '2', '-m', 'not slow']
        out = session.run(*pytest, *tests, *options, silent=True)
        found['tests'] = out.strip().splitlines()[-1].strip('= ')
        if demo:
            session.run('python', 'tools/demo.py', '--out', 'demo', '--data', 'scenes', '--train', '8', '--val', '2', '--max-iters', '2')  # fmt: skip
        found['demo'] = 'runs' if demo else 'not tried'
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f'{session.name}.json').write_text(
        json.dumps({'environment': session.name, **found})
    )
