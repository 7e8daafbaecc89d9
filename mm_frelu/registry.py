"""The child registries of mm_frelu.

Backbones, transforms, metrics, hooks and optimizer constructors are registered here, under the scope ``mm_frelu``, so that
configs refer to them as ``type='mm_frelu.ResNet'`` and no class of mmdet, mmseg or mmpretrain is shadowed. Activation
layers go into MMEngine's root registry instead (see :mod:`mm_frelu.activations`), so that ``type='FReLU'`` works in
every scope.
"""

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry(
    'model', parent=MMENGINE_MODELS, scope='mm_frelu', locations=['mm_frelu.backbones']
)
TRANSFORMS = Registry(
    'transform', parent=MMENGINE_TRANSFORMS, scope='mm_frelu', locations=['mm_frelu.datasets']
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mm_frelu',
    locations=['mm_frelu.engine', 'mm_frelu.inspection'],
)
METRICS = Registry(
    'metric', parent=MMENGINE_METRICS, scope='mm_frelu', locations=['mm_frelu.evaluation']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mm_frelu',
    locations=['mm_frelu.engine'],
)
