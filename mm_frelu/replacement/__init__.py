"""Any activation in any model: finding the places where a model applies one, and putting another there."""

from .replace import (
    Replacement,
    build_with_replaced_activations,
    log_replacements,
    replace_activations,
)

__all__ = [
    'Replacement',
    'build_with_replaced_activations',
    'log_replacements',
    'replace_activations',
]
