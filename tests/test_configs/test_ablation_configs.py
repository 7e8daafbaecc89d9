"""configs/ablations: each row of the README is its file, builds, has its parameters and computes what it says."""

import argparse
import re
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Union

import pytest
import torch
from config_files import ROOT, load
from funnel_formulas import avg_pool, larger, max_pool, norm, randomise, window
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from test_config_baselines import differences
from torch import Tensor, nn

from mm_frelu.activations import DynamicReLU, FReLUAblation
from mm_frelu.analysis.classifier import classifier_cost
from mm_frelu.backbones import SqueezeExcitation

FOLDER = ROOT / 'configs/ablations'
README = (FOLDER / 'README.md').read_text()
IMAGENET = ROOT / 'configs/imagenet'
DW_RELU = 'resnet50-frelu-dw-relu_8xb32_in1k.py'
WORDS = {file: words for words, file in re.findall(r'\| `(.+)` \| \[config\]\((.+)\) \|', README)}
DY_RELU_WORDS = re.findall(r'\| `(act_cfg=.*DyReLU.*)` \|\n', README)

all_rows = pytest.mark.parametrize('file', sorted(WORDS))


class Row(NamedTuple):
    """What a file's name promises."""

    formula: Callable[[Tensor, nn.Module], Tensor]
    added: Union[
        int, Callable[[str, int], int]
    ]  # parameters per channel of a site, or of a site by name and channels
    where: str = r'(?!layer4\.).+'  # sites with the activation; layer4 of ResNet keeps ReLU
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
    """Light FReLU, summed, with statistics over this number of groups of channels (None: one for each channel)."""
    return light(torch.add, lambda x, layer: norm(x, layer, groups or x.shape[1]))


def dw_relu(x, act):
    condition = norm(window(x, act.conv.weight, act.conv.bias), act.norm)
    return torch.where(condition > 0, condition, torch.zeros_like(condition))


def prelu(x, act):
    return torch.where(x > 0, x, act.weight.view(1, -1, 1, 1) * x)


def leaky(slope):
    return lambda x, act: torch.where(x > 0, x, slope * x)


def hyper(x, act):
    """Two linear layers with ReLU between them, on the means of the channels: DY-ReLU's and squeeze-and-excitation's."""
    hidden = (x.mean((2, 3)) @ act.fc1.weight.T + act.fc1.bias).clamp(min=0)
    return hidden @ act.fc2.weight.T + act.fc2.bias


def se_relu(x, act):
    rectified = x.clamp(min=0)
    return rectified / (1 + torch.exp(-hyper(rectified, act)))[:, :, None, None]


def dy_relu(x, act):
    residuals = 2 / (1 + torch.exp(-hyper(x, act))) - 1
    a1, b1, a2, b2 = residuals.unflatten(1, (4, -1))[..., None, None].unbind(1)
    return larger((1 + a1) * x + b1 / 2, a2 * x + b2 / 2)


def dy_relu_c(x, act):
    scores = torch.einsum('c,nchw->nhw', act.spatial.weight.flatten(), x).flatten(1) / 10
    attention = (scores.softmax(1) * scores.shape[1] / 3).clamp(max=1)
    return dy_relu(x, act) * attention.view(len(x), 1, *x.shape[2:])


def linear_layers(outputs, reduction=8):
    """Parameters of C -> C / R -> outputs * C, or -> 4 for DY-ReLU-A."""

    def added(name, channels):
        squeezed, last = channels // reduction, outputs * channels if outputs else 4
        return (channels + 1) * squeezed + (squeezed + 1) * last

    return added


def wider_convolution(name, channels):
    """A second map: of the 1x1 that expands six times, or of the depthwise 3x3; and the norm's 2 values per channel."""
    inputs = channels // 6 if name.endswith('act1') else 9
    return channels * (inputs + 2)


