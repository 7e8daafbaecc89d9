"""configs/ablations: each row of the README is its file, builds, has its parameters and computes what it says."""

import argparse
import re
from typing import Callable, NamedTuple, Optional

import pytest
import torch
from config_files import ROOT, load
from funnel_formulas import avg_pool, larger, max_pool, norm, randomise, window
from mmengine.config import DictAction
from mmengine.registry import MODELS
from test_config_controls import differences
from torch import Tensor, nn

from mm_frelu.activations import DynamicReLU, FReLUAblation, FunnelActivation
from mm_frelu.backbones import SqueezeExcitation

FOLDER = ROOT / 'configs/ablations'
README = (FOLDER / 'README.md').read_text()
RESNET = FOLDER / '_base_/resnet50_8xb32.py'
DW_RELU = 'resnet50-frelu-dw-relu_8xb32_in1k.py'
SHUFFLENET = FOLDER / '_base_/shufflenet-v2-0.5x_8xb128.py'
WORDS = {file: words for words, file in re.findall(r'\| `(.+)` \| \[config\]\((.+)\) \|', README)}
DY_RELU_WORDS = re.findall(r'\| `(act_cfg=.*DyReLU.*)` \|\n', README)

all_rows = pytest.mark.parametrize('file', sorted(WORDS))


class Row(NamedTuple):
    """What a file's name promises. Stages and sites are those that have a funnel activation."""

    formula: Callable[[Tensor, nn.Module], Tensor]
    added: int  # parameters for each channel of a site
    stages: str = '123'
    sites: str = '123'
    reduction: Optional[int] = None


def square(x, act):
    return larger(x, norm(window(x, act.conv.weight, act.conv.bias), act.norm))


def light(combine, each_norm):
    def formula(x, act):
        first = each_norm(window(x, act.conv1.weight, act.conv1.bias), act.norm1)
        second = each_norm(window(x, act.conv2.weight, act.conv2.bias), act.norm2)
        return larger(x, combine(first, second))

    return formula


def grouped(groups):
    """Light FReLU, summed, with statistics of so many groups of channels (None: one for each channel)."""
    return light(torch.add, lambda x, layer: norm(x, layer, groups or x.shape[1]))


def dw_relu(x, act):
    condition = norm(window(x, act.conv.weight, act.conv.bias), act.norm)
    return torch.where(condition > 0, condition, torch.zeros_like(condition))


# A square window of side k has k * k weights, a bias and a norm's 2 values for each channel; a light one two windows of
# k weights, with a norm each.
PROMISES = {
    'resnet50-frelu-max-pool': Row(lambda x, act: larger(x, max_pool(x)), 0),
    'resnet50-frelu-avg-pool': Row(lambda x, act: larger(x, avg_pool(x)), 0),
    'resnet50-frelu-sum': Row(
        lambda x, act: x + norm(window(x, act.conv.weight, act.conv.bias), act.norm), 12
    ),
    'resnet50-frelu-dw-relu': Row(dw_relu, 12),
    'resnet50-frelu-1x1': Row(square, 1 + 3),
    'resnet50-frelu-5x5': Row(square, 25 + 3),
    'resnet50-frelu-7x7': Row(square, 49 + 3),
    'resnet50-frelu-light-sum': Row(light(torch.add, norm), 2 * 5),
    'resnet50-frelu-light-max': Row(light(larger, norm), 2 * 5),
    'resnet50-frelu-stage2': Row(square, 12, stages='1'),
    'resnet50-frelu-stage3': Row(square, 12, stages='2'),
    'resnet50-frelu-stage4': Row(square, 12, stages='3'),
    'resnet50-frelu-stage23': Row(square, 12, stages='12'),
    'resnet50-frelu-stage34': Row(square, 12, stages='23'),
    'resnet50-frelu-after-1x1': Row(square, 12, sites='13'),
    'resnet50-frelu-after-3x3': Row(square, 12, sites='2'),
    'resnet50-frelu-se': Row(square, 12, reduction=32),
    'resnet50-relu-se': Row(square, 12, stages='', reduction=32),
    'shufflenet-v2-0.5x-frelu-no-norm': Row(light(torch.add, lambda x, layer: x), 2 * 3),
    'shufflenet-v2-0.5x-frelu-ln': Row(grouped(1), 2 * 5),
    'shufflenet-v2-0.5x-frelu-in': Row(grouped(None), 2 * 5),
    'shufflenet-v2-0.5x-frelu-gn': Row(grouped(8), 2 * 5),
}

