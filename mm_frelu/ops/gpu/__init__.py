"""Activations by Triton kernels, on CUDA GPUs."""

from .backend import BACKEND

__all__ = ['BACKEND']
