"""Output folders are refused before anything is computed, and not made by the check."""

import os

import pytest

from mm_frelu.engine import UserError
from mm_frelu.engine.output_folder import require_writable


def test_a_new_folder_passes_and_is_not_made(tmp_path):
    require_writable('--out', tmp_path / 'a' / 'b')
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_named(tmp_path):
    file = tmp_path / 'file'
    file.write_text('')
    with pytest.raises(UserError, match=rf'^--out {file} is a file'):
        require_writable('--out', file)
    with pytest.raises(UserError, match=rf'^--out {file}/a/b lies below {file}, which is a file'):
        require_writable('--out', file / 'a' / 'b')


def test_a_tilde_is_a_name_as_it_is_to_mmengine(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    require_writable('work_dir', '~/file')  # the Runner would make the folder ./~/file


def test_a_folder_of_somebody_else_is_named(tmp_path, monkeypatch):
    # Asked of the system, not tried with chmod: for root every folder is writable.
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(UserError, match=f'you may not write in {tmp_path}'):
        require_writable('--work-dir', tmp_path / 'run')
