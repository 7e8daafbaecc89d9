r"""MkDocs hook: the markup of docstrings, which is that of PyTorch's, and formulas without a script.

Roles such as :func:`mm_frelu.build_activation` become links to the API reference where it has the name, and code where it
has not. ``:math:`` and ``.. math::`` become MathML, which browsers draw by themselves.
"""

import ast
import re
from functools import cache
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

PACKAGE = Path(__file__).parents[2] / 'mm_frelu'
ROLE = r':(?:func|class|mod|meth|attr|data|obj|exc):`~?([^`<]*?)(?:\s*<([^`>]+)>)?`'
INLINE_MATH = r':math:`([^`]+)`'
BLOCK_MATH = re.compile(r'^( *)\.\. math::[ ]*(.*)$')


def on_config(config: dict) -> dict:
    """Add the extension to those that pages and docstrings are converted with."""
    config['markdown_extensions'].append(DocstringMarkup())
    return config


class DocstringMarkup(Extension):
    """Roles and formulas of reStructuredText in Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Markdown's name)
        """Register the processors, before code spans are found."""
        md.preprocessors.register(BlockMath(md), 'rest_block_math', 26)
        md.inlinePatterns.register(InlineMath(INLINE_MATH, md), 'rest_inline_math', 195)
        md.inlinePatterns.register(Role(ROLE, md), 'rest_role', 194)


class BlockMath(Preprocessor):
    """``.. math::`` and the indented lines behind it."""

    def run(self, lines):
        """Replace each formula by MathML."""
        result, index = [], 0
        while index < len(lines):
            match = BLOCK_MATH.match(lines[index])
            index += 1
            if match is None:
                result.append(lines[index - 1])
                continue
            formula, indent = [match[2]], len(match[1])
            while index < len(lines) and (
                not lines[index].strip() or _indent(lines[index]) > indent
            ):
                formula.append(lines[index].strip())
                index += 1
            html = convert(' '.join(formula).strip(), display='block')
            result += ['', match[1] + self.md.htmlStash.store(html), '']
        return result


class InlineMath(InlineProcessor):
    """``:math:`` in a line."""

    def handleMatch(self, m, data):  # noqa: N802, D102
        return self.md.htmlStash.store(convert(unescape(m[1]))), m.start(0), m.end(0)


class Role(InlineProcessor):
    """A reference to code."""

    def handleMatch(self, m, data):  # noqa: N802, D102
        target = (m[2] or m[1]).strip()
        link = ElementTree.Element('autoref')
        link.set('identifier', _public_names().get(target.rpartition('.')[2], target.lstrip('.')))
        link.set('optional', '')
        code = ElementTree.SubElement(link, 'code')
        code.text = m[1].strip().lstrip('.')
        return link, m.start(0), m.end(0)


@cache
def _public_names():
    """Where the API reference has each public name: the package with it in ``__all__``."""
    found = {}
    for file in sorted(PACKAGE.rglob('__init__.py')):
        for node in ast.parse(file.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
                package = '.'.join(file.parent.relative_to(PACKAGE.parent).parts)
                found.update({name: f'{package}.{name}' for name in ast.literal_eval(node.value)})
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
