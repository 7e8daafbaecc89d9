import pytest

from mm_frelu.datasets.posed_people import generate_posed_people


@pytest.fixture(autouse=True)
def _default_data_folders(monkeypatch):
    """Unset the data folders of the developer, so that the tests do not read them."""
    for variable in ('COCO_ROOT', 'POSED_PEOPLE_ROOT'):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope='session')
def people_folder(tmp_path_factory):
    """A small dataset of posed people: six images to train on and three to evaluate on."""
    folder = tmp_path_factory.mktemp('data') / 'posed_people'
    assert generate_posed_people(folder, train=6, val=3, size=(128, 112), seed=1)
    return folder
