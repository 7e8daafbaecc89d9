"""--act and its options, from the command line to the config."""

import argparse

import pytest
from mmengine.config import Config

from mm_frelu.engine import UserError
from mm_frelu.engine.act_options import (
    add_act_arguments,
    apply_act_options,
    inner_model,
    replaced_model,
    work_dir_suffix,
)


def parse(*options):
    parser = argparse.ArgumentParser()
    add_act_arguments(parser)
    return parser.parse_args(options)


def apply(*options, **settings):
    cfg = Config(dict(model=dict(type='Net'), **settings))
    apply_act_options(cfg, parse(*options))
    return cfg


def test_without_the_option_nothing_changes():
    assert apply().to_dict() == dict(model=dict(type='Net'))
    assert work_dir_suffix(parse()) == ''


def test_the_options_become_a_model_around_the_model():
    cfg = apply(
        *('--act', 'FReLU', '--act-cfg', 'kernel_size=5', 'norm_cfg.type=GN'),
        *('norm_cfg.num_groups=4', '--act-include', 'a', 'b', '--act-exclude', 'c'),
    )
    assert cfg.model.to_dict() == dict(
        type='ReplaceActivation',
        model=dict(type='Net'),
        act_cfg=dict(type='FReLU', kernel_size=5, norm_cfg=dict(type='GN', num_groups=4)),
        include=['a', 'b'],
        exclude=['c'],
    )


@pytest.mark.parametrize(
    ('imports', 'expected'),
    [(None, ['mm_frelu']), (['other'], ['mm_frelu', 'other']), ('mm_frelu', 'mm_frelu')],
)
def test_the_config_imports_the_package(imports, expected):
    settings = {} if imports is None else dict(custom_imports=dict(imports=imports))
    assert apply('--act', 'SiLU', **settings).custom_imports['imports'] == expected


def test_a_run_does_not_lie_on_its_baseline():
    assert work_dir_suffix(parse('--act', 'FReLU')) == '_frelu'


@pytest.mark.parametrize('option', ['--act-cfg', '--act-include', '--act-exclude'])
def test_options_without_act_are_refused(option):
    with pytest.raises(UserError, match=f'{option}: .* Add --act NAME'):
        apply(option, 'a=1')


def test_a_config_without_model_is_refused():
    with pytest.raises(UserError, match='--act needs a model'):
        apply_act_options(Config(dict()), parse('--act', 'FReLU'))


def test_the_parts_of_the_model_stay_where_they_are():
    """mmdet's init_detector reads model.backbone, MMEngine's Runner model.data_preprocessor; the type alone moves."""
    preprocessor = dict(type='Pre', size=(64, 128))
    model = dict(type='Net', backbone=dict(depth=18), act_cfg='own', data_preprocessor=preprocessor)
    new = replaced_model(model, dict(type='FReLU'))
    assert new == dict(
        type='ReplaceActivation',
        model=dict(type='Net', act_cfg='own'),
        act_cfg=dict(type='FReLU'),
        backbone=dict(depth=18),
        data_preprocessor=preprocessor,
    )
    assert inner_model(new) == model
    assert inner_model(replaced_model(new, dict(type='SiLU'))) == model