MOBILENET_V2 = {
    'leaky-relu': Row(leaky(0.01), 0),
    'rrelu': Row(leaky((1 / 8 + 1 / 3) / 2), 0),
    'prelu': Row(prelu, 1),
    'relu-se': Row(se_relu, linear_layers(1)),
    'maxout': Row(lambda x, act: larger(x[:, ::2], x[:, 1::2]), wider_convolution),
    'dyrelu-a': Row(dy_relu, linear_layers(0)),
    'dyrelu-b': Row(dy_relu, linear_layers(4)),
    'dyrelu-c': Row(dy_relu_c, lambda name, channels: linear_layers(4)(name, channels) + channels),
}

# A square window of side k has k * k weights, a bias and a norm's 2 values for each channel; a light one two windows of
# k weights, with a norm each.
PROMISES = {
    'resnet50-prelu': Row(prelu, 1),
    'resnet50-silu': Row(lambda x, act: x / (1 + torch.exp(-x)), 0),
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
    'resnet50-frelu-stage2': Row(square, 12, where=r'layer[1]\..+'),
    'resnet50-frelu-stage3': Row(square, 12, where=r'layer[2]\..+'),
    'resnet50-frelu-stage4': Row(square, 12, where=r'layer[3]\..+'),
    'resnet50-frelu-stage23': Row(square, 12, where=r'layer[12]\..+'),
    'resnet50-frelu-stage34': Row(square, 12, where=r'layer[23]\..+'),
    'resnet50-frelu-after-1x1': Row(square, 12, where=r'layer[123]\..+act[13]'),
    'resnet50-frelu-after-3x3': Row(square, 12, where=r'layer[123]\..+act2'),
    'resnet50-frelu-se': Row(square, 12, reduction=32),
    'resnet50-relu-se': Row(square, 12, where='nowhere', reduction=32),
    'mobilenet-v1-075-frelu-after-1x1': Row(square, 12, where=r'.+act2'),
    'mobilenet-v1-075-frelu-after-3x3': Row(square, 12, where=r'.+act1'),
    'shufflenet-v2-050-frelu-no-norm': Row(light(torch.add, lambda x, layer: x), 2 * 3),
    'shufflenet-v2-050-frelu-ln': Row(grouped(1), 2 * 5),
    'shufflenet-v2-050-frelu-in': Row(grouped(None), 2 * 5),
    'shufflenet-v2-050-frelu-gn': Row(grouped(8), 2 * 5),
    **{
        f'mobilenet-v2-{width}-{name}': row._replace(where='.+')
        for width in ('035', '100')
        for name, row in MOBILENET_V2.items()
    },
}


class Network(NamedTuple):
    """A network of the ablations."""

    base: Path
    sites: Dict[str, int]  # name and channels of each activation behind the stem's, by hand
    small: dict  # options that make it narrow
    batch: str


def resnet_sites():
    """act3 is after the last 1x1, which is four times as wide."""
    return {
        f'layer{stage}.{block}.act{site}': 32 * 2**stage * (4 if site == 3 else 1)
        for stage, blocks in enumerate((3, 4, 6, 3), start=1)
        for block in range(blocks)
        for site in (1, 2, 3)
    }


def mobilenet_sites():
    """Table 1 of the MobileNet paper at 0.75: act1 has the width that comes in, act2 the one that goes out."""
    widths = ((48,), (96, 96), (192, 192), (384,) * 6, (768, 768))
    sites, width = {}, 24
    for stage, outputs in enumerate(widths, start=1):
        for block, output in enumerate(outputs):
            sites[f'layer{stage}.{block}.act1'], sites[f'layer{stage}.{block}.act2'] = width, output
            width = output
    return sites


def mobilenet_v2_sites(stem, *widths):
    """Table 2 of the MobileNetV2 paper: six times the width that comes in at both sites; layer1 does not expand."""
    sites, width = {}, stem
    for stage, (output, blocks) in enumerate(zip(widths, (1, 2, 3, 4, 3, 3, 1)), start=1):
        for block in range(blocks):
            for site in ('act2',) if stage == 1 else ('act1', 'act2'):
                sites[f'layer{stage}.{block}.{site}'] = width * (1 if stage == 1 else 6)
            width = output
    return sites


