"""Activation sites and their widths in each network, taken from the papers' tables, not from the code.

ResNet: He et al. 2016, table 1. ShuffleNetV2: Ma et al. 2018, table 5. MobileNetV1: Howard et al. 2017, table 1.
MobileNetV2: Sandler et al. 2018, table 2. Helper of the tests here.
"""

from typing import Dict

from config_files import Promise

BASIC, BOTTLENECK = dict(act1=1, act2=1), dict(act1=1, act2=1, act3=4)
RESNET = {
    # blocks in layer1, layer2, layer3 (layer4 keeps ReLU), and the widths of a block's sites
    18: ((2, 2, 2), BASIC),
    50: ((3, 4, 6), BOTTLENECK),
    101: ((3, 4, 23), BOTTLENECK),
}


def site_channels(name: Promise, resnet_width: int = 64) -> Dict[str, int]:
    """Return names and channels of the sites that get the activation in a config's name.

    Args:
        name: What the name says.
        resnet_width: Channels of layer1 of a ResNet; the demo's are narrow.
    """
    if name.network == 'resnet':
        return _resnet(name, resnet_width)
    return {
        'shufflenet-v2-150': _shufflenet_v2_150,
        'mobilenet-v1-075': _mobilenet_v1_075,
        'mobilenet-v2': _mobilenet_v2,
    }[name.network]()


def _resnet(name: Promise, width: int) -> Dict[str, int]:
    blocks_per_stage, sites = RESNET[name.depth]
    if name.act == 'frelu-p':
        sites = {'act2': sites['act2']}
    return {
        f'backbone.layer{stage + 1}.{block}.{site}': width * 2**stage * wide
        for stage, blocks in enumerate(blocks_per_stage)
        for block in range(blocks)
        for site, wide in sites.items()
    }


def _shufflenet_v2_150() -> Dict[str, int]:
    """The stem, two 1x1 in each of 16 blocks, and one more if both branches are computed."""
    sites, channels, block = {'backbone.first_conv.2': 24}, 24, 0
    for blocks, width in ((4, 176), (8, 352), (4, 704)):
        for index in range(blocks):
            features = f'backbone.features.{block}'
            passed = channels if index == 0 else width // 2
            sites[f'{features}.branch_main.2'] = width // 2
            sites[f'{features}.branch_main.7'] = width - passed
            if index == 0:
                sites[f'{features}.branch_proj.4'] = channels
            channels, block = width, block + 1
    return sites


def _mobilenet_v1_075() -> Dict[str, int]:
    """After the depthwise 3x3 and after the 1x1 of 13 blocks."""
    sites, channels = {}, 24
    for stage, (width, blocks) in enumerate(((48, 1), (96, 2), (192, 2), (384, 6), (768, 2))):
        for block in range(blocks):
            sites[f'backbone.layer{stage + 1}.{block}.act1'] = channels
            sites[f'backbone.layer{stage + 1}.{block}.act2'] = channels = width
    return sites


def _mobilenet_v2() -> Dict[str, int]:
    """After the expanding 1x1, which layer1 does not have, and after the depthwise 3x3 of 17 blocks."""
    table = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    sites, channels = {}, 32
    for stage, (expansion, width, blocks) in enumerate(table):
        for block in range(blocks):
            for site in ('act1', 'act2') if expansion > 1 else ('act2',):
                sites[f'backbone.layer{stage + 1}.{block}.{site}'] = channels * expansion
            channels = width
    return sites
