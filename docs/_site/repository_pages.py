"""MkDocs hook: pages made of files that lie elsewhere in the repository, and links that lead to files rather than to pages.

README.md is the home page; the README of each folder of configs, CONTRIBUTING.md and CHANGELOG.md are pages; so are the
config files, folder by folder, the model zoo, from the metafiles, and the notebooks. Markdown keeps the links that GitHub
follows: they are rewritten here.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Dict, List

import yaml
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
WHOLE_FILES = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'README_zh-CN.md': 'README_zh-CN.md',
}
CODE = re.compile(r'^( *)(`{3,}).*?^\1\2|`[^`\n]+`', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)')


def on_files(files: Files, config: dict) -> Files:
    """Add the pages."""
    pages = {target: ROOT / name for name, target in WHOLE_FILES.items()}
    pages.update((f'configs/{p.parent.name}.md', p) for p in ROOT.glob('configs/*/README.md'))
    for target, source in pages.items():
        if source.is_file():
            _add(files, config, target, source.read_text(encoding='utf-8'))
    for folder in sorted(path for path in (ROOT / 'configs').iterdir() if path.is_dir()):
        _add(files, config, f'configs/{folder.name}_files.md', _config_files(folder))
    _add(files, config, 'model_zoo.md', _model_zoo())
    for notebook in (ROOT / 'docs/notebooks').glob('*.ipynb'):
        _add(files, config, f'notebooks/{notebook.stem}.md', _notebook_page(notebook))
    return files


def on_page_markdown(markdown: str, page, config: dict, files: Files) -> str:
    """Turn links to files of the repository into links to pages."""
    folder = posixpath.dirname(_source_of(page.file.src_uri))
    code = [match.span() for match in CODE.finditer(markdown)]

    def rewrite(match: re.Match) -> str:
        text, target = match.groups()
        if target.startswith(('http://', 'https://', 'mailto:', 'data:', '#')):
            return match[0]
        if any(start <= match.start() < end for start, end in code):
            return match[0]
        path, _, anchor = target.partition('#')
        path = posixpath.normpath(posixpath.join(folder, path))
        found = _page_of(path, files)
        if found is None and (ROOT / path).exists():  # no page, such as a tool: its name stays
            return text[1:-1]
        if found is None:  # MkDocs says so
            return match[0]
        source, default_anchor = found
        url = posixpath.relpath(source, posixpath.dirname(page.file.src_uri) or '.')
        anchor = anchor or default_anchor
        return f'{text}({url}{"#" + anchor if anchor else ""})'

    return LINK.sub(rewrite, markdown)


def _add(files: Files, config: dict, uri: str, text: str) -> None:
    files.append(File.generated(config, uri, content=text))


def _source_of(uri: str) -> str:
    """Where in the repository the text of a page comes from."""
    names = {target: name for name, target in WHOLE_FILES.items()}
    if uri in names:
        return names[uri]
    if uri == 'model_zoo.md':
        return 'configs/README.md'
    folder = re.fullmatch(r'configs/(.+?)(_files)?\.md', uri)
    return f'configs/{folder[1]}/README.md' if folder else f'docs/{uri}'


def _page_of(path: str, files: Files):
    """The page that shows a file or folder of the repository, and the anchor on it."""
    if path in WHOLE_FILES:
        return (WHOLE_FILES[path], '') if files.get_file_from_path(WHOLE_FILES[path]) else None
    folder = re.fullmatch(r'configs/([^/]+)(/README\.md)?', path)
    if folder:
        return f'configs/{folder[1]}.md', ''
    config = re.fullmatch(r'configs/([^/]+)/(?:.+/)?([^/]+)\.py', path)
    if config:
        return f'configs/{config[1]}_files.md', config[2]
    if path.startswith('docs/'):
        path = path[len('docs/') :].replace('.ipynb', '.md')
        return (path, '') if files.get_file_from_path(path) else None
    return None


def _config_files(folder: Path) -> str:
    """Every config of a folder, with its text."""
    title = 'base files' if folder.name == '_base_' else folder.name
    lines = [
        f'# Config files: {title}',
        '',
        f'What stands in `configs/{folder.name}`, word for word.',
    ]
    for path in sorted(folder.rglob('*.py'), key=lambda path: path.stem):
        name = path.relative_to(folder).with_suffix('')
        lines += [
            f'## {path.stem} {{ #{path.stem} }}',
            '',
            f'`configs/{folder.name}/{name}.py`',
            '',
        ]
        lines += ['```python', path.read_text(encoding='utf-8').rstrip(), '```', '']
    return '\n'.join(lines)


def _model_zoo() -> str:
    """One table for each collection of the metafiles."""
    lines = [
        '# Model zoo',
        '',
        'Every config, from `configs/*/metafile.yml`. **There are no checkpoints and no results here**: nothing was trained on '
        "ImageNet, COCO or CityScapes by this project. The papers' results stand in the pages of the configs; [Weights]"
        '(../docs/weights.md) says where to start from.',
    ]
    for metafile in sorted((ROOT / 'configs').glob('*/metafile.yml')):
        content = yaml.safe_load(metafile.read_text(encoding='utf-8'))
        folder = metafile.parent.name
        for collection in content['Collections']:
            models = [m for m in content['Models'] if m['In Collection'] == collection['Name']]
            paper = collection['Paper']
            lines += ['', f'## {collection["Name"]}', '']
            lines += [
                f'[{paper["Title"]}]({paper["URL"]}); recipe: [configs/{folder}]({folder}/README.md).'
            ]
            lines += ['', *_table(models, folder)]
    return '\n'.join(lines)


def _table(models: List[Dict], folder: str) -> List[str]:
    lines = ['| config | activation | data | images a step | length | parameters |']
    lines += ['|---|---|---|--:|--:|--:|']
    for model in models:
        data = model['Metadata']
        length = f'{data["Epochs"]} epochs' if 'Epochs' in data else ''
        length = f'{data["Iterations"]:,} steps' if 'Iterations' in data else length
        parameters = f'{data["Parameters"]:,}' if 'Parameters' in data else ''
        name = f'[{model["Name"]}]({folder}/{Path(model["Config"]).name})'
        cells = (data['Activation'], data['Training Data'], data['Batch Size'], length, parameters)
        lines.append(f'| {name} | {" | ".join(map(str, cells))} |')
    return lines


def _notebook_page(path: Path) -> str:
    """A notebook as Markdown, with the outputs that it was saved with."""
    lines = []
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            lines += [source, '']
            continue
        lines += ['```python', source, '```', '']
        for output in cell['outputs']:
            data = output.get('data', {})
            text = ''.join(output.get('text', data.get('text/plain', '')))
            text = re.sub(r'\x1b\[[0-9;]*m', '', text)  # colours of the terminal
            if 'image/png' in data:
                image = ''.join(data['image/png']).replace('\n', '')
                lines += [f'![Output of the cell above](data:image/png;base64,{image})', '']
            elif text.strip():
                lines += ['```text', text.rstrip(), '```', '']
    lines += [f'*This page is the notebook `docs/notebooks/{path.name}` of the repository.*']
    return '\n'.join(lines)
