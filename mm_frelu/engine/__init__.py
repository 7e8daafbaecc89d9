"""Code between a config and MMEngine's Runner: checks, hooks, command-line options and error messages.

Importing this package registers the hooks and the optimizer constructor. The modules that the tools call (``launch``, ``arguments``,
``test_options``) are not imported here, because they import much more.
"""

from .checkpoint_guard import CheckpointGuardHook
from .checkpoint_hook import CheckpointHook
from .errors import UserError, exit_on_user_error
from .read_errors import NamingTransform
from .sync_statistics import SyncStatisticsHook
from .validation_history import ValidationHistoryHook
from .weight_decay import WeightDecayConstructor

__all__ = [
    'CheckpointGuardHook',
    'CheckpointHook',
    'NamingTransform',
    'SyncStatisticsHook',
    'UserError',
    'ValidationHistoryHook',
    'WeightDecayConstructor',
    'exit_on_user_error',
]
