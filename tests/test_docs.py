"""Every tool command in docs/ and in the READMEs of configs/ is one that the tool understands; links and pictures exist.

Tests of the tools run most of them whole; trainings of an hour or a day are only read here.
"""

import argparse
import re
import shlex
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
