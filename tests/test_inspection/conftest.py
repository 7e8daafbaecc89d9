"""The definition needs no compiled loops, which take a minute to compile for each type and shape of window."""

import pytest


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', 'eager')
