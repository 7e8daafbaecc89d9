"""What stands between a config and MMEngine's Runner: guards, launchers and the messages they give.

Importing it registers the hooks. The modules that the tools call (``launch``, ``arguments``, ``test_options``) are imported
by name, because they reach further.
"""

from .checkpoint_guard import CheckpointGuardHook
from .errors import UserError, exit_on_user_error
from .read_errors import NamingLoader
from .validation_history import ValidationHistoryHook

__all__ = [
    'CheckpointGuardHook',
    'NamingLoader',
    'UserError',
    'ValidationHistoryHook',
    'exit_on_user_error',
]
