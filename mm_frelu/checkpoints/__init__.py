"""Reading other people's weights, and writing checkpoints that say where they come from."""

from .architectures import ARCHITECTURES, Architecture
from .megengine import convert_megengine

__all__ = ['ARCHITECTURES', 'Architecture', 'convert_megengine']
