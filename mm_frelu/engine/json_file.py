"""JSON files that are there whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from .errors import UserError


def write_json(path: Path, content: Any) -> None:
    """Write to a name beside the target first, so that a process that is stopped leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.partial')
    partial.write_text(json.dumps(content, indent=2) + '\n')
    os.replace(partial, path)


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
