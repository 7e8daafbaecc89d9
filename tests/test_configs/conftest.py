import pytest
from config_files import DATA_VARIABLES


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """The developer's own data folders must not reach the tests."""
    for variable in DATA_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
