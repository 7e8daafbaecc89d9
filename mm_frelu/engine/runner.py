"""MMEngine's Runner with additional checks, and with support for SyncBN models on CPUs."""

import copy
from typing import Any, Dict, Optional, Union

import torch
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mm_frelu.datasets.check_dataset import leaf_datasets

from .annotation_ids import number_annotations
from .batch_shapes import require_one_shape
from .checkpoint_file import is_state_dict
from .checkpoint_guard import unwrap
from .checkpoint_pretrained import watch_pretrained
from .errors import UserError
from .read_errors import name_files
from .step_seeds import seed_batches, seed_iteration


class GuardedRunner(Runner):
    """Runner that names unreadable files and lets SyncBN models run on CPUs.

    It differs from its parent only where the parent would fail or be silent:

    - SyncBN needs a GPU per process. With one process the parent converts it to BN. This class also converts it for several
      processes on CPUs (gloo), and logs the number of layers.
    - The transforms of every dataset name the file that they fail on. The current batch is kept for error messages.
    - Two cases are errors before training starts: a dataloader with nothing to load, and a validation dataloader whose batches
      cannot be stacked.
    - Annotation ids that pycocotools misreads are replaced, in the metric only.
    - Pretrained weights of ``init_cfg`` are compared with the module that loads them.
    - The random numbers of a training step do not depend on earlier steps, so that a resumed run repeats them.
    """

    batch: Any = None
    _train_dataloader: Any  # of the parent: the settings, later the dataloader

    def _init_model_weights(self) -> None:
        """Initialise the weights, and report pretrained weights of ``init_cfg`` that do not fit."""
        with watch_pretrained(self.model, self.cfg):
            super()._init_model_weights()

    def wrap_model(self, model_wrapper_cfg: Optional[Dict], model: nn.Module) -> nn.Module:
        """Wrap the model for the launcher, and convert SyncBN to BN if SyncBN is unsupported.

        The BN layers share the parameters and buffers of the SyncBN layers, and the optimizer is built later.
        """
        if is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        on_cpu = not torch.cuda.is_available()
        found = sum(_is_sync_bn(module) for module in model.modules())
        if found and (on_cpu or not self.distributed):
            reason = 'there is no GPU' if on_cpu else 'no launcher is used'
            self.logger.info(
                f'{found} SyncBN layers run as BN because {reason}: each process normalises with its own batch.'
            )
            model = revert_sync_batchnorm(model)
        if self.distributed and on_cpu:
            self.logger.info(
                f'There is no GPU: the {self.world_size} processes use the gloo backend instead of nccl.'
            )
            self.cfg.sync_bn = None
            # The parent sets a GPU in device_ids, which DDP does not accept for a CPU model.
            model_wrapper_cfg = {
                'type': 'MMDistributedDataParallel',
                'broadcast_buffers': False,
                'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
                **(model_wrapper_cfg or {}),
                'device_ids': None,
            }
        return super().wrap_model(model_wrapper_cfg, model)

    def build_evaluator(self, evaluator: Any) -> Evaluator:
        """Build the evaluator, and replace annotation ids that pycocotools misreads."""
        built = super().build_evaluator(evaluator)
        number_annotations(built)
        return built

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call the hooks, and keep the current batch, so that an error message can name its images.

        A plain state dict, which MMEngine loads too, gets the key ``state_dict`` for EMAHook, which requires it.
        """
        self.batch = kwargs.get('data_batch', self.batch)
        if fn_name == 'before_train_iter':
            seed_iteration(self)
        checkpoint: Any = kwargs.get('checkpoint')
        if fn_name == 'after_load_checkpoint' and is_state_dict(checkpoint):
            weights = copy.copy(checkpoint)
            checkpoint.clear()
            checkpoint['state_dict'] = weights
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
        finally:  # auto_scale_lr reads the batch size from the settings
            self._train_dataloader = settings

    def build_val_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build the validation loop. Batches that cannot be stacked are an error now, not after hours of training."""
        built = super().build_val_loop(loop)
        require_one_shape(built.dataloader, 'val_dataloader', unwrap(self.model))
        return built

    def build_test_loop(self, loop: Union[BaseLoop, Dict]) -> BaseLoop:
        """Build the test loop, with the same check as :meth:`build_val_loop`."""
        built = super().build_test_loop(loop)
        require_one_shape(built.dataloader, 'test_dataloader', unwrap(self.model))
        return built

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        """Build a DataLoader whose transforms name the file that they fail on.

        Raises:
            UserError: When it has nothing to load.
        """
        try:
            loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        except ValueError as error:
            # MMEngine concatenates the entries that filter_cfg keeps, and fails if there are none.
            if 'need at least one array to concatenate' not in str(error):
                raise
            raise UserError(
                f'{_described(dataloader)}: no image is left to load. filter_cfg removes images without boxes of the '
                'chosen classes (filter_empty_gt=True) and images smaller than min_size. Choose other classes or a smaller '
                'min_size, or check the annotation file.'
            ) from error
        if len(loader) == 0:
            raise UserError(
                f'{_described(dataloader)}: {len(loader.dataset)} images do not fill a batch of {loader.batch_size}, and '
                'drop_last=True drops incomplete batches. Use a smaller batch_size, or drop_last=False.'
            )
        name_files(loader.dataset)
        return loader


def _described(dataloader: Any) -> str:
    """Return type, folder and annotation file of the datasets of a dataloader, inside wrappers too."""
    leaves = leaf_datasets(
        dataloader.get('dataset') if isinstance(dataloader, dict) else None, 'dataset'
    )
    return ' and '.join(
        ' '.join(str(leaf[key]) for key in ('type', 'data_root', 'ann_file') if leaf.get(key))
        for _, leaf in leaves
    )


def _is_sync_bn(module: nn.Module) -> bool:
    """Whether a module is PyTorch's ``SyncBatchNorm`` or mmcv's class of the same name."""
    return type(module).__name__ == 'SyncBatchNorm'
