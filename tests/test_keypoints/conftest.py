import pytest

from mm_frelu.datasets.posed_people import generate_posed_people


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """The developer's own data must not reach the tests."""
    for variable in ('COCO_ROOT', 'POSED_PEOPLE_ROOT'):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope='session')
def people_folder(tmp_path_factory):
    """Six and three small pictures of posed people."""
    folder = tmp_path_factory.mktemp('data') / 'posed_people'
    assert generate_posed_people(folder, train=6, val=3, size=(128, 112), seed=1)
    return folder
