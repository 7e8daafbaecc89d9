"""Where a figure of a tool goes: a file of a format that Matplotlib writes, or a window where there is a screen."""

import os
from pathlib import Path
from typing import Union

from mm_frelu.engine.errors import UserError
from mm_frelu.engine.write_file import require_target

from .comparison import FORMATS


def require_figure_file(option: str, path: Union[str, Path]) -> None:
    """Refuse a name that a figure cannot be written to, before anything is computed.

    Raises:
        UserError: For an ending that Matplotlib has no format for, and where no file can be written.
    """
    if Path(path).suffix.lower()[1:] not in FORMATS:
        endings = ', '.join(f'.{kind}' for kind in FORMATS)
        raise UserError(f'{option} {path}: a figure ends in {endings}. Give another name.')
    require_target(option, path)


def require_screen(option: str) -> None:
    """Refuse an option that opens a window where there is no screen.

    Raises:
        UserError: Without a display.
    """
    if os.name == 'posix' and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise UserError(
            f'{option}: there is no screen here (DISPLAY is not set). Look at the files instead.'
        )


def show_picture(path: Union[str, Path], seconds: float = 0) -> None:
    """Show a PNG in a window, until it is closed or for some seconds."""
    from matplotlib import image, pyplot

    figure, axes = pyplot.subplots(layout='constrained')
    axes.imshow(image.imread(path))
    axes.set_axis_off()
    pyplot.show(block=not seconds)
    if seconds:
        pyplot.pause(seconds)
    pyplot.close(figure)
