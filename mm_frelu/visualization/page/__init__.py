"""Self-contained HTML page for many images and models. It does not depend on what the models predict."""

from .writer import MAX_SIDE, Layer, PageClass, PageImage, PageWriter, shown_size

__all__ = ['MAX_SIDE', 'Layer', 'PageClass', 'PageImage', 'PageWriter', 'shown_size']
