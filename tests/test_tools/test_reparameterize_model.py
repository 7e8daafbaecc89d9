"""tools/model_converters/reparameterize_model.py: folded networks that test like the trained ones."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_project
import torch
from mmengine.config import Config

from mm_frelu import FReLU
from mm_frelu.checkpoints import deploy as deploying
from mm_frelu.checkpoints.deploy_config import deploy_config

TOOL = 'model_converters/reparameterize_model.py'
SHAPE = ('--shape', '64', '128')


@pytest.fixture
def tool():
    return tiny_project.load_tool(TOOL)


def lively(checkpoint, target):
    """The same checkpoint with non-trivial norms. After two steps of training, norms are almost at their initial values, and
    those at the end of a residual branch are near zero."""
    content = torch.load(checkpoint, weights_only=False)
    generator = torch.Generator().manual_seed(0)
    for key, value in content['state_dict'].items():
        if key.rpartition('.')[0] + '.running_var' in content['state_dict'] and value.ndim:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    torch.save(content, target)
    return target


def test_of(config, checkpoint, folder, *options) -> SimpleNamespace:
    tiny_project.load_tool('test.py').main(
        [str(config), str(checkpoint), '--work-dir', str(folder), *map(str, options)]
    )
    run = next(path for path in folder.iterdir() if path.name[:2] == '20')
    return SimpleNamespace(
        metrics=json.loads((run / f'{run.name}.json').read_text()),
        log=(run / f'{run.name}.log').read_text(),
    )


test_of.__test__ = False


def fold(tool, model, tmp_path, capsys):
    trained = lively(model.checkpoint, tmp_path / 'trained.pth')
    out = tmp_path / 'folder' / 'deployed.pth'
    tool.main([str(model.config), str(trained), str(out), *SHAPE])
    printed = capsys.readouterr().out
    assert (
        'Folded 12 FReLU.' in printed
    )  # layer1 to layer3 of ResNet-18, two blocks of two sites each
    assert sorted(path.name for path in out.parent.iterdir()) == ['deployed.pth', 'deployed.py']
    content = torch.load(out, weights_only=True)
    assert content['meta']['experiment_name'].startswith('deployed_20')
    weights = content['state_dict']
    assert not [key for key in weights if '.act' in key and '.norm.' in key]
    return trained, out


def test_segmentor(tool, segmentor, tmp_path, capsys):
    trained, out = fold(tool, segmentor, tmp_path, capsys)
    before = test_of(segmentor.config, trained, tmp_path / 'before')
    after = test_of(out.with_suffix('.py'), out, tmp_path / 'after')
    scores = ('aAcc', 'mIoU', 'mAcc')
    for score in scores:
        assert after.metrics[score] == pytest.approx(before.metrics[score], abs=0.02), score
    assert before.metrics['mIoU'] > 0
    assert (
        before.metrics
        != test_of(segmentor.config, segmentor.checkpoint, tmp_path / 'other').metrics
    )
    assert 'Preprocessing differs' not in after.log
    assert Config.fromfile(out.with_suffix('.py')).model.backbone.act_cfg == dict(
        type='FReLU', norm_cfg=None, bias=True
    )


def test_detector(tool, detector, tmp_path, capsys):
    trained, out = fold(tool, detector, tmp_path, capsys)
    files = [tmp_path / 'before.pkl', tmp_path / 'after.pkl']
    before = test_of(detector.config, trained, tmp_path / 'before', '--out', files[0])
    after = test_of(out.with_suffix('.py'), out, tmp_path / 'after', '--out', files[1])
    assert after.metrics.keys() == before.metrics.keys()
    for key in before.metrics:
        if 'time' not in key:
            assert after.metrics[key] == pytest.approx(before.metrics[key], abs=0.002), key
    boxes = [pickle.loads(file.read_bytes()) for file in files]
    assert len(boxes[0]) == len(boxes[1]) == 4
    for old, new in zip(*boxes):
        old, new = old['pred_instances'], new['pred_instances']
        assert len(old['scores']) == 10
        np.testing.assert_allclose(new['scores'], old['scores'], rtol=1e-4)
        np.testing.assert_allclose(new['bboxes'], old['bboxes'], atol=0.05)


def test_nothing_to_fold(tool, relu_segmentor, tmp_path, capsys):
    refuses(tool, capsys, relu_segmentor, relu_segmentor.checkpoint, tmp_path, 'nothing to fold')


def test_folding_twice_is_refused(tool, segmentor, tmp_path, capsys):
    _, out = fold(tool, segmentor, tmp_path, capsys)
    deployed = SimpleNamespace(config=out.with_suffix('.py'))
    refuses(tool, capsys, deployed, out, tmp_path, 'nothing to fold')


def test_checkpoint_of_another_model(tool, segmentor, detector, tmp_path, capsys):
    refuses(tool, capsys, segmentor, detector.checkpoint, tmp_path, 'another architecture')


def test_relu_checkpoint_in_frelu_model(tool, segmentor, relu_segmentor, tmp_path, capsys):
    refuses(tool, capsys, segmentor, relu_segmentor.checkpoint, tmp_path, 'another activation')


def test_difference_is_refused_before_saving(tool, segmentor, tmp_path, capsys, monkeypatch):
    """A wrong result must not be saved: here one bias is changed after folding."""
    honest = deploying.fold

    def careless(model):
        counts = honest(model)
        model.backbone.layer1[0].act1.conv.bias.data += 0.1
        return counts

    monkeypatch.setattr(deploying, 'fold', careless)
    # The residual branch with this activation has almost no effect after this training. The difference must still be detected.
    refuses(tool, capsys, segmentor, segmentor.checkpoint, tmp_path, 'nothing is saved')


def test_existing_files_are_kept(tool, segmentor, tmp_path, capsys):
    """Also the config beside it: OUT in a folder of configs would overwrite the one of the training."""
    for name in ('a.pth', 'a.py'):
        (tmp_path / name).write_text('mine')
        arguments = [segmentor.config, segmentor.checkpoint, tmp_path / 'a.pth']
        with pytest.raises(SystemExit):
            tool.main([str(argument) for argument in arguments])
        assert f'{name} exists already' in capsys.readouterr().err
        assert (tmp_path / name).read_text() == 'mine'
        (tmp_path / name).unlink()


def refuses(tool, capsys, model, checkpoint, folder, message):
    out = folder / 'out' / 'deployed.pth'
    with pytest.raises(SystemExit) as error:
        tool.main([str(model.config), str(checkpoint), str(out), *SHAPE])
    assert error.value.code == 1
    assert message in capsys.readouterr().err
    assert not out.parent.exists()


def model_config(**backbone) -> Config:
    backbone = dict(type='mm_frelu.ResNet', depth=18, **backbone)
    return Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder', backbone=backbone)))


def test_config_gets_the_activation_that_the_backbone_takes_by_default():
    backbone = deploy_config(model_config()).model.backbone
    assert backbone.act_cfg == dict(type='FReLU', norm_cfg=None, bias=True)
    assert 'base_act_cfg' not in backbone


def test_config_keeps_what_cannot_be_folded_and_what_else_is_set():
    act = dict(type='LightFReLU', kernel_size=5, combine='max')
    cfg = model_config(act_cfg=act, norm_cfg=dict(type='GN', num_groups=2))
    assert deploy_config(cfg).model.backbone.act_cfg == act
    cfg = model_config(
        act_cfg=dict(act, norm_cfg=dict(type='SyncBN')), norm_cfg=dict(type='GN', num_groups=2)
    )
    assert deploy_config(cfg).model.backbone.act_cfg == dict(act, norm_cfg=None, bias=True)
    assert cfg.model.backbone.act_cfg.norm_cfg == dict(type='SyncBN')


def test_config_fetches_no_weights():
    cfg = model_config(init_cfg=dict(type='Pretrained', checkpoint='https://nowhere/a.pth'))
    assert deploy_config(cfg).model.backbone.init_cfg is None


def test_norms_that_compute_from_the_input_stay():
    layers = torch.nn.Sequential(
        FReLU(4), FReLU(4, norm_cfg=dict(type='GN', num_groups=2)), FReLU(4, norm_cfg=None)
    )
    assert deploying.fold(layers) == dict(FReLU=1)


def test_largest_difference():
    ones = torch.ones(3)
    assert deploying.largest_difference([2 * ones], [2 * ones]) == 0
    assert deploying.largest_difference([2 * ones, ones], [2 * ones, ones + 0.5]) == 0.5
    assert not deploying.largest_difference([ones, ones], [ones / 0 * 0, ones]) <= 1


def test_a_full_disk_leaves_nothing(tool, segmentor, tmp_path, capsys, monkeypatch):
    def full(content, stream):
        raise RuntimeError('unexpected pos 64 vs 0')  # torch's words for it

    monkeypatch.setattr('mm_frelu.checkpoints.files.torch.save', full)
    out = tmp_path / 'deployed.pth'
    with pytest.raises(SystemExit):
        tool.main([str(segmentor.config), str(segmentor.checkpoint), str(out), *SHAPE])
    assert 'cannot be written (unexpected pos 64 vs 0)' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
