"""replace_activations and type='ReplaceActivation': what becomes of a model, and what is said about it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope
from small_networks import Net, images, shake
from torch import nn

import mm_frelu  # noqa: F401
from mm_frelu import FReLU, replace_activations
from mm_frelu.engine import UserError
from mm_frelu.replacement import log_replacements

WHOLE = ['*']


def test_identity_start_is_the_same_network():
    model = shake(Net()).eval()
    original = copy.deepcopy(model)
    report = replace_activations(model, dict(type='FReLU'), WHOLE)
    assert len(report.replaced) == 8
    x = images()
    for new, old in zip(model(x), original(x)):
        assert torch.equal(new, old)


def test_old_keys_stay_and_new_ones_are_predictable():
    model = Net()
    old = set(model.state_dict())
    replace_activations(model, dict(type='FReLU', bias=False, norm_cfg=None), WHOLE)
    new = set(model.state_dict())
    assert old <= new
    blocks = [f'backbone.{block}.relu.act{site}' for block in (2, 3) for site in (1, 2, 3)]
    assert new - old == {f'{site}.conv.weight' for site in ('backbone.1', *blocks, 'head.activate')}


def test_the_backbone_is_the_default():
    report = replace_activations(Net(), dict(type='SiLU'))
    assert {site.name.split('.')[0] for site in report.replaced} == {'backbone'}


@pytest.mark.parametrize(
    ('include', 'exclude', 'expected'),
    [
        (['backbone.2'], None, 3),  # a module: everything in it
        ('backbone.[23].relu.act1', None, 2),
        (['*'], ['head'], 7),
        (['*.act?'], ['*.act3'], 4),
    ],
)
def test_patterns(include, exclude, expected):
    report = replace_activations(Net(), dict(type='SiLU'), include, exclude)
    assert len(report.replaced) == expected


@pytest.mark.parametrize('option', ['include', 'exclude'])
def test_a_pattern_that_matches_nothing_names_the_nearest(option):
    with pytest.raises(UserError, match=rf"{option} 'backbone\.2\.rilu' .* backbone\.2\.relu"):
        replace_activations(Net(), dict(type='FReLU'), **{option: ['backbone.2.rilu']})


def test_norms_follow_the_model():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net())
    replace_activations(model, dict(type='FReLU'))
    assert isinstance(model.backbone[1].norm, nn.SyncBatchNorm)
    model = Net()
    replace_activations(model, dict(type='FReLU', norm_cfg=dict(type='GN', num_groups=2)))
    assert isinstance(model.backbone[1].norm, nn.GroupNorm)


@pytest.mark.parametrize('act_cfg', [dict(type='PReLU'), dict(type='DyReLUB'), dict(type='SiLU')])
def test_other_activations_go_the_same_way(act_cfg):
    model = Net()
    replace_activations(model, act_cfg, WHOLE)
    assert type(model.backbone[2].relu.act3).__name__ == act_cfg['type']
    sum(output.mean() for output in model(images())).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_an_input_that_is_changed_in_place_afterwards():
    """DDRNet adds to a tensor that it has activated; ReLU does not need it any more for backward, FReLU does."""

    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 4, 1), nn.ReLU()

        def forward(self, x):
            x = self.conv(x)
            y = self.relu(x)
            x += y
            return x

    model = shake(Adds())
    original = copy.deepcopy(model)
    replace_activations(model, dict(type='FReLU'))
    for network in (model.eval(), original.eval()):
        network(images()).square().mean().backward()
    torch.testing.assert_close(model.conv.weight.grad, original.conv.weight.grad)


def test_it_can_be_done_twice():
    model = Net()
    replace_activations(model, dict(type='FReLU'), ['backbone.2'])
    replace_activations(model, dict(type='SiLU'), ['backbone.2.relu.act1', 'backbone.3'])
    acts = model.backbone[2].relu
    assert [type(acts.act1), type(acts.act2)] == [nn.SiLU, FReLU]
    assert len(model.replaced_activations.reports) == 2
    assert list(dict(model.named_children()))[-1] == 'replaced_activations'
    model(images())


def test_nothing_replaced_is_an_error():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 4, 1), nn.ReLU()

        def forward(self, x):
            return torch.relu(self.conv(x))

    with pytest.raises(
        UserError, match=r'replaced no activation .* act \(the model never calls .* relu\(\)'
    ):
        replace_activations(Functional(), dict(type='FReLU'))


@pytest.mark.parametrize(
    ('act_cfg', 'expected'),
    [
        (
            dict(type='FReLU', kernal_size=3),
            r'at backbone\.1 \(8 channels\): .*does not take kernal_size\. Its arguments are: .*kernel_size.*act_cfg\.$',
        ),
        (dict(type='FReLU', kernel_size=4), r'kernel_size must be odd'),
        (
            dict(type='FReLU', norm_cfg=dict(type='GN', num_groups=8)),
            r'at backbone\.2\.relu\.act1 \(4 channels\): .*not divisible',
        ),
        (dict(type='FReLU', norm_cfg=dict(type='BM')), r"there is no norm 'BM'\. Use 'BN'"),
        (dict(type='DyReLUC', radius=4), r"'radius'\. DyReLUC takes .*temperature.*reduction"),
    ],
)
def test_settings_that_do_not_work_leave_the_model_as_it_was(act_cfg, expected):
    model = Net()
    before = str(model)
    with pytest.raises(UserError, match=expected):
        replace_activations(model, act_cfg)
    assert str(model) == before


def test_an_exclude_that_takes_everything_is_named():
    with pytest.raises(UserError, match=r'exclude \* removes everything that include backbone'):
        replace_activations(Net(), dict(type='FReLU'), exclude='*')


def test_a_name_is_no_config():
    with pytest.raises(TypeError, match='dict with a type, as in dict'):
        replace_activations(Net(), 'FReLU')


def test_unknown_activations_are_refused():
    with pytest.raises(ValueError, match="Unknown activation 'FRelu'. Did you mean 'FReLU'"):
        replace_activations(Net(), dict(type='FRelu'))


@pytest.fixture
def retinanet():
    """mmdet's own ResNet, frozen as in its configs."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield _retinanet()


