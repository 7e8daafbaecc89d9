import pytest
from config_files import FOLDER_VARIABLES


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """The developer's own folders must not reach the tests."""
    for variable in FOLDER_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
