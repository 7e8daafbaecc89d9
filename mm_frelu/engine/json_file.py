"""JSON files, whole or not at all."""

import json
from pathlib import Path
from typing import Any, Union

from .errors import UserError
from .write_file import write_file


def write_json(path: Union[str, Path], content: Any) -> None:
    """Write ``content`` as JSON to where ``path`` leads; see :func:`~mm_frelu.engine.write_file.write_file`."""
    with write_file(path) as stream:
        stream.write(json.dumps(content, indent=2) + '\n')


def read_json(path: Path) -> Any:
    """Read a file of :func:`write_json`.

    Raises:
        UserError: When it is not JSON any more.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(
            f'{path} is not JSON ({error}). It was changed or damaged: delete it, and what it records is done again.'
        ) from error
