import pytest
from config_files import FOLDER_VARIABLES


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """Unset the environment variables of the developer's own data folders."""
    for variable in FOLDER_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
