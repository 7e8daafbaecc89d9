"""UserError survives DataLoader workers and ends a tool with exit code 1."""

import pickle
import re

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from mm_frelu.engine import NamingTransform, UserError, exit_on_user_error
from mm_frelu.engine.errors import first_line
from mm_frelu.engine.read_errors import name_files


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError('seg_map_path a.png: ids 33 are no class.')


def test_the_message_of_a_worker_is_only_the_paragraph():
    with pytest.raises(UserError) as error:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert str(error.value) == 'seg_map_path a.png: ids 33 are no class.'


def test_exit_code_and_message(capsys, monkeypatch):
    @exit_on_user_error
    def main():
        raise UserError('what, where, what to do')

    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err == 'error: what, where, what to do\n'
    monkeypatch.setenv('RANK', '3')
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith('error (rank 3): ')


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        (dict(act_cfg=dict(type='FRelu')), "Did you mean 'FReLU'?"),
        (dict(act_cfg=dict(type='FReLU', kernel_size=4)), 'kernel_size must be odd'),
        (dict(act_stages=(7,)), '7 is not a stage'),
        (dict(depth=19), 'no depth 19'),
    ],
)
def test_settings_that_a_backbone_refuses_are_one_paragraph(settings, expected, capsys):
    from mm_frelu.registry import MODELS

    @exit_on_user_error
    def main():
        MODELS.build({'type': 'mm_frelu.ResNet', 'depth': 18, **settings})

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert expected in capsys.readouterr().err


def test_a_config_whose_base_is_missing_names_it(tmp_path):
    from mm_frelu.engine.arguments import read_config

    config = tmp_path / 'config.py'
    config.write_text("_base_ = './nowhere.py'")
    with pytest.raises(UserError, match=r'does not exist .*: .*nowhere\.py'):
        read_config(str(config))
    (tmp_path / 'psp').mkdir()
    (tmp_path / 'psp/psp_r50.py').write_text('')
    nearest = re.escape(str(tmp_path / 'psp/psp_r50.py'))
    with pytest.raises(
        UserError, match=rf'is a folder, not a config file .* Did you mean {nearest}\?'
    ):
        read_config(str(tmp_path / 'psp'))
    with pytest.raises(UserError, match=r'there is no such file .*nowhere\.py\)\.$'):
        read_config(str(tmp_path / 'nowhere.py'))


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (ValueError('  a\nb'), 'a'),
        (AssertionError(), 'AssertionError'),
        (RuntimeError('\n'), 'RuntimeError'),
        (OSError('x' * 300), 'x' * 160),
        (ValueError('Use weights_only=False.\nWeightsUnpickler error: bad opcode'), 'bad opcode'),
    ],
)
def test_first_line(error, line):
    assert first_line(error) == line


def test_ctrl_c_is_no_traceback(capsys):
    @exit_on_user_error
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130  # as shells report it
    assert capsys.readouterr().err == 'Interrupted.\n'


def test_other_errors_keep_their_traceback():
    @exit_on_user_error
    def main():
        raise KeyError('a bug')

    with pytest.raises(KeyError):
        main()


class LoadAnnotations:
    def __call__(self, results):
        raise OSError('cannot identify image file <_io.BytesIO object at 0x7f>')


class LoadImage:
    def __call__(self, results):
        return dict(results, img=np.zeros(3))


def test_a_loading_transform_names_its_file(tmp_path):
    label = tmp_path / 'a.png'
    results = dict(img_path='a.jpg', seg_map_path=str(label))

    def message() -> str:
        with pytest.raises(UserError) as error:
            NamingTransform(LoadAnnotations())(results)
        return str(error.value)

    assert message().startswith(f'seg_map_path {label}: there is no such file')
    label.write_bytes(b'')
    assert message().startswith(f'seg_map_path {label}: the file is empty (0 bytes)')
    label.write_bytes(b'GIF')
    assert '(OSError: cannot identify' in message()
    del results['seg_map_path']
    assert message().startswith('annotations of img_path a.jpg: ')
    assert NamingTransform(LoadImage())(results)['img'].shape == (3,)
    pickle.loads(pickle.dumps(NamingTransform(LoadImage())))


def test_datasets_inside_wrappers_and_augmentations_are_reached():
    from types import SimpleNamespace as Box

    nested = Box(subroutines=[Box(transforms=[LoadAnnotations()])])
    leaf = Box(pipeline=Box(transforms=[LoadImage(), nested]))
    name_files(Box(datasets=[Box(dataset=leaf)]))
    assert isinstance(leaf.pipeline.transforms[0], NamingTransform)
    assert isinstance(nested.subroutines[0].transforms[0], NamingTransform)


class Resize:
    scale = (8, 8)

    def __call__(self, results):
        return cv2.resize(results['img'], (0, 0), fx=0.001, fy=1)


class Flip:
    def __call__(self, results):
        raise KeyError('flip')


@pytest.mark.parametrize(('size', 'transform'), [((40, 4000), Resize), ((1, 64), Flip)])
def test_a_picture_that_is_too_narrow_is_named(size, transform):
    results = dict(img_path='a.jpg', img=np.zeros(size), img_shape=size, ori_shape=size)
    if transform is Resize:
        results['img'] = np.zeros((40, 100))
    with pytest.raises(UserError) as error:
        NamingTransform(transform())(results)
    text = (
        f'img_path a.jpg ({size[1]}x{size[0]}, width x height): {transform.__name__} cannot process'
    )
    assert str(error.value).startswith(text)
    assert 'too narrow' in str(error.value)


def test_other_failures_of_a_transform_keep_their_traceback(monkeypatch):
    said = []
    monkeypatch.setattr('mm_frelu.engine.read_errors.print_log', lambda text, *_: said.append(text))
    with pytest.raises(KeyError, match='flip'):
        NamingTransform(Flip())(dict(img_path='a.jpg', ori_shape=(64, 64)))
    assert said == ['Flip failed on img_path a.jpg.']


def test_settings_of_a_transform_are_seen_through():
    assert NamingTransform(Resize()).scale == (8, 8)
    assert not hasattr(NamingTransform(Resize()), 'nothing')
