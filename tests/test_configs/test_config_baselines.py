"""Each config and its ReLU baseline differ in the activation, in the weights that belong to it, and in nothing else."""

import ast

import pytest
from config_files import CONFIG_PATHS, baseline_of, load, read_name, short_id
from config_weights import weights_of

OTHERS = [path for path in CONFIG_PATHS if read_name(path).act != 'relu']
BASELINES = [path for path in CONFIG_PATHS if read_name(path).act == 'relu']

ACTIVATION_KEYS = ('model.backbone.act_cfg', 'model.backbone.act_sites')
WEIGHT_KEYS = ('model.backbone.init_cfg', 'weights_hint')
# The official weights beside detectron2's: other pixels, and windows that keep their statistics.
OFFICIAL_KEYS = ('model.data_preprocessor.mean', 'model.backbone.act_norm_eval')


def differences(a, b, prefix=''):
    """The keys, written with dots, at which two nested configs differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            key
            for name in {**a, **b}
            for key in differences(a.get(name), b.get(name), f'{prefix}.{name}'.lstrip('.'))
        ]
    return [] if a == b and type(a) is type(b) else [prefix]


@pytest.mark.parametrize(
    ('a', 'b', 'keys'),
    [
        (dict(x=dict(y=1, z=2)), dict(x=dict(y=1, z=2)), []),
        (dict(x=dict(y=1, z=2)), dict(x=dict(y=1, z=3), w=0), ['x.z', 'w']),
        (dict(x=[dict(y=1)]), dict(x=[dict(y=2)]), ['x']),
        (dict(x=1), dict(x=True), ['x']),
    ],
)
def test_differences_are_found(a, b, keys):
    assert differences(a, b) == keys


@pytest.mark.parametrize('path', OTHERS, ids=short_id)
def test_differs_from_its_baseline_in_nothing_but_the_activation_and_its_weights(path):
    baseline = baseline_of(path)
    assert baseline in BASELINES
    allowed = allowed_keys(read_name(path), read_name(baseline))
    found = differences(load(baseline).to_dict(), load(path).to_dict())
    assert found
    outside = [key for key in found if not any(f'{key}.'.startswith(f'{a}.') for a in allowed)]
    assert outside == []


def allowed_keys(name, baseline):
    """Where a config may differ from its baseline."""
    keys = ACTIVATION_KEYS
    if name.act == 'prelu':
        keys += ('optim_wrapper.constructor', 'optim_wrapper.paramwise_cfg')
    if weights_of(name) != weights_of(baseline):
        keys += WEIGHT_KEYS
    if weights_of(name).pixels != weights_of(baseline).pixels:
        keys += OFFICIAL_KEYS
    return keys


def test_where_other_pixels_are_fed_than_to_the_baseline():
    """One pair: nobody publishes ReLU weights that were trained on the pixels of the official FReLU weights."""
    pairs = [(read_name(path), read_name(baseline_of(path))) for path in OTHERS]
    others = {
        (name.method, name.network, name.depth, name.style, name.act)
        for name, baseline in pairs
        if weights_of(name).pixels != weights_of(baseline).pixels
    }
    assert others == {('retinanet', 'resnet', 50, 'caffe', 'frelu')}


@pytest.mark.parametrize('path', BASELINES, ids=short_id)
def test_baseline_is_relu_and_has_its_frelu(path):
    assert load(path).model.backbone.act_cfg == dict(type='ReLU')
    assert path.with_name(path.name.replace('-relu', '-frelu')).exists()


@pytest.mark.parametrize('path', CONFIG_PATHS, ids=short_id)
def test_inheritance_is_flat(path):
    """A baseline stands on base files, everything else on its baseline."""
    base = base_of(path)
    if path in BASELINES:
        assert all(name.startswith('../_base_/') for name in base)
    else:
        assert base == f'./{baseline_of(path).name}'


def base_of(path):
    assigned = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)]
    return next(ast.literal_eval(node.value) for node in assigned if node.targets[0].id == '_base_')


@pytest.mark.parametrize('path', CONFIG_PATHS, ids=short_id)
def test_bases_are_our_own(path):
    """`mmseg::` bases do not resolve under every distribution of mmengine."""
    pending, seen = [path], set()
    while pending:
        file = pending.pop()
        seen.add(file)
        if '_base_ =' in file.read_text():
            bases = base_of(file)
            for name in [bases] if isinstance(bases, str) else bases:
                assert '::' not in name
                pending.append((file.parent / name).resolve(strict=True))
    assert all('configs' in file.parts for file in seen)
