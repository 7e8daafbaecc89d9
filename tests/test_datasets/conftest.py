"""Copies of data for the tests to damage, and the messages of the checks."""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def data(street_scenes, tmp_path) -> Path:
    """A copy of the scenes that tests may change."""
    return shutil.copytree(street_scenes, tmp_path / 'data')


@pytest.fixture
def said(monkeypatch) -> list:
    """The messages and warnings, in order."""
    lines = []
    monkeypatch.setattr(
        'mm_frelu.datasets.notices.print_log', lambda text, logger, level: lines.append(text)
    )
    return lines


@pytest.fixture
def edit_annotations(data):
    """Changes the content of an annotation file of the scenes, and returns it."""

    def edit(change, split='train'):
        file = data / f'annotations/instances_{split}.json'
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        return content

    return edit
