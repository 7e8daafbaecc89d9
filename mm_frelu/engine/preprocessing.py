"""Compare the preprocessing that weights were trained with and the preprocessing of a config.

The official FReLU weights expect raw BGR values 0..255; torchvision's expect RGB, normalised with ImageNet's mean and std. A wrong
combination loads without an error and reduces accuracy.
"""

import ast
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation and channel order of the network's input, starting from BGR values 0..255.

    Attributes:
        mean (Tuple[float, ...]): Subtracted from each channel, in the channel order of the input.
        std (Tuple[float, ...]): Divisor of each channel.
        rgb (bool): Whether the input is RGB (``bgr_to_rgb=True``) instead of BGR.
    """

    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    rgb: bool

    def __str__(self) -> str:
        return (
            f'{"RGB" if self.rgb else "BGR"} with mean={_short(self.mean)}, std={_short(self.std)}'
        )

    def as_config(self) -> str:
        """Return the keys to write into ``model.data_preprocessor``."""
        return f'mean={_short(self.mean)}, std={_short(self.std)}, bgr_to_rgb={self.rgb}'

    def as_setting(self, scope: Optional[str] = None) -> str:
        """Return the config line for this preprocessing. mmpretrain has its own place and key name for it."""
        if scope == 'mmpretrain':
            return f'data_preprocessor = dict(..., {self.as_config()})'.replace(
                'bgr_to_rgb', 'to_rgb'
            )
        return f'model.data_preprocessor = dict(..., {self.as_config()})'

    def as_dict(self) -> Dict[str, Any]:
        """Return the ``preprocessing`` entry of a checkpoint's ``meta``."""
        return dict(mean=list(self.mean), std=list(self.std), bgr_to_rgb=self.rgb)

    def differs(self, other: 'Preprocessing', tolerance: float = 0.01) -> bool:
        """Whether the two differ by more than ``tolerance``, which allows for rounded values in configs (range 0..255)."""
        pairs = list(zip(self.mean + self.std, other.mean + other.std))
        return self.rgb != other.rgb or any(abs(a - b) > tolerance for a, b in pairs)


def from_dict(cfg: Any) -> Optional[Preprocessing]:
    """Read a ``data_preprocessor`` config, or the ``preprocessing`` entry that a converter writes.

    Args:
        cfg (Any): A dict with the keys ``mean``, ``std`` (default: 0 and 1) and one of ``bgr_to_rgb``, ``to_rgb`` (mmpretrain),
            ``channel_order='rgb' | 'bgr'``.

    Returns:
        Preprocessing, optional: None if ``cfg`` is not such a dict, is empty or does not have three channels.
    """
    if not isinstance(cfg, dict) or not cfg:
        return None
    try:
        mean = tuple(float(value) for value in cfg.get('mean') or (0.0,))
        std = tuple(float(value) for value in cfg.get('std') or (1.0,))
    except (TypeError, ValueError):  # the meta of a checkpoint from elsewhere may hold anything
        return None
    mean, std = (values * 3 if len(values) == 1 else values for values in (mean, std))
    if len(mean) != 3 or len(std) != 3:
        return None
    order = str(cfg.get('channel_order', '')).lower()
    rgb = bool(cfg.get('bgr_to_rgb') or cfg.get('to_rgb') or order == 'rgb')
    return Preprocessing(mean, std, rgb)


def of_config(cfg: Dict[str, Any]) -> Optional[Preprocessing]:
    """Return the preprocessing of a loaded config: the model's own, otherwise the top-level default."""
    return from_dict(find_config(cfg))


def find_config(cfg: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Return the config of the data preprocessor: the model's own, otherwise the top-level default."""
    return find_entry(cfg.get('model'), 'data_preprocessor') or cfg.get('data_preprocessor')


def of_checkpoint(checkpoint: Dict[str, Any]) -> Optional[Preprocessing]:
    """Return the preprocessing that a checkpoint was trained with, if it is recorded.

    A converter's ``meta['preprocessing']`` comes first, then the config text in ``meta['cfg']``.
    """
    meta = checkpoint.get('meta') or {}
    recorded = from_dict(meta.get('preprocessing'))
    return recorded if recorded is not None else of_config(recorded_config(meta))


def style_of_checkpoint(checkpoint: Dict[str, Any]) -> Optional[str]:
    """Return the ResNet style of a checkpoint, ``'pytorch'`` or ``'caffe'``, if it is recorded.

    A converter's ``meta['backbone']`` comes first, then the config text in ``meta['cfg']``.
    """
    meta = checkpoint.get('meta') or {}
    backbone = meta.get('backbone')
    if not isinstance(backbone, dict):
        backbone = find_entry(recorded_config(meta).get('model'), 'backbone')
    style = (backbone or {}).get('style')
    return style if isinstance(style, str) else None


def recorded_config(meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return the settings in the config text that MMEngine stores in ``meta['cfg']``: literals only, empty without such a text.

    The text is parsed, never executed, because checkpoints may be untrusted.
    """
    if not isinstance(meta.get('cfg'), str):
        return {}
    try:
        return {
            node.targets[0].id: _literal(node.value)
            for node in ast.parse(meta['cfg']).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError):
        return {}


def find_entry(cfg: Any, key: str) -> Optional[Dict[str, Any]]:
    """Return the first dict with that key in a config. Wrappers (TTA, ReplaceActivation) nest the model."""
    if not isinstance(cfg, dict):
        return None
    if isinstance(cfg.get(key), dict):
        return cfg[key]
    for value in cfg.values():
        found = find_entry(value, key)
        if found is not None:
            return found
    return None


def _literal(node: ast.AST) -> Any:
    """Evaluate the literals of a dumped config, where a dict is written ``dict(key=value)``; None for the rest."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {item.arg: _literal(item.value) for item in node.keywords if item.arg}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _short(values: Tuple[float, ...]) -> str:
    return '[' + ', '.join(f'{value:g}' for value in values) + ']'
