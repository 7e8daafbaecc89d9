"""Fixtures for the whole suite."""

import os
from pathlib import Path

import pytest

# The models of the tests are too small for threads to pay, and the machine may be shared.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import mm_frelu  # noqa: E402, F401  (before mmdet and mmseg: it supplies missing ops)


@pytest.fixture(scope='session')
def street_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes to train and four to validate, 128x64, in CityScapes layout and as COCO. Read only: copy before you break it."""
    from mm_frelu.datasets import generate_street_scenes

    folder = tmp_path_factory.mktemp('street_scenes')
    generate_street_scenes(folder, train=6, val=4, size=(128, 64), seed=0)
    return folder
