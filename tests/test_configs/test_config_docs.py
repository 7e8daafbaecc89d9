"""README.md, metafile.yml and model-index.yml list every config, and only what exists."""

import argparse
import re
import shlex

import pytest
import torch
import yaml
from config_files import CONFIG_PATHS, METHODS, ROOT, baseline_of, load, read_name
from meta_models import anatomy

from mm_frelu.engine.arguments import add_common_arguments
from mm_frelu.engine.model_builder import build_model

by_method = pytest.mark.parametrize('method', METHODS)


def stems(method):
    return {path.stem for path in CONFIG_PATHS if path.parent.name == method}


def metafile(method):
    return yaml.safe_load((ROOT / 'configs' / method / 'metafile.yml').read_text())


@by_method
def test_readme_lists_every_config_beside_its_baseline(method):
    text = (ROOT / 'configs' / method / 'README.md').read_text()
    links = re.findall(r'\]\(([^)]+\.py)\)', text)
    assert {link.removesuffix('.py') for link in links} == stems(method)
    for path in CONFIG_PATHS:
        if path.parent.name == method and read_name(path).act != 'relu':
            rows = [row for row in text.splitlines() if f'({path.name})' in row]
            assert any(f'({baseline_of(path).name})' in row for row in rows), path.name


@by_method
def test_readme_follows_the_template(method):
    text = (ROOT / 'configs' / method / 'README.md').read_text()
    assert '<!-- [ALGORITHM] -->' in text
    assert 'https://arxiv.org/abs/2007.11824' in text
    assert '```bibtex' in text
    for command in re.findall(r'python (tools/\S+)', text):
        assert (ROOT / command).exists(), command
    for link in re.findall(r'\]\((?!https?://)([^)#]+)\)', text):
        assert (ROOT / 'configs' / method / link).exists(), link
    for config in re.findall(r'configs/\S+\.py', text):
        assert (ROOT / config).exists(), config


def training_commands():
    """The `tools/train.py` commands with overrides in the README files, continued lines joined."""
    for method in METHODS:
        text = (ROOT / 'configs' / method / 'README.md').read_text().replace('\\\n', ' ')
        for line in re.findall(
            r'^python tools/train\.py .*--cfg-options.*$', text, flags=re.MULTILINE
        ):
            yield pytest.param(line, id=f'{method}: {" ".join(shlex.split(line)[-2:])}')


@pytest.mark.parametrize('command', training_commands())
def test_overrides_of_the_readme_fit(command):
    """Each override is a key of the config, and the model that results can be built and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    args = parser.parse_args(shlex.split(command)[2:])
    cfg = load(ROOT / args.config)
    keys = set(dotted_keys(cfg.to_dict()))
    assert {*args.cfg_options} <= keys
    cfg.merge_from_dict(args.cfg_options)
    model = build_model(cfg, 'meta')
    features = model.extract_feat(torch.empty(1, 3, 64, 64, device='meta'))
    assert all(feature.is_meta for feature in features)


def dotted_keys(node, prefix=''):
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from dotted_keys(value, f'{prefix}{key}.')


@by_method
def test_metafile_lists_every_config(method):
    content = metafile(method)
    collections = [collection['Name'] for collection in content['Collections']]
    names = [model['Name'] for model in content['Models']]
    assert set(names) == stems(method)
    assert len(set(names)) == len(names)
    for model in content['Models']:
        assert model['Config'] == f'configs/{method}/{model["Name"]}.py'
        assert model['In Collection'] in collections
        name = read_name(ROOT / model['Config'])
        assert model['Metadata']['Batch Size'] == name.gpus * name.batch
    for collection in content['Collections']:
        assert (ROOT / collection['README']).exists()


@by_method
def test_metafile_counts_the_parameters(method):
    for model in metafile(method)['Models']:
        path = ROOT / model['Config']
        # The demo's numbers are there to be turned; a table of them would only be wrong.
        expected = None if read_name(path).schedule == 'demo' else anatomy(path).num_parameters
        assert model['Metadata'].get('Parameters') == expected


@by_method
def test_metafile_claims_no_result(method):
    """Nothing was trained on COCO or CityScapes here, so there is neither a result nor a checkpoint to list."""
    for model in metafile(method)['Models']:
        assert not {'Results', 'Weights', 'Training log'} & set(model)


def test_model_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = sorted((ROOT / 'configs').glob('*/metafile.yml'))
    assert {*METHODS} <= {file.parent.name for file in metafiles}
    assert index == dict(Import=[str(file.relative_to(ROOT)) for file in metafiles])