def _retinanet():
    backbone = dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        frozen_stages=1,
        norm_eval=True,
        norm_cfg=dict(type='BN', requires_grad=True),
    )
    return dict(type='mmdet.RetinaNet', backbone=backbone, **_heads())


def _heads():
    anchors = dict(type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[8, 16, 32, 64, 128])
    return dict(
        data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
        neck=dict(
            type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, start_level=1, num_outs=5
        ),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=2,
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=anchors,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        ),
        train_cfg=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(nms_pre=10, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5)),
    )


def test_a_detector_by_config(retinanet):
    """It is the inner model, with the activations of what is not frozen, and says what it did."""
    from mmdet.models import RetinaNet

    model = MODELS.build(
        dict(type='ReplaceActivation', model=retinanet, act_cfg=dict(type='FReLU'), include=WHOLE)
    )
    assert type(model) is RetinaNet
    (report,) = model.replaced_activations.reports
    assert report.failures == []
    replaced = {site.name: site.channels for site in report.replaced}
    levels = {'bbox_head.cls_convs.0.activate': 8, 'bbox_head.reg_convs.0.activate': 8}
    expected = {
        f'backbone.layer{stage}.{block}.relu.act{site}': 8 * 2 ** (stage - 1)
        for stage in (2, 3, 4)
        for block in (0, 1)
        for site in (1, 2)
    }
    assert replaced == {**expected, **levels}
    reasons = {site.name: reason for site, reason in report.kept}
    assert reasons['backbone.relu'].startswith('frozen')
    assert reasons['bbox_head.relu'] == 'the model never calls it'
    assert next(s for s in report.replaced if s.name in levels).calls == 5

    # norm_eval fixes the statistics of the backbone's own norms, not those of the windows.
    model.train()
    block = model.backbone.layer2[0]
    assert not block.bn1.training
    assert block.relu.act1.norm.training
    model.eval()
    assert not block.relu.act1.norm.training


def test_settings_from_outside_reach_the_model(retinanet):
    """mmseg's init_model writes train_cfg=None beside the type."""
    cfg = dict(type='ReplaceActivation', model=retinanet, act_cfg=dict(type='SiLU'), train_cfg=None)
    assert MODELS.build(cfg).train_cfg is None


