"""--act in the tools: from the weights of a ReLU network to a FReLU network, without a config of its own."""

import re
from types import SimpleNamespace

import pytest
import tiny_project
import torch
from mmengine.config import Config


def log_of(work_dir):
    return max(work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text()


@pytest.fixture(scope='module')
def trained(relu_segmentor, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('act')
    tiny_project.load_tool('train.py').main(
        [
            *(str(relu_segmentor.config), '--work-dir', str(work_dir)),
            *('--cfg-options', f'load_from={relu_segmentor.checkpoint}'),
            *('--act', 'FReLU', '--act-exclude', 'backbone.layer4'),
        ]
    )
    (config,) = work_dir.glob('*.py')
    return SimpleNamespace(config=config, log=log_of(work_dir), checkpoint=work_dir / 'iter_2.pth')


def test_train_starts_from_the_relu_network(trained, relu_segmentor):
    assert '13 activations replaced' in trained.log
    assert 'has no weights for the activations of this model' in trained.log
    new = torch.load(trained.checkpoint, weights_only=False)['state_dict']
    old = torch.load(relu_segmentor.checkpoint, weights_only=False)['state_dict']
    assert old.keys() < new.keys()
    added = {re.match(r'backbone\.(relu|act1|layer\d)', key)[1] for key in new.keys() - old.keys()}
    assert added >= {'layer1', 'layer2', 'layer3'}
    assert 'layer4' not in added
    assert any((new[key] != 0).any() for key in new if key.endswith('act1.norm.weight'))


def test_test_takes_old_weights_and_gives_the_old_result(relu_segmentor, tmp_path):
    """With the identity initialisation, the FReLU network equals the ReLU network."""
    test = tiny_project.load_tool('test.py').main
    logs = []
    for name, options in (('old', ()), ('new', ('--act', 'FReLU'))):
        work_dir = tmp_path / name
        test(
            [
                *(str(relu_segmentor.config), str(relu_segmentor.checkpoint)),
                *('--work-dir', str(work_dir), *options),
                # Both runs may begin in the same second, and MMEngine keeps a logger for each name.
                *('--cfg-options', f'experiment_name={name}'),
            ]
        )
        logs.append(log_of(work_dir))
    old, new = (re.search(r'aAcc: .*mIoU: .*mAcc: [\d.]+', log)[0] for log in logs)
    assert old == new
    assert "They stay at init='identity'" in logs[1]


def test_the_saved_config_is_enough(trained):
    """mmseg's own API, which does not know --act, loads the model from the saved config."""
    from mmseg.apis import init_model

    cfg = Config.fromfile(trained.config)
    assert 'mm_frelu' in cfg.custom_imports.imports
    model = init_model(cfg, str(trained.checkpoint), device='cpu')
    assert model.train_cfg is None
    weights = torch.load(trained.checkpoint, weights_only=False)['state_dict']
    name = 'backbone.layer2.0.act1.norm.weight'
    assert torch.equal(model.state_dict()[name], weights[name])


def test_get_flops_counts_the_windows_and_says_where_they_are(relu_segmentor, capsys, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.replacement.replace.print_log', lambda text, **_: said.append(text)
    )
    tiny_project.load_tool('analysis_tools/get_flops.py').main(
        [str(relu_segmentor.config), '--shape', '64', '128', '--act', 'FReLU']
    )
    assert '17 FReLU' in capsys.readouterr().out
    assert len(said) == 1
    assert '17 activations replaced' in said[0]


def test_pictures_of_the_baseline_and_the_other(trained, relu_segmentor, street_scenes, tmp_path):
    """Both models have the same config, and --act changes one of them."""
    draw = tiny_project.load_tool('visualize_segmentation.py')
    image = next((street_scenes / 'leftImg8bit/val').rglob('*.png'))
    config, out = str(relu_segmentor.config), tmp_path / 'pictures'
    draw.main(
        [
            *('--images', str(image), '--out', str(out), '--device', 'cpu'),
            *('--model', 'ReLU', config, str(relu_segmentor.checkpoint)),
            *('--model', 'FReLU', config, str(trained.checkpoint)),
            *('--act', 'FReLU', '--act-exclude', 'backbone.layer4', '--act-models', 'FReLU'),
        ]
    )
    assert len(list(out.rglob('*.png'))) == 1


def test_act_models_must_be_models(capsys):
    draw = tiny_project.load_tool('visualize_segmentation.py')
    model = ('--model', 'A', 'a.py', 'a.pth')
    with pytest.raises(SystemExit):
        draw.parse_args(['--images', 'x', '--out', 'y', *model, '--act-models', 'B'])
    assert "no model is called 'B'; there are A" in capsys.readouterr().err


def test_a_pattern_without_a_match_ends_with_a_sentence(relu_segmentor, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tiny_project.load_tool('train.py').main(
            [
                *(str(relu_segmentor.config), '--work-dir', str(tmp_path)),
                *('--act', 'FReLU', '--act-include', 'backbone.layr3'),
            ]
        )
    error = capsys.readouterr().err
    assert "error: include 'backbone.layr3' matches none of the" in error
    assert 'backbone.layer3' in error


def test_the_config_of_the_docs(tmp_path):
    """The config of the docs, unchanged, on top of mmdet's own Faster R-CNN, whose parts keep their names."""
    from mm_frelu.engine.arguments import read_config
    from mm_frelu.engine.model_builder import build_model

    page = (tiny_project.REPOSITORY / 'docs/any_config.md').read_text()
    (text,) = re.findall(r'^```python\n(.*?)^```', page, flags=re.MULTILINE | re.DOTALL)
    config = tmp_path / 'mine.py'
    config.write_text(text)
    cfg = read_config(str(config))
    assert cfg.model.backbone.depth == 50
    model = build_model(cfg)
    assert type(model).__name__ == 'FasterRCNN'
    (report,) = model.replaced_activations.reports
    stages = {site.name.split('.')[1] for site in report.replaced}
    assert stages == {'layer2', 'layer3'}  # mmdet freezes layer1, and the config leaves layer4 out
