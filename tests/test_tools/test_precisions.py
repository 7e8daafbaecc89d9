"""The demo's PSPNet with FReLU, trained in half precision and in channels_last, is as good as in single precision.

    python -m pytest -m slow -s tests/test_tools/test_precisions.py

prints each mIoU. On a GPU the demo has its full size. On a CPU it is smaller, MMEngine's AmpOptimWrapper, which needs a GPU, is
replaced, and convolutions in float16 are computed in float32 and rounded.
"""

from contextlib import contextmanager, nullcontext

import pytest
import tiny_project
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from mm_frelu.datasets.street_scenes import generate_street_scenes
from mm_frelu.engine.launch import train

CONFIG = 'configs/pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py'
POINTS = 2
ON_GPU = torch.cuda.is_available()


@OPTIM_WRAPPERS.register_module()
class AutocastOnCPU(OptimWrapper):
    """AmpOptimWrapper for a CPU: forward under autocast, and for float16 a dynamic loss scale."""

    def __init__(self, dtype: str, **settings) -> None:
        super().__init__(**settings)
        self.dtype = getattr(torch, dtype)
        self.scaler = torch.amp.GradScaler('cpu', enabled=dtype == 'float16')

    @contextmanager
    def optim_context(self, model: nn.Module):
        with super().optim_context(model), torch.autocast('cpu', dtype=self.dtype):
            yield

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()


class HalfConvolutions(TorchDispatchMode):
    """Compute float16 convolutions in float32 and round the results, as tensor cores do.

    torch's own backward of a float16 convolution on a CPU takes so long that 20 steps need more than seven minutes.
    """

    convolutions = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket not in self.convolutions or args[0].dtype != torch.float16:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        found = func(*tree_map_only(torch.Tensor, torch.Tensor.float, args), **(kwargs or {}))
        return tree_map_only(torch.Tensor, torch.Tensor.half, found)


@HOOKS.register_module()
class Watch(Hook):
    """Check in each iteration that weights are in channels_last if requested, values are finite, and statistics are float32."""

    def __init__(self, channels_last: bool) -> None:
        self.channels_last = channels_last

    def before_train(self, runner) -> None:
        if self.channels_last:
            runner.model.to(memory_format=torch.channels_last)
        self.found = set()
        runner.model.backbone.layer1.register_forward_hook(self.record)

    def record(self, module: nn.Module, inputs: tuple, out: torch.Tensor) -> None:
        if module.training:
            last = out.is_contiguous(memory_format=torch.channels_last)
            self.found.add((out.dtype, last))

    def after_train_iter(self, runner, outputs=None, **kwargs) -> None:
        assert torch.isfinite(outputs['loss'])
        for name, tensor in runner.model.state_dict().items():
            assert torch.isfinite(tensor).all(), name
            if tensor.is_floating_point():
                assert tensor.dtype == torch.float32, name
        runner.seen = self.found


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    size = (256, 128) if ON_GPU else (128, 64)
    generate_street_scenes(folder, train=240 if ON_GPU else 120, val=40, size=size, seed=0)
    return folder


def trained(scenes, folder, monkeypatch, precision: str):
    """Return the mIoU after training, and the types and memory formats of the first layer's outputs."""
    monkeypatch.setenv('STREET_SCENES_ROOT', str(scenes))
    tiny_project.forget_runs()
    cfg = Config.fromfile(tiny_project.REPOSITORY / CONFIG)
    cfg.work_dir, cfg.launcher = str(folder / precision), 'none'
    cfg.custom_hooks = [dict(type='Watch', channels_last=precision == 'channels_last')]
    cfg.default_hooks.checkpoint.interval = 10_000
    if precision in ('float16', 'bfloat16'):
        wrapper = 'AmpOptimWrapper' if ON_GPU else 'AutocastOnCPU'
        cfg.optim_wrapper.update(type=wrapper, dtype=precision)
    if not ON_GPU:
        steps = dict(max_iters=300, val_interval=300)
        cfg.train_cfg.update(steps)
        cfg.param_scheduler[1].end = steps['max_iters']
        cfg.model.data_preprocessor.size = (64, 128)
        for pipeline in (
            cfg.train_dataloader.dataset.pipeline,
            cfg.val_dataloader.dataset.pipeline,
        ):
            for transform in pipeline:
                transform.update(
                    {
                        k: v
                        for k, v in dict(scale=(128, 64), crop_size=(64, 128)).items()
                        if k in transform
                    }
                )
    emulated = HalfConvolutions() if precision == 'float16' and not ON_GPU else None
    with emulated or nullcontext():
        runner = train(cfg)
    assert emulated is None or emulated.calls > 1000
    found = runner.message_hub.get_scalar('val/mIoU').current()
    print(f'\n{precision}: mIoU {found:.2f}')
    return found, runner.seen


@pytest.fixture(scope='module')
def single(scenes, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return trained(scenes, tmp_path_factory.mktemp('single'), monkeypatch, 'float32')[0]


@pytest.mark.slow
@pytest.mark.parametrize('precision', ['bfloat16', 'float16', 'channels_last'])
def test_training_is_as_good_as_in_single_precision(
    precision, single, scenes, tmp_path, monkeypatch
):
    found, seen = trained(scenes, tmp_path, monkeypatch, precision)
    last = precision == 'channels_last'
    dtype = torch.float32 if last else getattr(torch, precision)
    assert seen == {(dtype, last)}
    assert found > single - POINTS
    assert single > 10  # both have learnt
