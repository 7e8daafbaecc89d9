"""The pages of docs/, the READMEs and the docstrings: commands are valid, code runs, and links are not broken.

tests/test_guides.py runs the commands of the guides, and the tests of the tools run most others. Commands of long trainings are only
parsed here.
"""

import argparse
import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import markdown_pages
import pytest
import tiny_project
from markdown_pages import code_blocks, shell_lines
from mmengine.config import Config

import mm_frelu

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/*/README.md')])


def name_of(page):
    return page.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize('page', PAGES, ids=name_of)


def commands():
    for page in PAGES:
        for line in shell_lines(page.read_text()):
            command = re.sub(r'^(?:[A-Z_]+=\S+ )+', '', line)
            if command.startswith(('python tools/', 'bash tools/dist_')):
                yield pytest.param(command, id=f'{name_of(page)}: {command[:90]}')


class Parsed(Exception):  # noqa: N818 (no error: the tool is stopped where its work begins)
    """Raised with the arguments that the tool's parser returns for a command."""


@pytest.mark.parametrize('command', commands())
def test_the_tool_understands(command, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def stop(*args, **kwargs):
        raise Parsed(parse(*args, **kwargs))

    _, script, *arguments = shlex.split(command, comments=True)
    if script.endswith('.sh'):  # CONFIG GPUS [OPTIONS] or CONFIG CHECKPOINT GPUS [OPTIONS]
        assert (ROOT / script).is_file()
        script = script.replace('dist_', '').replace('.sh', '.py')
        del arguments[2 if script.endswith('test.py') else 1]
    monkeypatch.syspath_prepend((ROOT / script).parent)  # like Python for a script
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    tool = tiny_project.load_tool(script[len('tools/') :])
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    with pytest.raises(Parsed) as parsed:
        tool.main()
    config = getattr(parsed.value.args[0], 'config', None)
    for name in [config] if isinstance(config, str) else config or ():
        assert '::' in name or name == 'CONFIG' or (ROOT / name).is_file(), name


@every_page
def test_other_commands_exist(page):
    """Commands that are not tools: make targets, extras of the package, modules and shell commands."""
    for line in shell_lines(page.read_text()):
        for part in line.split(' && '):
            command = re.sub(r'^(?:[A-Z_]+=\S+ )+', '', part)  # the environment of one command
            word, *rest = shlex.split(command)
            if word == 'make':
                assert re.search(rf'^{rest[0]}:', (ROOT / 'Makefile').read_text(), re.MULTILINE)
            elif word == 'pip':
                extras = re.findall(r'\[([\w,]+)\]', command)
                known = (ROOT / 'pyproject.toml').read_text()
                for extra in ','.join(extras).split(','):
                    assert not extra or re.search(rf'^{extra} = \[', known, re.MULTILINE), command
            elif word == 'python' and rest[0] == '-m':
                assert importlib.util.find_spec(rest[1]), command
            elif word == 'csCreateTrainIdLabelImgs':
                scripts = importlib.metadata.entry_points(group='console_scripts')
                assert word in {script.name for script in scripts}
            else:
                assert command.startswith(
                    ('python tools/', 'bash tools/', 'export ', 'mkdir ', 'cp ')
                ), command


@pytest.mark.parametrize('page', markdown_pages.pages(), ids=name_of)
def test_links_lead_somewhere(page):
    for path, anchor in markdown_pages.links(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        # mkdocs creates the anchors of the API reference, and its build checks them.
        if anchor and target.suffix == '.md' and target.parent.name != 'api':
            assert anchor in markdown_pages.anchors(target.read_text()), f'{path}#{anchor}'


OPTIONAL = ('torchvision', 'timm')
OWN_TESTS = {  # pages whose code has tests of its own
    'docs/adding_an_activation.md': 'below',
    'docs/weights.md': 'tests/test_weights_page.py',
    'docs/own_detector.md': 'tests/test_guides.py',
}


def python_pages():
    for page in PAGES:
        text = page.read_text()
        if name_of(page) not in OWN_TESTS and code_blocks(text, 'python'):
            yield pytest.param(page, (), id=name_of(page))
            for library in OPTIONAL:
                if library in ''.join(code_blocks(text, 'python')):
                    yield pytest.param(page, (library,), id=f'{name_of(page)} with {library}')


@pytest.mark.parametrize(('page', 'libraries'), python_pages())
def test_code_runs(page, libraries, tmp_path, monkeypatch):
    """The blocks of a page run in order. Blocks that set config keys are read as configs."""
    for library in libraries:
        try:
            importlib.import_module(library)
        except (ImportError, RuntimeError) as error:  # torchvision of another torch
            pytest.skip(f'{library} cannot be imported: {error}')
    others = [library for library in OPTIONAL if library not in libraries]
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in code_blocks(page.read_text(), 'python'):
        if re.search(
            r'^(_base_|custom_imports|model|optim_wrapper|\w+_dataloader) = (dict\(|\')',
            block,
            re.M,
        ):
            Config.fromstring(block, '.py')
        elif not any(re.search(rf'\b{library}\b', block) for library in others):
            exec(compile(block, name_of(page), 'exec'), names)


def apply_change(folder, change):
    """Replace the lines of each hunk, which must occur exactly once."""
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
    """In a copy of the package, with the changes of the page only."""
    page = (ROOT / 'docs/adding_an_activation.md').read_text()
    ignored = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / 'mm_frelu', tmp_path / 'mm_frelu', ignore=ignored)
    for block in code_blocks(page, 'python'):
        path = tmp_path / re.match(r'# (\S+)\n', block)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    for change in code_blocks(page, 'diff'):
        apply_change(tmp_path, change)
    (command,) = shell_lines(page)
    result = subprocess.run(
        [sys.executable, *shlex.split(command)[1:], '-q', '-p', 'no:cacheprovider'],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


# Constants with one entry, for the dispatcher.
INTERNAL_PACKAGES = {'mm_frelu.ops.cpu', 'mm_frelu.ops.gpu'}


def public_packages():
    """Packages of mm_frelu that list their public names in ``__all__``."""
    names = [
        module.name
        for module in pkgutil.walk_packages(mm_frelu.__path__, 'mm_frelu.')
        if module.ispkg and module.name not in INTERNAL_PACKAGES
    ]
    modules = map(importlib.import_module, names)
    return [module for module in modules if getattr(module, '__all__', None)]


def public_names():
    return [(module, name) for module in public_packages() for name in module.__all__]


@pytest.mark.parametrize(
    ('module', 'name'), public_names(), ids=lambda value: getattr(value, '__name__', value)
)
def test_public_names_are_documented(module, name):
    """Public names and their methods have a docstring that names every parameter."""
    thing = getattr(module, name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        source = inspect.getsource(importlib.import_module(module.__name__))
        defining = [m for m in sys.modules.values() if is_defined_in(m, module.__name__, name)]
        assert re.search(rf'\b{name}\b', source)
        assert any(has_comment(inspect.getsource(m), name) for m in defining), (
            f'{name}: no docstring'
        )
        return
    described = [documented(thing)]
    if inspect.isclass(thing):
        described += [
            documented(base) for base in thing.__mro__[1:] if base.__module__.startswith('mm_frelu')
        ]
        for attribute, member in vars(thing).items():
            if (
                inspect.isfunction(member)
                and not attribute.startswith('_')
                and attribute != 'forward'
            ):
                assert documented(member), f'{name}.{attribute}'
    assert described[0]
    assert not described[0].startswith(f'{name}('), 'the docstring is the signature of a dataclass'
    if is_exception(thing):
        return
    for parameter in inspect.signature(thing).parameters.values():
        if not parameter.name.startswith('_'):
            pattern = rf'^\s*\*{{0,2}}{parameter.name}( \(.*\))?:'
            assert any(re.search(pattern, text, re.MULTILINE) for text in described), (
                f'{name}: the docstring does not describe {parameter.name}'
            )


def documented(thing):
    return (thing.__doc__ or '').strip()


def is_exception(thing):
    return inspect.isclass(thing) and issubclass(thing, BaseException)


def is_defined_in(module, package, name):
    return module.__name__.startswith(package + '.') and hasattr(module, name)


def has_comment(source, name):
    """Whether the assignment of a constant is followed by a docstring."""
    body = ast.parse(source).body
    for node, after in zip(body, body[1:]):
        targets = getattr(node, 'targets', [getattr(node, 'target', None)])
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and getattr(targets[0], 'id', '') == name:
            return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return False


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The site, built like with `make docs`: warnings are errors."""
    pytest.importorskip('mkdocstrings_handlers.python', reason='the site needs the extra `docs`')
    pytest.importorskip('material', reason='the site needs the extra `docs`')
    folder = tmp_path_factory.mktemp('site')
    result = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)],
        cwd=ROOT,
        env=dict(os.environ, NO_MKDOCS_2_WARNING='1', PYTHONDONTWRITEBYTECODE='1'),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return folder


@pytest.mark.xdist_group('site')
def test_site_has_every_public_name(site):
    inventory = (site / 'objects.inv').read_bytes()
    text = zlib.decompress(inventory.split(b'zlib.\n', 1)[1]).decode()
    found = {line.split(' ')[0] for line in text.splitlines()}
    wanted = {f'{module.__name__}.{name}' for module, name in public_names()}
    assert wanted - found == set()


@pytest.mark.xdist_group('site')
def test_site_fetches_nothing(site):
    for page in site.rglob('*.html'):
        fetched = re.findall(
            r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="?(https?:[^" >]+)', page.read_text()
        )
        assert fetched == [], page.name


@pytest.mark.xdist_group('site')
def test_site_has_no_markup_left(site):
    """Roles and formulas of docstrings become links and MathML, and no Markdown link is left as text."""
    for page in site.glob('api/*.html'):
        text = re.sub(r'<(pre|code)\b.*?</\1>', '', page.read_text(), flags=re.DOTALL)
        assert not re.search(r':(func|class|mod|meth|data|math):|\.\. math::', text), page.name
    assert '<math' in (site / 'api/activations.html').read_text()


@pytest.mark.xdist_group('site')
def test_site_shows_every_config(site):
    zoo = (site / 'model_zoo.html').read_text()
    for metafile in ROOT.glob('configs/*/metafile.yml'):
        for name in re.findall(r'^  - Name: (.+_.+)$', metafile.read_text(), re.MULTILINE):
            assert f'>{name}</a>' in zoo
            anchor = re.search(rf'href="([^"]+)#([^"]+)">{name}</a>', zoo)
            page = site / anchor[1]
            assert f'id="{anchor[2]}"' in page.read_text()
