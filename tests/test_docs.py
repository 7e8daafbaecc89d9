"""Every tool command in docs/ and in the READMEs of configs/ is one that the tool understands; code runs; links exist.

Tests of the tools run most of them whole; trainings of an hour or a day are only read here.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_project

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('docs/*.md'), *ROOT.glob('configs/*/README.md')])


def commands():
    for page in PAGES:
        for block in re.findall(r'```shell\n(.*?)```', page.read_text(), flags=re.DOTALL):
            for line in block.replace('\\\n', ' ').splitlines():
                if line.startswith('python tools/'):
                    yield pytest.param(line, id=f'{page.parent.name}/{page.name}: {line[13:90]}')


class Parsed(Exception):  # noqa: N818 (no error: the tool is stopped where its work begins)
    """Raised with what the tool's parser made of a command."""


@pytest.mark.parametrize('command', commands())
def test_the_tool_understands(command, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def stop(*args, **kwargs):
        raise Parsed(parse(*args, **kwargs))

    _, script, *arguments = shlex.split(command, comments=True)
    monkeypatch.syspath_prepend((ROOT / script).parent)  # as Python does for a script
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    tool = tiny_project.load_tool(script[len('tools/') :])
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    with pytest.raises(Parsed) as parsed:
        tool.main()
    config = getattr(parsed.value.args[0], 'config', None)
    for name in [config] if isinstance(config, str) else config or ():
        assert '::' in name or name == 'CONFIG' or (ROOT / name).is_file(), name


@pytest.mark.parametrize(
    'page', [ROOT / 'README.md', *PAGES], ids=lambda page: page.parent.name + '/' + page.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', page.read_text()):
        if not target.startswith('http'):
            assert (page.parent / target).exists(), target


def blocks(page, language):
    text = (ROOT / 'docs' / page).read_text()
    return re.findall(rf'^```{language}\n(.*?)^```', text, flags=re.MULTILINE | re.DOTALL)


def test_examples_for_users_of_the_functions_run():
    names = {}
    for block in blocks('operators.md', 'python'):
        exec(compile(block, 'docs/operators.md', 'exec'), names)


def apply_change(folder, change):
    """Replace the lines of each hunk, which have to occur once."""
    name, *hunks = re.split(r'^(?:--- (.*)|@@)\n', change, flags=re.MULTILINE)[1:]
    path = folder / name
    text = path.read_text()
    for hunk in hunks[::2]:
        lines = hunk.splitlines(keepends=True)
        old, new = (''.join(x[1:] for x in lines if x[0] in (' ', sign)) for sign in '-+')
        assert text.count(old) == 1, (
            f'docs/adding_an_activation.md: {name} has no such lines:\n{old}'
        )
        text = text.replace(old, new)
    path.write_text(text)


def test_activation_and_backend_of_the_page_pass_their_tests(tmp_path):
    """In a copy of the package, with nothing but what the page says."""
    page = 'adding_an_activation.md'
    ignored = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / 'mm_frelu', tmp_path / 'mm_frelu', ignore=ignored)
    for block in blocks(page, 'python'):
        path = tmp_path / re.match(r'# (\S+)\n', block)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    for change in blocks(page, 'diff'):
        apply_change(tmp_path, change)
    (command,) = blocks(page, 'shell')
    result = subprocess.run(
        [sys.executable, *shlex.split(command)[1:], '-q', '-p', 'no:cacheprovider'],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