def test_on_the_meta_device_too(retinanet):
    with torch.device('meta'):
        model = MODELS.build(
            dict(type='ReplaceActivation', model=retinanet, act_cfg=dict(type='FReLU'))
        )
    assert len(model.replaced_activations.reports[0].replaced) == 12
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_tables(retinanet, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.replacement.replace.print_log', lambda text, **_: said.append(text)
    )
    model = MODELS.build(retinanet)
    replace_activations(model, dict(type='FReLU'), WHOLE)
    log_replacements(model)
    text = ' '.join(''.join(said).replace('│', ' ').split())
    assert '14 activations replaced' in text
    assert 'backbone.layer2.[0,1].relu.act1 2 ReLU FReLU 16 1' in text
    assert 'bbox_head.cls_convs.0.activate 1 ReLU FReLU 8 5' in text
    assert 'backbone.relu 1 ReLU frozen: a new layer could never learn' in text


class CallsFunctions(torch.nn.Module):
    """A module and a function, as tutorials of PyTorch write it."""

    def __init__(self, has_module=True):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.act = torch.nn.ReLU() if has_module else torch.nn.Identity()
        self.last = torch.nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return F.selu(F.relu(self.last(self.act(self.conv(x)))))


def test_who_calls_functions_is_told_so(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mm_frelu.replacement.replace.print_log', lambda text, **_: said.append(text)
    )
    replace_activations(torch.nn.Sequential(CallsFunctions()), dict(type='FReLU'))
    (text,) = said
    assert text.startswith('Activations that are called as functions are not replaced: ')
    assert '0 calls relu(), 0 calls selu().' in text
    assert 'nn.ReLU()' in text


def test_a_model_of_functions_only_is_refused_with_the_reason():
    with pytest.raises(UserError, match=r'replaced nothing.* the model itself calls relu\(\)'):
        replace_activations(CallsFunctions(has_module=False), dict(type='FReLU'))
    model = Net()
    model.backbone = CallsFunctions(has_module=False)
    model.head = nn.ReLU()
    with pytest.raises(UserError, match=r"include 'backbone' .* backbone calls relu\(\)"):
        replace_activations(model, dict(type='FReLU'))


def test_printing_what_was_replaced_is_the_table(capsys):
    print(replace_activations(CallsFunctions(), dict(type='FReLU')))
    lines = [
        ' '.join(line.split()) for line in capsys.readouterr().out.replace('│', ' ').splitlines()
    ]
    assert '1 activation replaced' in lines
    assert 'act 1 ReLU FReLU 4 1' in lines
    assert any('(the model itself) relu() called as a function, once' in line for line in lines)


def test_the_preprocessing_inside_the_model_wins(retinanet, monkeypatch):
    """MMEngine's Runner puts the config's default beside the type, where the model's own has gone inside."""
    said = []
    monkeypatch.setattr('mm_frelu.engine.act_options.print_log', lambda text, *_: said.append(text))
    own, default = (
        dict(type='DetDataPreprocessor', mean=[value] * 3, std=[1.0] * 3) for value in (7.0, 9.0)
    )
    cfg = dict(type='ReplaceActivation', act_cfg=dict(type='SiLU'), data_preprocessor=default)
    retinanet.pop('data_preprocessor')
    without = MODELS.build(dict(cfg, model=retinanet))
    assert without.data_preprocessor.mean.flatten().tolist() == [9.0] * 3
    assert said == []
    model = MODELS.build(dict(cfg, model=dict(retinanet, data_preprocessor=own)))
    assert model.data_preprocessor.mean.flatten().tolist() == [7.0] * 3
    assert said[0].startswith('Two data preprocessors: the one inside the model is used')


def test_other_settings_beside_the_model_are_merged_into_it(retinanet):
    cfg = dict(type='ReplaceActivation', model=retinanet, act_cfg=dict(type='SiLU'))
    model = MODELS.build(dict(cfg, test_cfg=dict(score_thr=0.5)))
    assert model.test_cfg['score_thr'] == 0.5
    assert model.test_cfg['nms_pre'] == retinanet['test_cfg']['nms_pre']
