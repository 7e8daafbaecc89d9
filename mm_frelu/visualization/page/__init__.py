"""One self-contained HTML page over many images and models; it knows nothing of what the models predict."""

from .writer import MAX_SIDE, Layer, PageClass, PageImage, PageWriter, shown_size

__all__ = ['MAX_SIDE', 'Layer', 'PageClass', 'PageImage', 'PageWriter', 'shown_size']
