"""--cfg-options: errors for malformed words and unknown keys name the option."""

import argparse

import pytest
from mmengine.config import Config

from mm_frelu.engine import UserError
from mm_frelu.engine.settings import SettingsAction, merge_settings


def parse(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction)
    return parser.parse_args(['--cfg-options', *words]).cfg_options


def test_values_are_read_as_mmengine_reads_them():
    expected = {'a.b': 1, 'c': [(1, 2), 'x'], 'd': None, 'e': 'text', 'f': [1, 2]}
    assert parse('a.b=1', 'c=[(1, 2), x]', 'd=None', "e='text'", 'f=1,2') == expected


@pytest.mark.parametrize(
    'folder', ["/media/Anna's disk/Straße 1", "/the Annas'", 'C:/Program Files']
)
def test_a_path_stays_what_it_is(folder):
    """DictAction would remove its spaces, and an apostrophe at its end."""
    assert parse(f'data_root={folder}') == dict(data_root=folder)


@pytest.mark.parametrize('word', ['a', 'a=[1,(2', '--', '=1', 'a..b=1', 'a.=1'])
def test_a_word_that_cannot_be_read_is_named(word, capsys):
    with pytest.raises(SystemExit):
        parse('b=1', word)
    assert '--cfg-options' in capsys.readouterr().err


@pytest.mark.parametrize(
    'word',
    ["a.pipeline=[dict(type='LoadImageFromFile')]", "a={'type': 'B'}", 'a=[1, dict(type=B)]'],
)
def test_a_dict_in_a_value_is_told(word, capsys):
    """MMEngine would read it as a string."""
    with pytest.raises(SystemExit):
        parse(word)
    message = ' '.join(capsys.readouterr().err.split())
    assert 'has a dict in its value' in message
    assert '_base_' in message


def test_settings_that_contradict_each_other_are_named():
    cfg = Config(dict(model=dict(head=dict(type='A'))))
    with pytest.raises(
        UserError, match=r'--cfg-options model\.head model\.head\.type: one of these'
    ):
        merge_settings(cfg, {'model.head': 1, 'model.head.type': 'B'})


def test_settings_are_merged_together():
    cfg = Config(dict(model=dict(head=dict(type='A', width=3))))
    merge_settings(cfg, {'model.head.type': 'B', 'model.head._delete_': True})
    assert cfg.model.head.to_dict() == dict(type='B')
    merge_settings(cfg, None)


@pytest.mark.parametrize(
    ('key', 'said'),
    [
        ('steps.2.type', 'steps is a list of 2 elements, with the indices 0 to 1'),
        ('steps.one.type', 'steps is a list of 2 elements'),
        ('steps.0.type.name', "steps.0.type is 'Load', which has no keys"),
        ('load_from.path', 'load_from is None, which has no keys'),
    ],
)
def test_a_key_that_leads_nowhere_is_told_where(key, said):
    cfg = Config(dict(steps=[dict(type='Load'), dict(type='Pack')], load_from=None))
    with pytest.raises(UserError, match=f'--cfg-options {key}: {said}'):
        merge_settings(cfg, {'ok': 1, key: 2})
