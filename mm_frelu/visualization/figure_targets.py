"""Check that a figure can be written to a file or shown in a window."""

import os
from pathlib import Path
from typing import Union

from mm_frelu.engine.errors import UserError
from mm_frelu.engine.write_file import require_target

from .comparison import FORMATS


def require_figure_file(option: str, path: Union[str, Path]) -> None:
    """Raises if a figure cannot be written to this file, before anything is computed.

    Raises:
        UserError: If the ending is not a supported format, or the file cannot be written.
    """
    if Path(path).suffix.lower()[1:] not in FORMATS:
        endings = ', '.join(f'.{kind}' for kind in FORMATS)
        raise UserError(
            f'{option} {path}: the name of a figure must end in {endings}. Give another name.'
        )
    require_target(option, path)


def require_screen(option: str) -> None:
    """Raises if an option would open a window and there is no display.

    Raises:
        UserError: If there is no display.
    """
    if os.name == 'posix' and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise UserError(
            f'{option}: there is no display (DISPLAY is not set). Open the files instead.'
        )


def show_picture(path: Union[str, Path], seconds: float = 0) -> None:
    """Shows a PNG in a window, for some seconds or until it is closed."""
    from matplotlib import image, pyplot

    figure, axes = pyplot.subplots(layout='constrained')
    axes.imshow(image.imread(path))
    axes.set_axis_off()
    pyplot.show(block=not seconds)
    if seconds:
        pyplot.pause(seconds)
    pyplot.close(figure)
