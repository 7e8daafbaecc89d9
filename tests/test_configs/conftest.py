import pytest
from config_files import DATA_VARIABLES

import mm_frelu  # noqa: F401  (before any test module imports mmdet or mmseg, which may need its stand-in)


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """The developer's own data folders must not reach the tests."""
    for variable in DATA_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
