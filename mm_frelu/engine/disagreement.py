"""Report weights that were trained with other preprocessing, or with another ResNet style, than the config has."""

from typing import Any, Dict, Optional

from torch import nn

from . import preprocessing


def disagreement(
    source: str,
    checkpoint: Dict[str, Any],
    cfg: Dict[str, Any],
    model: nn.Module,
    place: str = 'model',
) -> Optional[str]:
    """Compare the preprocessing and the ResNet style that a checkpoint records with a config and a model.

    Args:
        source: Name of the checkpoint, for the message.
        checkpoint: Its ``meta`` is read.
        cfg: The whole config.
        model: The model, or the backbone that takes the weights.
        place: Config key of ``model``.

    Returns:
        A message with both sides and the keys to write; None if they agree or the checkpoint records nothing.
    """
    kinds, theirs, ours, fixes = [], [], [], []
    trained, current = preprocessing.of_checkpoint(checkpoint), preprocessing.of_config(cfg)
    if trained and current and trained.differs(current):
        kinds.append('Preprocessing')
        theirs.append(f'on {trained}')
        ours.append(f'feeds {current}')
        fixes.append(trained.as_setting(cfg.get('default_scope')))
    style, own = preprocessing.style_of_checkpoint(checkpoint), _style_of(model)
    if style and own and style != own:
        kinds.append('Style')
        theirs.append(f'with style={style!r}')
        ours.append(f'has style={own!r}')
        backbone = place if hasattr(model, 'style') else f'{place}.backbone'
        fixes.append(f'{backbone}.style = {style!r}')
    if not kinds:
        return None
    verb = 'differs' if len(kinds) == 1 else 'differ'
    return (
        f'{" and ".join(kinds).capitalize()} {verb}: {source} was trained {" and ".join(theirs)}, this config '
        f'{" and ".join(ours)}. Write {" and ".join(fixes)}, or use weights that were trained with your settings.'
    )


def _style_of(model: nn.Module) -> Optional[str]:
    """Return the style of a ResNet, the position of the stride in its bottlenecks; None for networks without bottlenecks."""
    backbone = model if hasattr(model, 'style') else getattr(model, 'backbone', None)
    style = getattr(backbone, 'style', None)
    has_bottlenecks = getattr(backbone, 'depth', 50) >= 50
    return style if isinstance(style, str) and has_bottlenecks else None
