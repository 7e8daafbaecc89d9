"""Read entries of a config: their type without the scope, and a value that may be one entry or a list."""

from typing import Any, Dict, List


def kind_of(entry: Dict[str, Any]) -> str:
    """Return the type of a config entry without its scope: ``IoUMetric`` for ``type='mmseg.IoUMetric'``; ``None`` without a type."""
    kind = entry.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def as_list(entries: Any) -> List[Any]:
    """Return the entries of a key that takes one entry or several, such as ``test_evaluator``."""
    return list(entries) if isinstance(entries, (list, tuple)) else [entries]
