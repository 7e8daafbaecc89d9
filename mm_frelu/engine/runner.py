"""MMEngine's Runner, at ease on a machine without a GPU or without a launcher."""

from typing import Dict, Optional

import torch
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import Runner
from torch import nn

from .checkpoint_pretrained import watch_pretrained
from .read_errors import name_files


class GuardedRunner(Runner):
    """Runner that names unreadable files and lets SyncBN models run on CPUs.

    Three things differ from its parent, and only where the parent would fail or be silent:

    - SyncBN needs a GPU per process. With one process the parent turns it into BN; here that also happens for several
      processes on CPUs (gloo), and one log line says how many layers it was.
    - The loading transforms of every dataset name the file that they failed on.
    - Pretrained weights of ``init_cfg`` are compared with the part of the model that takes them.
    """

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
                f'{found} SyncBN layers work as BN because {reason}: statistics are per process.'
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

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        """Build a DataLoader whose loading transforms name the file that they failed on."""
        loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        name_files(loader.dataset)
        return loader


def _is_sync_bn(module: nn.Module) -> bool:
    """Both PyTorch's ``SyncBatchNorm`` and mmcv's own class of that name."""
    return type(module).__name__ == 'SyncBatchNorm'
