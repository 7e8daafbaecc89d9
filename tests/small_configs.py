"""Reduce packaged configs to a size for tests: narrow networks, small images, one step."""

from pathlib import Path

from mmengine.config import Config

SIZES = {(2048, 1024): (128, 64), (1333, 800): (128, 64), (512, 1024): (64, 128)}
OVERRIDES = dict(
    num_workers=0,
    persistent_workers=False,
    channels=8,
    feat_channels=8,
    out_channels=8,
    max_iters=1,
    max_epochs=1,
    val_interval=1,
    interval=1,
)
WIDTHS = {2048: 256, 1024: 128, 256: 8}
"""Channels of ResNet-50's stages and of the neck, with 8 channels instead of 64."""


def shrink(node):
    """Return the same settings at a size for tests."""
    if isinstance(node, dict):
        small = {key: shrink(value) for key, value in node.items()}
        if small.get('type') == 'mm_frelu.ResNet':
            small.update(base_channels=8, init_cfg=None)
        for key, value in OVERRIDES.items():
            if isinstance(small.get(key), int):
                small[key] = value
        return small
    if isinstance(node, (list, tuple)):
        if all(isinstance(value, int) for value in node):
            return SIZES.get(tuple(node), node)
        return type(node)(shrink(value) for value in node)
    return node


def write_small_config(source: Path, target: Path) -> None:
    """Write the small form of a config. The demo's networks are small already: they keep their widths, and get one step."""
    cfg = Config.fromfile(source, import_custom_modules=False)
    if 'demo' in source.name:
        cfg.train_cfg.update(max_iters=1, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
        small = cfg
    else:
        small = shrink(cfg.to_dict())
        heads = [small['model'].get(key) for key in ('decode_head', 'auxiliary_head', 'bbox_head')]
        for head in filter(None, heads):
            head['in_channels'] = WIDTHS[head['in_channels']]
        if 'neck' in small['model']:
            small['model']['neck']['in_channels'] = [32, 64, 128, 256]
        small = Config(small)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.dump(target)
