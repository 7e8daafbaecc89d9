"""Layers between a backbone and a classifier."""

from .dropout_pooling import DropoutPooling

__all__ = ['DropoutPooling']
