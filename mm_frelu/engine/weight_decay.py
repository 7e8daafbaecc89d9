"""Weight decay like in FReLU's official training: on weights of two or more dimensions, and never on PReLU's slopes.

Source: the official training scripts (github.com/megvii-model/FunnelAct) exclude every one-dimensional parameter, that
is, every bias and both parameters of every norm. They treat the windows of FReLU as ordinary weights, which decay. PReLU's
paper excludes its slopes from weight decay, which would pull them to zero, that is, to ReLU.
"""

from difflib import get_close_matches
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple, Union

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import Tensor, nn

from mm_frelu.activations import FunnelActivation
from mm_frelu.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .errors import UserError

DECAYS = ('weights', 'all')

OPTIONS = (
    'decays',
    'window_decay_mult',
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)
"""Keys of ``paramwise_cfg``: two of this package, and MMEngine's."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightDecayConstructor(DefaultOptimWrapperConstructor):
    """Optimizer constructor that sets the weight decay of each parameter by its kind.

    ``optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor', ...)`` applies the rule of FReLU's authors. MMEngine's own
    keys in ``paramwise_cfg`` keep their meaning, with three differences:

    - PReLU's slopes never decay. MMEngine has no key for them, only ``flat_decay_mult``, which includes every bias and norm.
    - ``dwconv_decay_mult`` does not apply to FReLU's windows, which are depthwise convolutions. They have their own key.
    - A key in ``custom_keys`` that only changes a learning rate, such as ``backbone=dict(lr_mult=0.1)``, does not change weight
      decay. Only an entry with ``decay_mult`` does. In MMEngine, norms and biases would decay again.

    The first rule that applies decides: ``custom_keys`` with a ``decay_mult``; PReLU's slopes and the weights of windows; MMEngine's
    norm, bias, depthwise and flat keys; ``decays``. Parameters with the same options share a group, so that an
    optimizer can update them together. A parameter that two layers share is in one group.

    Args:
        optim_wrapper_cfg: The config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg: MMEngine's keys, and:

            - ``decays``: ``'weights'`` (the authors' rule: parameters of two or more dimensions decay) or ``'all'`` (like
              mmdet and mmseg: everything decays except PReLU's slopes). Default: ``'weights'``.
            - ``window_decay_mult``: factor for the weights of FReLU's windows. Default: 1.

    Raises:
        UserError: For an unknown key of ``paramwise_cfg``, or an unknown value of ``decays``.

    Examples:
        The authors' rule, then mmdet's rule without decay of PReLU's slopes::

            optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor')
            optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor', paramwise_cfg=dict(decays='all'))
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        options = dict(paramwise_cfg or {})
        _check_options(options)
        self.decays = options.pop('decays', 'weights')
        self.window_decay_mult = options.pop('window_decay_mult', 1.0)
        # MMEngine's constructor calls add_params only if paramwise_cfg is not empty.
        super().__init__(optim_wrapper_cfg, {'bypass_duplicate': True, **options})

    def add_params(
        self,
        params: List[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: Optional[Union[int, float]] = None,
    ) -> None:
        """Add the parameter groups of a module and its submodules.

        Args:
            params: The groups so far, changed in place.
            module: The module.
            prefix: Its name in the model; empty for the model itself.
            is_dcn_module: Set by MMEngine for modules inside a deformable convolution.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        # Until here every group holds one parameter.
        owners = dict(_owners(module))
        windows = _window_weights(module)
        for group in params:
            decay = self._decay(group, *owners[group['params'][0]], windows)
            if decay is not None:
                group['weight_decay'] = decay
            elif self.base_wd is not None:
                group.setdefault('weight_decay', self.base_wd)
        params[:] = _merged(params)
        print_log(_summary(params, self.base_wd), logger='current')

    def _decay(
        self, group: dict, name: str, owner: nn.Module, windows: Set[Tensor]
    ) -> Optional[float]:
        """Return the weight decay of a parameter, or None to keep that of its group."""
        parameter = group['params'][0]
        key = self._custom_key(name)
        if key is not None and 'decay_mult' in key:
            return None
        if isinstance(owner, nn.PReLU):
            return 0.0
        if parameter in windows:
            return None if self.base_wd is None else self.base_wd * self.window_decay_mult
        if key is None and 'weight_decay' in group:  # one of MMEngine's keys
            return None
        if self.decays == 'weights' and parameter.ndim < 2:
            return 0.0
        return None

    def _custom_key(self, name: str) -> Optional[Dict[str, Any]]:
        """Return the entry of ``custom_keys`` that MMEngine uses for a parameter: the longest key in its name."""
        keys = self.paramwise_cfg.get('custom_keys', {})
        for key in sorted(sorted(keys), key=len, reverse=True):
            if key in name:
                return keys[key]
        return None


def _check_options(options: Dict[str, Any]) -> None:
    for key in options:
        if key not in OPTIONS:
            near = get_close_matches(str(key), OPTIONS, n=1)
            hint = f' Did you mean {near[0]}?' if near else ''
            raise UserError(
                f'optim_wrapper.paramwise_cfg: WeightDecayConstructor has no option {key!r}.{hint} It takes '
                f'{", ".join(OPTIONS)}.'
            )
    decays = options.get('decays', DECAYS[0])
    if decays not in DECAYS:
        raise UserError(
            f"optim_wrapper.paramwise_cfg.decays must be 'weights' (parameters of two or more dimensions) or 'all'; got "
            f'{decays!r}.'
        )


def _owners(model: nn.Module) -> Iterator[Tuple[nn.Parameter, Tuple[str, nn.Module]]]:
    """Yield each parameter with its name, in MMEngine's spelling, and the module that owns it."""
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield parameter, (f'{prefix}.{name}', module)


def _window_weights(model: nn.Module) -> Set[Tensor]:
    windows = (
        conv
        for module in model.modules()
        if isinstance(module, FunnelActivation)
        for conv, _ in module.windows
    )
    return {conv.weight for conv in windows}


def _merged(groups: List[dict]) -> List[dict]:
    """Merge groups that have the same options, in the order of their first parameters."""
    merged: List[dict] = []
    for group in groups:
        options = {key: value for key, value in group.items() if key != 'params'}
        for other in merged:
            if options == {key: value for key, value in other.items() if key != 'params'}:
                other['params'] += group['params']
                break
        else:
            merged.append({'params': list(group['params']), **options})
    return merged


def _summary(groups: List[dict], base: Optional[float]) -> str:
    """Build one line that says how many values have which weight decay."""
    parts = []
    for decay in dict.fromkeys(group.get('weight_decay', base) for group in groups):
        alike = [group for group in groups if group.get('weight_decay', base) == decay]
        parameters = [parameter for group in alike for parameter in group['params']]
        amount = "the optimizer's own" if decay is None else f'{decay:g}'
        values = sum(parameter.numel() for parameter in parameters)
        parts.append(f'{amount} for {values:,} values (tensors: {len(parameters)})')
    return f'Weight decay: {", ".join(parts)}.'
