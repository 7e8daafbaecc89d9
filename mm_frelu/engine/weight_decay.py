"""Weight decay as the authors of FReLU train: on weights of two or more dimensions, and never on a slope of PReLU.

Source: the official training scripts (github.com/megvii-model/FunnelAct) exclude every one-dimensional parameter, which
is every bias and both parameters of every norm. A window of FReLU is an ordinary weight to them, and decays. That PReLU's
slopes do not decay is part of PReLU's definition: decay would pull them to zero, which is ReLU.
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
"""Keys of ``paramwise_cfg``: two of ours, and MMEngine's."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightDecayConstructor(DefaultOptimWrapperConstructor):
    """Builds the optimizer so that each parameter gets the weight decay that its kind should have.

    ``optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor', ...)`` is the authors' rule. MMEngine's own keys in
    ``paramwise_cfg`` stay what they are, without three of their traps:

    - The slopes of PReLU have no key of their own, only ``flat_decay_mult`` with every bias and norm; here they never decay.
    - ``dwconv_decay_mult`` would catch FReLU's windows, which are depthwise convolutions; they have a key of their own.
    - A key in ``custom_keys`` that only changes a learning rate, such as ``backbone=dict(lr_mult=0.1)``, would bring the
      decay of norms and biases back; here only one with ``decay_mult`` speaks of decay.

    What says more wins: ``custom_keys`` with a ``decay_mult``; then PReLU's slopes and the windows' weights; then MMEngine's
    norm, bias, depthwise and flat keys; then ``decays``. Parameters with the same options share a group, so that an
    optimizer can update them together; one that two layers share is in one group.

    Args:
        optim_wrapper_cfg: The config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg: MMEngine's keys, and:

            - ``decays``: ``'weights'`` (the authors' rule: parameters of two or more dimensions decay) or ``'all'`` (what
              mmdet and mmseg train with: all but PReLU's slopes).
            - ``window_decay_mult``: factor for the weights of FReLU's windows, 1 if not given.

    Raises:
        UserError: For a key of ``paramwise_cfg`` that does not exist, or a value of ``decays`` that is not one of the two.

    Examples:
        The authors' rule, and what mmdet trains with but for the slopes::

            optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor')
            optim_wrapper = dict(constructor='mm_frelu.WeightDecayConstructor', paramwise_cfg=dict(decays='all'))
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        options = dict(paramwise_cfg or {})
        _check_options(options)
        self.decays = options.pop('decays', 'weights')
        self.window_decay_mult = options.pop('window_decay_mult', 1.0)
        # MMEngine's constructor asks its add_params for groups only where it has something to say.
        super().__init__(optim_wrapper_cfg, {'bypass_duplicate': True, **options})

    def add_params(
        self,
        params: List[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: Optional[Union[int, float]] = None,
    ) -> None:
        """Add the groups of a module and of all below it.

        Args:
            params: The groups so far, changed in place.
            module: The module.
            prefix: Its name in the model; empty for the model itself.
            is_dcn_module: What MMEngine hands down from a deformable convolution.
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
        """The weight decay of a parameter, or None to leave what the group has."""
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
        """The entry of ``custom_keys`` that MMEngine takes for a parameter: the longest in its name."""
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
    """Each parameter with its name, as MMEngine writes it, and the module that has it."""
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
    """The same parameters and options in as few groups as they need, in the order of their first parameters."""
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
    """One line that says how much of the model decays."""
    parts = []
    for decay in dict.fromkeys(group.get('weight_decay', base) for group in groups):
        alike = [group for group in groups if group.get('weight_decay', base) == decay]
        parameters = [parameter for group in alike for parameter in group['params']]
        amount = "the optimizer's own" if decay is None else f'{decay:g}'
        values = sum(parameter.numel() for parameter in parameters)
        parts.append(f'{amount} for {values:,} values (tensors: {len(parameters)})')
    return f'Weight decay: {", ".join(parts)}.'
