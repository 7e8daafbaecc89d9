"""MMEngine's CheckpointHook, safe against a kill: there is a whole checkpoint on the disk at any time.

MMEngine removes the oldest checkpoint first and then writes the new one in place, so that a process killed in between leaves
fewer checkpoints than it should, or a cut-off one under the final name. With ``max_keep_ckpts=1`` the run is lost.
"""

import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from mm_frelu.registry import HOOKS

from .validation_due import validation_follows
from .write_file import write_file

_PARTIAL = '.checkpoint.partial'
_DUE = 'validation_due'
_TO_REMOVE = 'checkpoints_to_remove'


@register_backend('mm_frelu_whole_files')
class WholeFileBackend(LocalBackend):
    """MMEngine's backend for local files; a file is there whole or not at all."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes to a temporary name in the same folder, and move the file when the disk has it.

        Raises:
            UserError: When the disk does not take it. A file that was there is as it was.
        """
        with write_file(filepath, 'wb', suffix=_PARTIAL, durable=True) as stream:
            stream.write(obj)


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """Save checkpoints in an order that a kill at any time cannot hurt.

    The new checkpoint is written to a temporary name and moved, then ``last_checkpoint`` names it, then older ones are removed.
    Where validation follows a step, its checkpoint is written before it and once more after it, so that the metrics are part of the run; a
    run that was stopped in between validates first when it is resumed.

    With an ``out_dir`` that is not a local folder, only the order differs from MMEngine's hook.

    Args:
        *args: Those of MMEngine's hook.
        **kwargs: Those of MMEngine's hook.
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
        """Prepare the folder, remove what a killed process left there, and make up for a validation that it missed."""
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
                'The run was stopped before the validation of this step ended. Validating now.'
            )
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: Dict[str, Any]) -> None:
        """Save the best checkpoint. The last one is saved again by :meth:`after_val`, when all hooks have seen the metrics."""
        self._validating = True
        try:
            super().after_val_epoch(runner, metrics)
        finally:
            self._validating = False

    def after_val(self, runner: Runner) -> None:
        """Save the step's checkpoint again, with its metrics, and remove the best checkpoint of before."""
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
        """Write the checkpoint of a step, then name it in ``last_checkpoint``; older ones are marked for removal."""
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
        step = re.escape(self.filename_tmpl).replace(re.escape('{}'), r'\d+')
        return re.fullmatch(rf'(best_.+_)?{step}', name) is not None

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _step(self, runner: Runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter


class _RemoveLater:
    """A file backend that removes nothing until it is told to, and nothing outside of one folder.

    A run that was resumed from another folder still knows the best checkpoint there, and would remove it for a better one.
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
        """Remove what was asked for."""
        for path, remove in self.removals.items():
            remove(path)
        self.removals.clear()


def _remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of checkpoints whose writing was killed."""
    for file in folder.glob(f'.*{_PARTIAL}'):
        if re.fullmatch(r'\.[0-9a-f]{16}' + re.escape(_PARTIAL), file.name):
            file.unlink(missing_ok=True)