def shufflenet_sites():
    """The first block of a stage uses its whole input in both branches; other blocks use half of it in one branch."""
    sites, width, index = {'first_conv.2': 24, 'conv_last.2': 1024}, 24, 0
    for output, blocks in ((48, 4), (96, 8), (192, 4)):
        for block in range(blocks):
            name = f'features.{index}'
            passed = width if block == 0 else output // 2
            sites[f'{name}.branch_main.2'] = output // 2
            sites[f'{name}.branch_main.7'] = output - passed
            if block == 0:
                sites[f'{name}.branch_proj.4'] = width
            width, index = output, index + 1
    return sites


NETWORKS = {
    'resnet50': Network(
        IMAGENET / 'resnet50-frelu_8xb32_in1k.py',
        resnet_sites(),
        dict(base_channels=8),
        '8xb32',
    ),
    'mobilenet-v1': Network(
        IMAGENET / 'mobilenet-v1-075-frelu_8xb128_in1k.py',
        mobilenet_sites(),
        dict(widen_factor=0.25),
        '8xb128',
    ),
    'shufflenet': Network(
        IMAGENET / 'shufflenet-v2-050-frelu_8xb128_in1k.py', shufflenet_sites(), {}, '8xb128'
    ),
    'mobilenet-v2-035': Network(
        IMAGENET / 'mobilenet-v2-035-relu_8xb128_in1k.py',
        mobilenet_v2_sites(16, 8, 8, 16, 24, 32, 56, 112),
        dict(widen_factor=0.25),
        '8xb128',
    ),
    'mobilenet-v2-100': Network(
        IMAGENET / 'mobilenet-v2-100-relu_8xb128_in1k.py',
        mobilenet_v2_sites(32, 16, 24, 32, 64, 96, 160, 320),
        dict(widen_factor=0.25),
        '8xb128',
    ),
}


def promise(file):
    return PROMISES[file.rsplit('_', 2)[0]]


def network_of(file):
    return next(network for name, network in NETWORKS.items() if file.startswith(name))


def sites_of(file):
    """Name and channels of each site that should have the activation."""
    sites = network_of(file).sites.items()
    return {name: width for name, width in sites if re.fullmatch(promise(file).where, name)}


def build(file, **options):
    return MODELS.build({**load(FOLDER / file).model.backbone, **options})


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_readme_lists_each_file_once():
    links = re.findall(r'\[config\]\((.+)\)', README)
    assert sorted(links) == sorted(path.name for path in FOLDER.glob('*.py'))
    assert len(WORDS) == len(PROMISES) == len(links)
    for link in re.findall(r'\]\((?!https?://)([^)]+)\)', README):
        assert (FOLDER / link).exists(), link
    for file in WORDS:
        assert file.endswith(f'_{network_of(file).batch}_in1k.py')


@all_rows
def test_file_is_the_base_and_the_words(file):
    expected = load(network_of(file).base)
    expected.merge_from_dict(dict(model=dict(backbone=eval(f'dict({WORDS[file]})'))))
    assert load(FOLDER / file).model.to_dict() == expected.model.to_dict()
    assert load(FOLDER / file).model.backbone != load(network_of(file).base).model.backbone
    changed = differences(load(network_of(file).base).to_dict(), load(FOLDER / file).to_dict())
    assert {key.split('.')[2] for key in changed} <= {
        'act_cfg',
        'act_stages',
        'act_sites',
        'plugins',
    }


