"""The notebook of docs/notebooks runs with the unpacked wheel, without the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / 'docs/notebooks/first_steps.ipynb'

pytestmark = pytest.mark.xdist_group('notebook')


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder with the unpacked wheel of a copy of the tree."""
    source, built = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('built')
    for name in ('mm_frelu', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__', '.mim')
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', str(built), str(source)], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp('installed')
    zipfile.ZipFile(next(built.glob('*.whl'))).extractall(folder)
    return folder


def execute(steps, installed, folder, monkeypatch):
    """Run the notebook in its own kernel, with another number of steps."""
    nbformat = pytest.importorskip('nbformat', reason='notebooks need the extra `docs`')
    nbclient = pytest.importorskip('nbclient', reason='notebooks need the extra `docs`')
    pytest.importorskip('ipykernel', reason='notebooks need the extra `docs`')
    notebook = nbformat.read(NOTEBOOK, 4)
    if steps is not None:
        cell = next(cell for cell in notebook.cells if 'STEPS = ' in cell.source)
        cell.source = re.sub(r'STEPS = \d+', f'STEPS = {steps}', cell.source)
    for key, value in dict(PYTHONPATH=str(installed), CUDA_VISIBLE_DEVICES='').items():
        monkeypatch.setitem(os.environ, key, value)
    resources = dict(metadata=dict(path=str(folder)))
    nbclient.NotebookClient(notebook, timeout=1200, resources=resources).execute()
    return notebook


def pictures(notebook):
    return [
        output
        for cell in notebook['cells']
        for output in cell.get('outputs', ())
        if 'image/png' in output.get('data', {})
    ]


@pytest.mark.slow
@pytest.mark.parametrize('steps', [2, None])
def test_runs(steps, installed, tmp_path, monkeypatch):
    notebook = execute(steps, installed, tmp_path, monkeypatch)
    assert len(pictures(notebook)) == 3
    printed = ''.join(
        output.get('text', '') for cell in notebook.cells for output in cell.get('outputs', ())
    )
    assert re.search(r'ReLU: mIoU [\d.]+, 240,963 parameters\nFReLU: mIoU [\d.]+, 246,339', printed)


def test_is_saved_with_its_outputs():
    """The saved notebook has its outputs, and no path of the machine that ran it."""
    text = NOTEBOOK.read_text()
    notebook = json.loads(text)
    assert len(pictures(notebook)) == 3
    assert not re.search(r'/(home|root|tmp|work)/', text)
    assert not any(
        o['output_type'] == 'error' for c in notebook['cells'] for o in c.get('outputs', ())
    )
