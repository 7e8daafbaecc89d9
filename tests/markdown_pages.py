"""Read code blocks, shell commands, links and anchors of the project's Markdown pages. Helper for the tests of the docs."""

import re
from pathlib import Path
from typing import List, Set, Tuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r'^( *)```(\w*)\n(.*?)^\1```', re.MULTILINE | re.DOTALL)


def pages() -> List[Path]:
    """Every page that a reader sees, README files first."""
    readmes = [*ROOT.glob('*.md'), *ROOT.glob('configs/*/README.md')]
    return sorted(readmes) + sorted(ROOT.glob('docs/**/*.md'))


def code_blocks(text: str, language: str) -> List[str]:
    """The blocks in one language."""
    return [body for _, name, body in FENCE.findall(text) if name == language]


def shell_lines(text: str) -> List[str]:
    """The commands of the shell blocks: continued lines joined, comments left out."""
    lines = []
    for block in code_blocks(text, 'shell'):
        for line in block.replace('\\\n', ' ').splitlines():
            command = re.sub(r'\s+# .*$', '', line).strip()
            if command and not command.startswith('#'):
                lines.append(command)
    return lines


def without_code(text: str) -> str:
    """The text without code, where brackets are not links."""
    return re.sub(r'`[^`\n]+`', 'code', FENCE.sub('', text))


def links(text: str) -> List[Tuple[str, str]]:
    """Path and anchor of each link that stays in the repository."""
    found = re.findall(r'\]\(([^)#\s]*)(?:#([^)\s]*))?\)', without_code(text))
    return [(path, anchor) for path, anchor in found if '://' not in path]


def anchors(text: str) -> Set[str]:
    """The anchors that GitHub creates for the headings."""
    titles = re.findall(r'^#+ (.+)$', FENCE.sub('', text), flags=re.MULTILINE)
    plain = (re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', title) for title in titles)
    return {re.sub(r'[^\w -]', '', title).strip().lower().replace(' ', '-') for title in plain}
