"""Replaces activations in any model: finds the places where it applies one, and puts another there."""

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
