"""Read JSON files, and write them atomically."""

import json
from pathlib import Path
from typing import Any, Union

from .errors import UserError
from .write_file import write_file


def write_json(path: Union[str, Path], content: Any) -> None:
    """Write ``content`` to ``path`` as JSON, with :func:`~mm_frelu.engine.write_file.write_file`."""
    with write_file(path) as stream:
        stream.write(json.dumps(content, indent=2) + '\n')


def read_json(path: Path) -> Any:
    """Read a file that :func:`write_json` wrote.

    Raises:
        UserError: When it is no longer valid JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(
            f'{path} is not valid JSON ({error}). It was changed or damaged. Delete it; its results are then computed again.'
        ) from error
