"""A CheckpointHook that always leaves an intact checkpoint on disk, even if the process is killed.

MMEngine's hook removes the oldest checkpoint first and then writes the new one in place. A process killed in between leaves
too few checkpoints, or a truncated one under the final name. With ``max_keep_ckpts=1`` the run is lost.
"""

import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from mm_frelu.registry import HOOKS

from .errors import UserError
from .resume_file import name_pattern
from .validation_due import validation_follows
from .write_file import write_file

_PARTIAL = '.checkpoint.partial'
_DUE = 'validation_due'
_TO_REMOVE = 'checkpoints_to_remove'


@register_backend('mm_frelu_whole_files')
class WholeFileBackend(LocalBackend):
    """MMEngine's backend for local files, with atomic writes."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes to a temporary file in the same folder, flush it to disk, then move it to its final name.

        Raises:
            UserError: When writing fails. An existing file is then unchanged.
        """
        with write_file(filepath, 'wb', suffix=_PARTIAL, durable=True) as stream:
            stream.write(obj)


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Save checkpoints in an order that is safe if the process is killed at any time.

    First the new checkpoint is written to a temporary name and moved. Then ``last_checkpoint`` is updated. Then older checkpoints are
    removed. If validation follows a step, its checkpoint is written before the validation and again after it, so that it has the
    metrics. A run that was stopped in between validates first when it is resumed.

    If ``out_dir`` is not a local folder, only this order differs from MMEngine's hook.

    Args:
        *args: Arguments of MMEngine's hook.
        **kwargs: Keyword arguments of MMEngine's hook.
    """

    # Attributes of the parent, which has no types.
    file_backend: Any
    backend_args: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._validating = False
        self._saved_step: Optional[int] = None
        self._best_changed = False

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, remove temporary files of a killed process, and run the validation that it missed."""
        super().before_train(runner)
        if isinstance(self.file_backend, LocalBackend):
            if self.backend_args is None:
                self.backend_args = dict(backend='mm_frelu_whole_files')
            if is_main_process():
                for folder in (self.out_dir, runner.work_dir):
                    _remove_partial_files(Path(folder))
        self.file_backend = _RemoveLater(self.file_backend, str(self.out_dir))
        if runner.iter == 0:
            return
        for path in runner.message_hub.runtime_info.get(_TO_REMOVE, ()):
            if self._is_own_name(Path(path).name):
                self._remove(path)
        self.file_backend.remove_now()
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        if runner.message_hub.runtime_info.get(_DUE) and runner.val_loop is not None:
            self._saved_step = self._step(runner)
            runner.logger.info(
                'The run was stopped before the validation of this step finished. Validating now.'
            )
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: Dict[str, Any]) -> None:
        """Save the best checkpoint. :meth:`after_val` saves the last one again, after all hooks have received the metrics.

        Raises:
            UserError: When ``save_best`` names a metric that the evaluator does not compute.
        """
        unknown = [name for name in self.save_best or () if name not in (*metrics, 'auto')]
        if unknown and metrics:
            raise UserError(
                f'default_hooks.checkpoint.save_best={unknown[0]!r}: validation computes no such metric, but '
                f'{", ".join(metrics)}. Use one of them, and continue with --resume.'
            )
        self._validating = True
        try:
            super().after_val_epoch(runner, metrics)
        finally:
            self._validating = False

    def after_val(self, runner: Runner) -> None:
        """Save the step's checkpoint again, with its metrics, and remove the previous best checkpoint."""
        if not isinstance(getattr(self, 'file_backend', None), _RemoveLater):
            return  # validation without training
        step = self._step(runner)
        if self._best_changed or self._saved_step == step:
            self._best_changed = False
            runner.message_hub.update_info(_DUE, False)
            self._write(runner, step, dict(epoch=runner.epoch, iter=runner.iter))
        self.file_backend.remove_now()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Dict[str, Any]) -> None:
        if self._validating:
            self._best_changed = True
            return
        runner.message_hub.update_info(_DUE, validation_follows(runner, step, self.by_epoch))
        self._write(runner, step, meta)
        self.file_backend.remove_now()

    def _write(self, runner: Runner, step: int, meta: Dict[str, Any]) -> None:
        """Write the checkpoint of a step, then its name to ``last_checkpoint``. Older ones are marked for removal."""
        self._saved_step = step
        if self.max_keep_ckpts > 0 and list(self.keep_ckpt_ids)[-1:] != [step]:
            for old in [*self.keep_ckpt_ids, step][: -self.max_keep_ckpts]:
                self._remove(self._path(old))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        # A run that is killed before it can remove them does so when it is resumed from this checkpoint.
        runner.message_hub.update_info(_TO_REMOVE, list(self.file_backend.removals))
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            pointer = Path(runner.work_dir) / 'last_checkpoint'
            with write_file(pointer, suffix=_PARTIAL, durable=True) as stream:
                stream.write(str(self.last_ckpt))

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints
            self.file_backend.rmtree(path)

    def _is_own_name(self, name: str) -> bool:
        """Whether this hook gives such names. A checkpoint from elsewhere must not be able to remove other files."""
        return re.fullmatch(rf'(best_.+_)?{name_pattern(self.filename_tmpl)}', name) is not None

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _step(self, runner: Runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter


class _RemoveLater:
    """File backend that delays removals until :meth:`remove_now`, and removes only files of one folder.

    A run that was resumed from another folder still knows the best checkpoint there, and would otherwise remove it for a better one.
    """

    def __init__(self, backend: Any, folder: str) -> None:
        self.backend = backend
        self.folder = Path(folder)
        self.removals: Dict[str, Callable[[str], None]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def isfile(self, path: str) -> bool:
        return Path(path).parent == self.folder and self.backend.isfile(path)

    def isdir(self, path: str) -> bool:
        return Path(path).parent == self.folder and self.backend.isdir(path)

    def remove(self, path: str) -> None:
        self.removals[path] = self.backend.remove

    def rmtree(self, path: str) -> None:
        self.removals[path] = self.backend.rmtree

    def remove_now(self) -> None:
        """Carry out the delayed removals."""
        for path, remove in self.removals.items():
            remove(path)
        self.removals.clear()


def _remove_partial_files(folder: Path) -> None:
    """Remove the temporary checkpoint files that a killed process left."""
    for file in folder.glob(f'.*{_PARTIAL}'):
        if re.fullmatch(r'\.[0-9a-f]{16}' + re.escape(_PARTIAL), file.name):
            file.unlink(missing_ok=True)
