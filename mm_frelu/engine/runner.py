"""MMEngine's Runner, at ease on a machine without a GPU or without a launcher."""

from typing import Any, Dict, Optional, Union

import torch
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mm_frelu.datasets.check_dataset import leaf_datasets

from .annotation_ids import number_annotations
from .batch_shapes import require_one_shape
from .checkpoint_guard import unwrap
from .checkpoint_pretrained import watch_pretrained
from .errors import UserError
from .read_errors import name_files
from .step_seeds import seed_batches, seed_iteration


class GuardedRunner(Runner):
    """Runner that names unreadable files and lets SyncBN models run on CPUs.

    It differs from its parent only where the parent would fail or be silent:

    - SyncBN needs a GPU per process. With one process the parent turns it into BN; here that also happens for several
      processes on CPUs (gloo), and one log line says how many layers it was.
    - The transforms of every dataset name the file that they failed on, and the batch that is worked on is remembered.
    - A dataloader without anything to load is an error, and one for validation whose batches could not be stacked.
    - Annotation ids that pycocotools misreads are given numbers, for the metric alone.
    - Pretrained weights of ``init_cfg`` are compared with the part of the model that takes them.
    - Random numbers of a training step do not depend on the steps before it, so that a resumed run repeats them.
    """

    batch: Any = None
    _train_dataloader: Any  # of the parent: settings, or the dataloader once it is built

    def _init_model_weights(self) -> None:
        """Initialise the weights, and say what did not fit of those that ``init_cfg`` names."""
        with watch_pretrained(self.model, self.cfg):
            super()._init_model_weights()

    def wrap_model(self, model_wrapper_cfg: Optional[Dict], model: nn.Module) -> nn.Module:
        """Wrap the model for the launcher, with BN in place of SyncBN where SyncBN cannot work.

        The reverted layers share the parameters and buffers of the old ones, and the optimizer is built later: nothing
        that is learned or loaded can miss them.
        """
        if is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        on_cpu = not torch.cuda.is_available()
        found = sum(_is_sync_bn(module) for module in model.modules())
        if found and (on_cpu or not self.distributed):
            reason = 'there is no GPU' if on_cpu else 'no launcher is used'
            self.logger.info(
                f'{found} SyncBN layers work as BN because {reason}: each process normalises by its own batch.'
            )
            model = revert_sync_batchnorm(model)
        if self.distributed and on_cpu:
            self.logger.info(
                f'There is no GPU: the {self.world_size} processes talk through gloo, not nccl.'
            )
            self.cfg.sync_bn = None
            # The parent names a GPU in device_ids, which DDP refuses for a model on the CPU.
            model_wrapper_cfg = {
                'type': 'MMDistributedDataParallel',
                'broadcast_buffers': False,
                'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
                **(model_wrapper_cfg or {}),
                'device_ids': None,
            }
        return super().wrap_model(model_wrapper_cfg, model)

    def build_evaluator(self, evaluator: Any) -> Evaluator:
        """Build the evaluator, and see to the ids of its annotations."""
        built = super().build_evaluator(evaluator)
        number_annotations(built)
        return built

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call the hooks, and remember the batch that is worked on: an error in the model can name its pictures then."""
        self.batch = kwargs.get('data_batch', self.batch)
        if fn_name == 'before_train_iter':
            seed_iteration(self)
        super().call_hook(fn_name, **kwargs)

    def build_train_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build the training loop, with a dataloader that seeds each batch by its iteration."""
        settings: Any = self._train_dataloader
        if not isinstance(settings, dict):
            return super().build_train_loop(loop)
        dataloader: Any = self.build_dataloader(
            settings,
            seed=self.seed,
            diff_rank_seed=self._randomness_cfg.get('diff_rank_seed', False),
        )
        seed_batches(dataloader, self)
        self._train_dataloader = dataloader
        try:
            return super().build_train_loop(loop)
        finally:  # the batch size that auto_scale_lr asks for is in the settings alone
            self._train_dataloader = settings

    def build_val_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build the validation loop; batches that it could not stack are an error now, and not after hours of training."""
        built = super().build_val_loop(loop)
        require_one_shape(built.dataloader, 'val_dataloader', unwrap(self.model))
        return built

    def build_test_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build the test loop, as :meth:`build_val_loop` does."""
        built = super().build_test_loop(loop)
        require_one_shape(built.dataloader, 'test_dataloader', unwrap(self.model))
        return built

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        """Build a DataLoader whose loading transforms name the file that they failed on.

        Raises:
            UserError: When it has nothing to load.
        """
        try:
            loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        except ValueError as error:
            # MMEngine joins the entries that filter_cfg leaves, before it counts them.
            if 'need at least one array to concatenate' not in str(error):
                raise
            raise UserError(
                f'{_described(dataloader)}: no image is left to load. filter_cfg leaves out images without boxes of the '
                'chosen classes (filter_empty_gt=True) and those smaller than min_size: choose other classes or a smaller '
                'min_size, or look into the annotation file.'
            ) from error
        if len(loader) == 0:
            raise UserError(
                f'{_described(dataloader)}: {len(loader.dataset)} images make no batch of {loader.batch_size}, and '
                'drop_last=True leaves the rest out. Take a smaller batch_size, or drop_last=False.'
            )
        name_files(loader.dataset)
        return loader


def _described(dataloader: Any) -> str:
    """Type and annotation file of the dataset that a dataloader reads, those inside wrappers too."""
    leaves = leaf_datasets(
        dataloader.get('dataset') if isinstance(dataloader, dict) else None, 'dataset'
    )
    return ' and '.join(
        ' '.join(str(leaf[key]) for key in ('type', 'data_root', 'ann_file') if leaf.get(key))
        for _, leaf in leaves
    )


def _is_sync_bn(module: nn.Module) -> bool:
    """Both PyTorch's ``SyncBatchNorm`` and mmcv's own class of that name."""
    return type(module).__name__ == 'SyncBatchNorm'