RESNET_BLOCKS = {'1': 3, '2': 4, '3': 6, '4': 3}
RESNET_WIDTHS = {
    '1': 1,
    '2': 1,
    '3': 4,
}  # act3 stands behind the last 1x1, which is four times as wide
SHUFFLENET_SITES = 37
# Stem, last convolution, then the stages: the three sites of the first block, the two of each other block.
SHUFFLENET_CHANNELS = (
    24
    + 1024
    + sum((3 * width // 2 + (blocks - 1) * width) for width, blocks in ((48, 4), (96, 8), (192, 4)))
)


def promise(file):
    return PROMISES[file.rsplit('_', 2)[0]]


def is_resnet(file):
    return file.startswith('resnet50')


def base_of(file):
    return RESNET if is_resnet(file) else SHUFFLENET


def build(file, **options):
    return MODELS.build({**load(FOLDER / file).model.backbone, **options})


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_readme_lists_each_file_once():
    links = re.findall(r'\[config\]\((.+)\)', README)
    assert sorted(links) == sorted(path.name for path in FOLDER.glob('*.py'))
    assert len(WORDS) == len(PROMISES) == len(links)
    for file in WORDS:
        batch = {'resnet50': '8xb32', 'shufflenet': '8xb128'}[file.split('-')[0]]
        assert file.endswith(f'_{batch}_in1k.py')


@all_rows
def test_file_is_the_base_and_the_words(file):
    expected = load(base_of(file))
    expected.merge_from_dict(dict(model=dict(backbone=eval(f'dict({WORDS[file]})'))))
    assert load(FOLDER / file).model.to_dict() == expected.model.to_dict()
    assert load(FOLDER / file).model.backbone != load(base_of(file)).model.backbone
    changed = differences(load(base_of(file)).to_dict(), load(FOLDER / file).to_dict())
    assert {key.split('.')[2] for key in changed} <= {
        'act_cfg',
        'act_stages',
        'act_sites',
        'plugins',
    }


@all_rows
def test_computes_what_its_row_says(file):
    row = promise(file)
    model = build(file, **(dict(base_channels=8) if is_resnet(file) else {}))
    model = randomise(model).double().eval()
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, FunnelActivation):
            module.register_forward_hook(
                lambda act, args, output, name=name: seen.update({name: (act, *args, output)})
            )
    model(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    if is_resnet(file):
        assert set(seen) == {
            f'layer{stage}.{block}.act{site}'
            for stage in row.stages
            for block in range(RESNET_BLOCKS[stage])
            for site in row.sites
        }
    else:
        assert len(seen) == SHUFFLENET_SITES
    for act, x, output in seen.values():
        torch.testing.assert_close(output, row.formula(x, act))


@all_rows
def test_parameters(file):
    """What the row adds to ReLU's network, counted on paper."""
    row = promise(file)
    control_words = dict(
        act_cfg=dict(type='ReLU'), **(dict(plugins=None) if is_resnet(file) else {})
    )
    with torch.device('meta'):
        model, control = build(file), build(file, **control_words)
    channels = SHUFFLENET_CHANNELS
    if is_resnet(file):
        channels = sum(
            RESNET_BLOCKS[stage] * 64 * 2 ** (int(stage) - 1) * RESNET_WIDTHS[site]
            for stage in row.stages
            for site in row.sites
        )
    expected = channels * row.added
    if row.reduction:
        assert sum(isinstance(module, SqueezeExcitation) for module in model.modules()) == 16
        expected += 1_273_048  # test_squeeze_excitation.py
    assert parameters(model) - parameters(control) == expected


@pytest.mark.parametrize(
    ('config', 'options'),
    re.findall(r'python tools/train.py (\S+) --cfg-options (.+)', README),
    ids=['retinanet', 'pspnet'],
)
def test_commands_build_the_row_in_a_detector_and_a_segmentor(config, options):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg = load(ROOT / config)
    cfg.merge_from_dict(parser.parse_args(['--cfg-options', *options.split()]).cfg_options)
    row = 'resnet50-frelu-5x5' if 'kernel_size=5' in options else 'resnet50-frelu-dw-relu'
    with torch.device('meta'):
        model = MODELS.build({**cfg.model.backbone, 'init_cfg': None})
        expected = build(f'{row}_8xb32_in1k.py')
    shapes = {key: value.shape for key, value in expected.state_dict().items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == shapes
    words = [(act.form, act.condition) for act in model.modules() if isinstance(act, FReLUAblation)]
    assert words == ([('relu', 'window')] * 39 if 'form=relu' in options else [])


def test_identity_start_of_the_dense_configs_is_refused_in_words():
    cfg = load(ROOT / 'configs/pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py')
    cfg.merge_from_dict(dict(model=dict(backbone=eval(f'dict({WORDS[DW_RELU]})'))))
    with pytest.raises(ValueError, match="init='identity'.*Use init='paper'"):
        MODELS.build(cfg.model.backbone)


@pytest.mark.parametrize('words', DY_RELU_WORDS)
def test_dy_relu_words(words):
    options = eval(f'dict({words})')
    with torch.device('meta'):
        model = MODELS.build({**load(RESNET).model.backbone, **options})
        features = model(torch.rand(1, 3, 64, 64))
    assert features[-1].shape == (1, 2048, 2, 2)
    acts = [module for module in model.modules() if isinstance(module, DynamicReLU)]
    assert len(acts) == 13 * len(options.get('act_sites', '123'))
    for key, value in options['act_cfg'].items():
        assert key == 'type' or {getattr(act, key) for act in acts} == {value}


def test_dy_relu_words_are_found():
    assert len(DY_RELU_WORDS) == 8


@pytest.mark.parametrize('base', [RESNET, SHUFFLENET], ids=lambda path: path.stem)
def test_recipe(base):
    """The authors' training scripts (github.com/megvii-model/FunnelAct)."""
    cfg = load(base)
    light = base == SHUFFLENET
    optimizer = dict(type='SGD', lr=0.5 if light else 0.1, momentum=0.9)
    optimizer['weight_decay'] = 4e-5 if light else 1e-4
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.constructor == 'mm_frelu.WeightDecayConstructor'
    steps, batch = (300_000, 1024) if light else (600_000, 256)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler.end == steps
    assert (cfg.param_scheduler.type, cfg.param_scheduler.power) == ('PolyLR', 1.0)
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.model.head.loss.type == ('LabelSmoothLoss' if light else 'CrossEntropyLoss')
    assert cfg.custom_imports == dict(imports=['mm_frelu'], allow_failed_imports=False)


@pytest.mark.parametrize('base', [RESNET, SHUFFLENET], ids=lambda path: path.stem)
def test_whole_classifier_trains(base):
    pytest.importorskip('mmpretrain', reason='needs the extra mm_frelu[pretrain]')
    from mmpretrain.registry import MODELS as PRETRAIN_MODELS
    from mmpretrain.structures import DataSample

    cfg = load(base)
    preprocessor = dict(type='mmpretrain.ClsDataPreprocessor', **cfg.data_preprocessor)
    model = PRETRAIN_MODELS.build(dict(cfg.model, data_preprocessor=preprocessor))
    data = dict(
        inputs=[torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)],
        data_samples=[DataSample().set_gt_label(label) for label in (0, 999)],
    )
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert all(parameter.grad is not None for parameter in model.parameters())
