"""Read the types in a config: of datasets, metrics and the steps of a pipeline.

A type is a name, a name with a scope (``'mmdet.Resize'``) or, in configs in pure Python style, the class itself.
"""

from typing import Any, Dict, Iterator, Optional, Tuple

from mmengine.registry import Registry


def kind_of(settings: Dict[str, Any]) -> str:
    """Return the name of the class without scope; ``'None'`` if there is no type."""
    kind = settings.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def class_of(settings: Dict[str, Any], registry: Registry, scope: Optional[str]) -> Optional[type]:
    """Return the class, found in the same way as by the Runner; None for an unknown type, which the Runner reports."""
    kind = settings.get('type')
    if isinstance(kind, type):
        return kind
    with registry.switch_scope_and_registry(scope) as own:
        found = own.get(str(kind))
    return found if isinstance(found, type) else None


def steps_of(pipeline: Any) -> Iterator[Dict[str, Any]]:
    """Yield the steps of a pipeline, including those inside other steps (TestTimeAug, RandomChoice)."""
    for step in pipeline or ():
        if isinstance(step, dict):
            yield step
            yield from steps_of(step.get('transforms'))
        elif isinstance(step, (list, tuple)):
            yield from steps_of(step)


def metrics_of(cfg: Any, key: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield config key and config of each metric of an evaluator, which is one metric or a list.

    Args:
        cfg (Any): A config, or a dict with the evaluator.
        key (str): Key of the evaluator.
    """
    evaluators = cfg.get(key)
    several = isinstance(evaluators, (list, tuple))
    for index, metric in enumerate(evaluators if several else [evaluators]):
        if isinstance(metric, dict):
            yield f'{key}.{index}' if several else key, metric
