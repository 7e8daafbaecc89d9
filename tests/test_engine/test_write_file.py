"""Files are written atomically, links are followed, and devices, pipes and hard links are not replaced."""

import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from mm_frelu.engine import UserError
from mm_frelu.engine.json_file import write_json
from mm_frelu.engine.write_file import partial_file, put_file, require_target, write_file


def write(path, text='new'):
    with write_file(path) as stream:
        stream.write(text)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_new_file_in_new_folders_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / 'plain').write_text('')
    write(tmp_path / 'a' / 'b.txt')
    assert (tmp_path / 'a' / 'b.txt').read_text() == 'new'
    assert (tmp_path / 'a' / 'b.txt').stat().st_mode == (tmp_path / 'plain').stat().st_mode
    assert names(tmp_path / 'a') == ['b.txt']


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write(tmp_path / 'a.txt', 'old')

    def fail():
        with write_file(tmp_path / 'a.txt') as stream:
            stream.write('half')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == ['a.txt']
    assert (tmp_path / 'a.txt').read_text() == 'old'


def test_a_full_disk_is_an_error_of_the_user(tmp_path):
    full = OSError(28, 'No space left on device')
    message = r'a\.txt cannot be written .*Free space on that disk'
    with pytest.raises(UserError, match=message), write_file(tmp_path / 'a.txt'):
        raise full
    assert not names(tmp_path)


def test_links_are_followed(tmp_path):
    other = tmp_path / 'disk'
    other.mkdir()
    write(other / 'real.txt', 'old')
    (tmp_path / 'direct').symlink_to(other / 'real.txt')
    (tmp_path / 'chain').symlink_to('direct')
    (tmp_path / 'to_come').symlink_to(other / 'later.txt')
    write(tmp_path / 'chain')
    write(tmp_path / 'to_come')
    assert (other / 'real.txt').read_text() == (other / 'later.txt').read_text() == 'new'
    assert all((tmp_path / name).is_symlink() for name in ('direct', 'chain', 'to_come'))
    assert names(other) == ['later.txt', 'real.txt']


def test_a_second_name_for_a_file_stays_one(tmp_path):
    write(tmp_path / 'a', 'old')
    os.link(tmp_path / 'a', tmp_path / 'b')
    write(tmp_path / 'b')
    assert (tmp_path / 'a').read_text() == 'new'
    assert (tmp_path / 'a').samefile(tmp_path / 'b')


def test_permissions_are_kept(tmp_path):
    write(tmp_path / 'a', 'old')
    (tmp_path / 'a').chmod(0o640)
    write(tmp_path / 'a')
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o640


def test_a_write_protected_file_and_a_folder_are_refused(tmp_path, monkeypatch):
    write(tmp_path / 'a', 'old')
    with pytest.raises(UserError, match=rf'^--json {tmp_path} is a folder'):
        require_target('--json', tmp_path)
    with pytest.raises(UserError, match=rf'^{tmp_path} is a folder'):
        write(tmp_path)
    with pytest.raises(UserError, match=r'^--json: the folder .* is a file'):
        require_target('--json', tmp_path / 'a' / 'b.json')
    (tmp_path / 'circle').symlink_to('circle')
    with pytest.raises(UserError, match='circle cannot be written'):
        write(tmp_path / 'circle')
    # Asked of the system, not tried with chmod: for root every file is writable.
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(UserError, match=r'a is write-protected'):
        write(tmp_path / 'a')
    assert (tmp_path / 'a').read_text() == 'old'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_a_pipe_gets_the_contents(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / 'pipe').read_bytes()))
    reader.start()
    with write_file(tmp_path / 'pipe', 'wb') as stream:
        stream.write(b'0123')
        stream.seek(0)  # as writers of archives do
        stream.write(b'a')
    reader.join()
    assert got == [b'a123']
    assert stat.S_ISFIFO((tmp_path / 'pipe').stat().st_mode)
    assert names(tmp_path) == ['pipe']


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='only root can make it')
def test_a_device_stays_a_device(tmp_path):
    os.mknod(tmp_path / 'null', 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / 'link').symlink_to('null')
    for name in ('null', 'link'):
        write_json(tmp_path / name, [1])
        assert (tmp_path / name).is_char_device()
    assert names(tmp_path) == ['link', 'null']


@pytest.mark.parametrize('redirected', [True, False])
def test_standard_output_is_written_into(tmp_path, redirected):
    program = (
        'import sys; from mm_frelu.engine.json_file import write_json; print("before"); '
        'write_json("/dev/stdout", [1]); print("after")'
    )
    if redirected:
        with (tmp_path / 'out').open('w') as out:
            subprocess.run([sys.executable, '-c', program], stdout=out, check=True)
        text = (tmp_path / 'out').read_text()
    else:
        text = subprocess.run(
            [sys.executable, '-c', program], capture_output=True, text=True, check=True
        ).stdout
    assert text == 'before\n[\n  1\n]\nafter\n'


def test_a_file_that_cannot_be_moved_is_copied(tmp_path, monkeypatch):
    # Like for a file that a container mounts, which cannot be replaced by a rename.
    write(tmp_path / 'a', 'old')
    number = (tmp_path / 'a').stat().st_ino

    def busy(source, target):
        raise OSError(16, 'Device or resource busy')

    monkeypatch.setattr(os, 'replace', busy)
    write(tmp_path / 'a')
    assert (tmp_path / 'a').read_text() == 'new'
    assert (tmp_path / 'a').stat().st_ino == number
    assert names(tmp_path) == ['a']


def test_a_file_that_others_wrote_is_put_in_place(tmp_path):
    target = tmp_path / 'link.pkl'
    target.symlink_to(tmp_path / 'disk' / 'real.pkl')
    partial = partial_file(target, '.partial.pkl')
    assert partial.parent == tmp_path / 'disk'
    partial.write_bytes(b'1')
    put_file(partial, target)
    assert target.is_symlink()
    assert (tmp_path / 'disk' / 'real.pkl').read_bytes() == b'1'
    assert names(tmp_path / 'disk') == ['real.pkl']


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / 'a.json', dict(text='方'))
    assert json.loads((tmp_path / 'a.json').read_text()) == dict(text='方')
