"""Fixtures of the backbone tests."""

import pytest


@pytest.fixture
def warnings_of(monkeypatch):
    """What was said of frozen windows."""
    said = []
    monkeypatch.setattr(
        'mm_frelu.backbones.freezing.print_log', lambda text, **_: said.append(text)
    )
    return said
