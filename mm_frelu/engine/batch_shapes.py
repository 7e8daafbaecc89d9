"""Check before training that the images of each validation batch have one shape.

mmseg pads batches in training, but not in validation and testing. The check reads the header of each file and runs the pipeline once for
each image size that occurs.
"""

from typing import Any, Dict, Optional, Tuple

from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from .errors import UserError

Shape = Tuple[int, ...]


def require_one_shape(loader: DataLoader, key: str, model: nn.Module) -> None:
    """Raise if a dataloader for validation or testing puts images of different shapes into one batch.

    Args:
        loader: The dataloader.
        key: Its config key, for the message.
        model: The model; only those of mmseg need one shape.

    Raises:
        UserError: With two images of one batch and their shapes.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    if type(preprocessor).__name__ != 'SegDataPreProcessor' or (loader.batch_size or 1) < 2:
        return
    sizes: Dict[int, Optional[Shape]] = {}
    shapes: Dict[Optional[Shape], Shape] = {None: ()}
    assert loader.batch_sampler is not None  # there is a batch size
    dataset: Any = loader.dataset
    for batch in loader.batch_sampler:
        for index in batch:
            sizes[index] = _size(dataset, index)
            if sizes[index] not in shapes:
                shapes[sizes[index]] = _shape(dataset, index)
        known = [index for index in batch if sizes[index] is not None]
        other = [index for index in known if shapes[sizes[index]] != shapes[sizes[known[0]]]]
        if other:
            first, second = (
                f'{dataset.get_data_info(index)["img_path"]} '
                f'({"x".join(map(str, shapes[sizes[index]]))}, height x width)'
                for index in (known[0], other[0])
            )
            raise UserError(
                f'{key}.batch_size={loader.batch_size}: {first} and {second} would be in one batch, and mmseg does not '
                f'pad them in validation and testing. Use {key}.batch_size=1, or a Resize with keep_ratio=False.'
            )


def _size(dataset: Any, index: int) -> Optional[Shape]:
    """Return width and height of an image file; None if it cannot be read. Loading it reports why."""
    try:
        with Image.open(dataset.get_data_info(index)['img_path']) as image:
            return image.size
    except Exception:  # a storage backend, a rare format or a broken file
        return None


def _shape(dataset: Any, index: int) -> Shape:
    inputs = dataset[index]['inputs']
    return tuple((inputs[0] if isinstance(inputs, list) else inputs).shape[-2:])
