"""What stands between a config and MMEngine's Runner: guards, launchers and the messages they give.

Importing it registers the hooks and the optimizer constructor. The modules that the tools call (``launch``, ``arguments``, ``test_options``) are imported
by name, because they reach further.
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
