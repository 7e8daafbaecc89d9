import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _default_data_folder(monkeypatch):
    """The developer's own ImageNet must not reach the tests."""
    monkeypatch.delenv('IMAGENET_ROOT', raising=False)


@pytest.fixture(scope='session')
def picture_folders(tmp_path_factory):
    """Four classes of pictures, stripes of four directions, laid out as ImageNet: train/<class>/, val/<class>/."""
    folder = tmp_path_factory.mktemp('imagenet')
    random = np.random.RandomState(0)
    rows, columns = np.mgrid[:40, :48]
    for label, (down, right) in enumerate([(1, 0), (0, 1), (1, 1), (1, -1)]):
        for split, number in (('train', 6), ('val', 2)):
            target = folder / split / f'stripes_{label}'
            target.mkdir(parents=True)
            for index in range(number):
                wave = np.sin((down * rows + right * columns) * 0.6 + random.uniform(0, 6))
                picture = 128 + 60 * wave[..., None] + random.normal(0, 8, (40, 48, 3))
                cv2.imwrite(
                    str(target / f'{label}_{index}.png'), picture.clip(0, 255).astype(np.uint8)
                )
    return folder
