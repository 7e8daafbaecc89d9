"""Replace the activations of any model: find the sites where it applies one, and put another activation there."""

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
