"""Data: generated street scenes for demo and tests."""

from .street_scenes import generate_street_scenes

__all__ = ['generate_street_scenes']
