"""The tools of mmdet and mmseg that docs/analysis.md names exist where it says."""

import re
from pathlib import Path

import pytest

from mm_frelu.run import locate_tool

PAGE = Path(__file__).parents[2] / 'docs/analysis.md'
NAMED = re.findall(r'`python -m mm_frelu\.run (\w+) (tools/\S+\.py)', PAGE.read_text())


@pytest.mark.parametrize(('library', 'name'), NAMED)
def test_exists(library, name):
    assert locate_tool(library, name).is_file()


def test_some_are_named():
    assert len(NAMED) >= 1