@all_rows
def test_computes_what_its_row_says(file):
    row = promise(file)
    model = build(file, **network_of(file).small)
    model.init_weights()
    model = randomise(model).double().eval()
    before, after = {}, {}
    for name, act in model.named_modules():
        if name in network_of(file).sites and not isinstance(act, nn.ReLU):
            act.register_forward_pre_hook(
                # A copy: SiLU works in place.
                lambda act, args, name=name: before.update({name: args[0].clone()})
            )
            act.register_forward_hook(
                lambda act, args, output, name=name: after.update({name: output})
            )
    model(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    assert set(after) == set(sites_of(file))
    for name, output in after.items():
        torch.testing.assert_close(output, row.formula(before[name], model.get_submodule(name)))


def test_prelu_is_trained_as_in_the_paper():
    """A slope for each channel, initially 0.25, without weight decay; weights do decay."""
    cfg = load(FOLDER / 'resnet50-prelu_8xb32_in1k.py')
    model = MODELS.build({**cfg.model.backbone, 'base_channels': 8})
    model.init_weights()
    decay = {
        parameter: group['weight_decay']
        for group in build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        for parameter in group['params']
    }
    slopes = [module.weight for module in model.modules() if isinstance(module, nn.PReLU)]
    assert len(slopes) == 39
    assert {slope.unique().item() for slope in slopes} == {0.25}
    assert {decay[slope] for slope in slopes} == {0.0}
    assert decay[model.conv1.weight] == cfg.optim_wrapper.optimizer.weight_decay == 1e-4


@all_rows
def test_parameters(file):
    """The parameters that the row adds to ReLU's network, counted by hand."""
    row = promise(file)
    plain = dict(act_cfg=dict(type='ReLU'), plugins=None)
    if 'plugins' not in load(FOLDER / file).model.backbone:
        del plain['plugins']
    with torch.device('meta'):
        model, baseline = build(file), build(file, **plain)
    added = row.added if callable(row.added) else lambda name, channels: row.added * channels
    expected = sum(added(name, channels) for name, channels in sites_of(file).items())
    if row.reduction:
        assert sum(isinstance(module, SqueezeExcitation) for module in model.modules()) == 16
        expected += 1_273_048  # test_squeeze_excitation.py
    assert parameters(model) - parameters(baseline) == expected


PRINTED_COSTS = re.findall(
    r'\| ([\d,]+) \| ([\d.]+) M \| .*\((?:\.\./imagenet/)?(mobilenet-v2-.+\.py)\) \|', README
)


def test_costs_are_printed_for_each_row_of_mobilenet_v2():
    assert len(PRINTED_COSTS) == 2 * (len(MOBILENET_V2) + 1)


@pytest.mark.slow
@pytest.mark.parametrize(('parameters', 'macs', 'file'), PRINTED_COSTS)
def test_printed_costs_are_counted(parameters, macs, file):
    folder = FOLDER if (FOLDER / file).exists() else IMAGENET
    cost = classifier_cost(load(folder / file).model.backbone.to_dict(), (1280, 1000))
    assert f'{cost.parameters:,}' == parameters
    assert f'{cost.macs / 1e6:.2f}' == macs


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
    model = MODELS.build(
        {**load(NETWORKS['resnet50'].base).model.backbone, **options, 'base_channels': 4}
    )
    assert torch.isfinite(model(torch.rand(2, 3, 64, 64))[-1]).all()
    acts = [module for module in model.modules() if isinstance(module, DynamicReLU)]
    assert len(acts) == 13 * len(options.get('act_sites', '123'))
    for key, value in options['act_cfg'].items():
        assert key == 'type' or {getattr(act, key) for act in acts} == {value}


def test_dy_relu_words_are_found():
    assert len(DY_RELU_WORDS) == 8


def test_sites_are_as_many_as_the_papers_networks_have():
    """39 windows of ResNet-50 have 161,280 parameters; 37 light ones of ShuffleNetV2 0.5x 29,440; MobileNetV1 has 26 sites, V2 33."""
    counts = {name: len(network.sites) for name, network in NETWORKS.items()}
    assert counts == {
        'resnet50': 39 + 9,
        'shufflenet': 37,
        'mobilenet-v1': 26,
        'mobilenet-v2-035': 33,
        'mobilenet-v2-100': 33,
    }
    resnet, shufflenet = (NETWORKS[name].sites.items() for name in ('resnet50', 'shufflenet'))
    assert 12 * sum(width for name, width in resnet if 'layer4' not in name) == 161_280
    assert 10 * sum(width for _, width in shufflenet) == 29_440
