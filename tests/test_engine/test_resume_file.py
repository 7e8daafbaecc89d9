"""--resume finds the newest intact checkpoint in a work folder with damaged, partial or malicious files."""

import os
import pickle

import pytest
import torch
from mmengine.config import Config

from mm_frelu.engine import UserError
from mm_frelu.engine.resume_file import damage, newest_whole_checkpoint, require_whole
from mm_frelu.engine.train_options import resume


class Trap:
    """An object whose pickle creates a folder when it is loaded unsafely."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def work(tmp_path):
    """A work folder with checkpoints of iterations 2, 4 and 10, oldest first, and last_checkpoint."""
    for number in (2, 4, 10):
        write(tmp_path / f'iter_{number}.pth', number)
    name_last(tmp_path, tmp_path / 'iter_10.pth')
    write(tmp_path / 'best_mIoU_iter_20.pth', 20)
    (tmp_path / '.0123456789abcdef.checkpoint.partial').write_bytes(b'PK')
    return tmp_path


def write(path, number, minutes=None):
    torch.save(dict(meta=dict(iter=number), state_dict=dict(a=torch.zeros(999))), path)
    seconds = 60 * (number if minutes is None else minutes)
    os.utime(path, (seconds, seconds))


def name_last(folder, text, minutes=30):
    (folder / 'last_checkpoint').write_bytes(
        text if isinstance(text, bytes) else str(text).encode()
    )
    os.utime(folder / 'last_checkpoint', (60 * minutes,) * 2)


def find(folder, **hook):
    hook = dict(type='CheckpointHook', by_epoch=False, **hook)
    return newest_whole_checkpoint(
        Config(dict(work_dir=str(folder), default_hooks=dict(checkpoint=hook)))
    )


def test_a_healthy_folder_needs_no_words(work):
    assert find(work) == (str(work / 'iter_10.pth'), [])
    (work / 'last_checkpoint').unlink()
    assert find(work) == (str(work / 'iter_10.pth'), [])


def test_last_checkpoint_may_name_an_older_one_or_one_elsewhere(work, tmp_path):
    name_last(work, work / 'iter_4.pth')
    assert find(work) == (str(work / 'iter_4.pth'), [])
    (work / 'elsewhere').mkdir()
    write(work / 'elsewhere' / 'mine.pth', 3)
    name_last(work, work / 'elsewhere' / 'mine.pth')
    assert find(work) == (str(work / 'elsewhere' / 'mine.pth'), [])


def test_a_checkpoint_that_was_written_after_last_checkpoint_is_newer(work):
    write(work / 'iter_12.pth', 12, minutes=31)
    assert find(work)[0] == str(work / 'iter_12.pth')


def test_checkpoints_of_an_older_run_with_more_iterations_are_not_newer(work):
    write(work / 'iter_99.pth', 99, minutes=1)
    assert find(work)[0] == str(work / 'iter_10.pth')
    (work / 'iter_10.pth').write_bytes(b'')
    assert find(work)[0] == str(work / 'iter_4.pth')


@pytest.mark.parametrize('template', ['iter_{:06d}.pth', 'model.pth', 'a{0}.b.pth'])
def test_checkpoints_are_found_by_any_template(template, tmp_path):
    for number in (999, 1000):
        write(tmp_path / template.format(number), number)
    expected = str(tmp_path / template.format(1000))
    assert find(tmp_path, filename_tmpl=template) == (expected, [])


def test_a_work_folder_that_was_moved_is_found(work):
    name_last(work, '/not/here/any/more/iter_4.pth')
    assert find(work) == (str(work / 'iter_4.pth'), [])


def test_a_copied_work_folder_goes_on_from_its_own_checkpoints(work):
    (work / 'original').mkdir()
    write(work / 'original' / 'iter_4.pth', 4)
    name_last(work, work / 'original' / 'iter_4.pth')
    assert find(work) == (str(work / 'iter_4.pth'), [])


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the numbers of the tensor
    path.write_bytes(content)


@pytest.mark.parametrize(
    ('harm', 'said'),
    [
        (lambda path: path.write_bytes(b''), r'is empty \(0 bytes\)'),
        (cut, r'is cut off after \d+ bytes'),
        (flip, r'is damaged \(the checksum of iter_10/data/0 in it is wrong\)'),
        (lambda path: path.write_bytes(b'epoch,loss\n'), 'cannot be read as a PyTorch file'),
        (lambda path: torch.save([1], path), 'is not a checkpoint of a training run'),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(work, harm, said):
    harm(work / 'iter_10.pth')
    found, notices = find(work)
    assert found == str(work / 'iter_4.pth')
    damaged, used = notices
    assert damaged.startswith(f'--resume: {work / "iter_10.pth"} is ') or 'cannot' in damaged
    pytest.raises(UserError, require_whole, str(work / 'iter_10.pth'), '--resume').match(said)
    assert used == f'--resume: the run continues from {found}, the newest intact checkpoint.'


@pytest.mark.parametrize(
    'text', [b'', b'\n', b'\xff' * 9999, b'https://example.org/a.pth', b'/etc']
)
def test_an_empty_or_hostile_last_checkpoint_is_left_out(work, text):
    name_last(work, text)
    found, notices = find(work)
    assert found == str(work / 'iter_10.pth')
    assert str(work / 'last_checkpoint') in notices[0]
    assert max(map(len, notices)) < 500


def test_nothing_of_a_hostile_checkpoint_is_executed(work):
    trap = work / 'executed'
    torch.save(dict(meta={}, state_dict={}, message_hub=Trap(trap)), work / 'iter_10.pth')
    found, notices = find(work)
    assert found == str(work / 'iter_4.pth')
    assert 'iter_10.pth holds' in notices[0]
    assert 'mkdir' in notices[0]
    (work / 'iter_10.pth').write_bytes(pickle.dumps(Trap(trap), protocol=2))
    assert find(work)[0] == str(work / 'iter_4.pth')
    with pytest.raises(UserError, match='could run code from the file.*add_safe_globals'):
        resume(Config(dict(work_dir=str(work))), str(work / 'iter_10.pth'))
    assert not trap.exists()


def test_no_whole_checkpoint_is_an_error_and_none_at_all_is_a_start(work, tmp_path):
    for number in (2, 4, 10):
        (work / f'iter_{number}.pth').write_bytes(b'')
    with pytest.raises(
        UserError, match=r'no intact checkpoint in .*iter_10\.pth is empty .*iter_2\.pth is empty'
    ):
        find(work)
    assert find(work / 'new') == (None, [])
    (work / 'killed').mkdir()
    name_last(work / 'killed', b'')
    assert find(work / 'killed') == (None, [])


def test_the_names_of_the_hook_are_used(work):
    write(work / 'step 7.pt', 7)
    assert find(work / 'new', filename_tmpl='step {}.pt') == (None, [])
    (work / 'last_checkpoint').unlink()
    assert find(work, filename_tmpl='step {}.pt')[0] == str(work / 'step 7.pt')
    (work / 'out' / work.name).mkdir(parents=True)
    write(work / 'out' / work.name / 'iter_3.pth', 3)
    assert find(work, out_dir=str(work / 'out'))[0].endswith(f'/out/{work.name}/iter_3.pth')


def test_resume_in_a_config_means_the_same(work):
    (work / 'iter_10.pth').write_bytes(b'')
    hook = dict(type='CheckpointHook', by_epoch=False)
    cfg = Config(dict(work_dir=str(work), resume=True, default_hooks=dict(checkpoint=hook)))
    notices = resume(cfg, None)
    assert cfg.load_from == str(work / 'iter_4.pth')
    assert len(notices) == 2


def test_a_whole_checkpoint_of_the_older_format_is_whole(tmp_path):
    file = tmp_path / 'old.pth'
    torch.save(dict(meta={}, state_dict={}), file, _use_new_zipfile_serialization=False)
    assert damage(file) == ''
