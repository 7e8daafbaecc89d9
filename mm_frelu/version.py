"""The version of mm_frelu."""

__version__ = '0.1.0'
