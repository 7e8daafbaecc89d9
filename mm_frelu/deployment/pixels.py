"""The data preprocessor of a config as the first layers of an exported network.

Mean, std, channel order and padding are inside the file: who runs it gives RGB pixels from 0 to 255 and cannot mistake the rest.
"""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F

from mm_frelu.engine import preprocessing
from mm_frelu.engine.errors import UserError


class Pixels(nn.Module):
    """Preprocess an image for the first convolution of a network.

    Args:
        pixels: Mean, std and channel order of the network.
        divisor: Height and width are padded, at the bottom and right, to multiples of it.
        pad_value: Value of the padding, which is added after mean and std.

    Attributes:
        dtype: Type that the network computes in. Mean and std are applied in single precision.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        pixels: preprocessing.Preprocessing,
        divisor: int = 1,
        pad_value: float = 0.0,
    ) -> None:
        super().__init__()
        self.rgb, self.divisor, self.pad_value = pixels.rgb, divisor, pad_value
        self.dtype = torch.float32
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(pixels, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Preprocess a batch.

        Args:
            image: RGB pixels from 0 to 255 of shape (N, 3, H, W).

        Returns:
            Normalised pixels in the order of the network, of shape (N, 3, H', W').
        """
        x = image if self.rgb else image.flip(1)
        x = (x - self.mean) / self.std
        if self.divisor > 1:
            below, right = ((-length) % self.divisor for length in x.shape[-2:])
            x = F.pad(x, (0, right, 0, below), value=self.pad_value)
        return x.to(self.dtype)


def pixels_of(cfg: Config, data_preprocessor: Any) -> Pixels:
    """Create the layers that preprocess an image like the config's data preprocessor does when testing.

    Args:
        cfg: The config.
        data_preprocessor: The module of the built model.

    Raises:
        UserError: If it does not support images of three channels, or pads all images to one size.
    """
    settings = preprocessing.find_config(cfg)
    pixels = preprocessing.from_dict(settings or dict(mean=None))
    if pixels is None:
        raise UserError(
            f'{cfg.filename}: data_preprocessor.mean and std are not those of an image with three channels. Other networks '
            'cannot be exported.'
        )
    if hasattr(data_preprocessor, 'seg_pad_val'):  # mmseg pads by another rule when testing
        padding = data_preprocessor.test_cfg or {}
        if padding.get('size'):
            raise UserError(
                f'{cfg.filename}: data_preprocessor.test_cfg.size pads every image to one size, which cannot be exported. '
                'Remove it, or use size_divisor.'
            )
        divisor, value = padding.get('size_divisor') or 1, data_preprocessor.pad_val
    else:
        divisor = getattr(data_preprocessor, 'pad_size_divisor', 1)
        value = getattr(data_preprocessor, 'pad_value', 0)
    return Pixels(pixels, int(divisor), float(value))
