"""Import the packages of the extra ``export``, which training does not need."""

import importlib
from types import ModuleType

from mm_frelu.engine.errors import UserError


def require_package(name: str) -> ModuleType:
    """Import ``onnx``, ``onnxruntime`` or one of their modules.

    Raises:
        UserError: If it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{name.partition('.')[0]} cannot be imported ({error}). Install it: pip install 'mm_frelu[export]'."
        ) from error
