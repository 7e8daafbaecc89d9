"""Replace the activations of a model, or of a model that a config describes."""

import copy
import inspect
import logging
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import nn

from mm_frelu.activations import FunnelActivation, build_activation
from mm_frelu.activations.builder import CHANNEL_ARGUMENTS, activation_class, check_config
from mm_frelu.engine.act_options import with_settings
from mm_frelu.engine.errors import UserError

from .call_sites import CallSites
from .patterns import choose, default_include, matches
from .replaced_activations import ReplacedActivations
from .samples import Run
from .sites import Site, find_sites
from .table import kept_table, replaced_table
from .tracing import trace

MODULE_NAME = 'replaced_activations'
"""Name of the child module that is added to a model with replaced activations."""


@dataclass
class Replacement:
    """The result of a replacement.

    Attributes:
        new: Class of the new activations.
        replaced: The sites that have a new activation.
        kept: The selected sites that keep their activation, with the reason.
        functional: Activations that are called as functions: module, function, calls in one pass.
        failures: Why the model could not be run completely; empty if it could.
    """

    new: str
    replaced: List[Site] = field(default_factory=list)
    kept: List[Tuple[Site, str]] = field(default_factory=list)
    functional: List[Tuple[str, str, int]] = field(default_factory=list)
    failures: List[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the tables and warnings."""
        return '\n'.join([*self._tables(), *self._warnings()])

    def excuse(self) -> str:
        """Explain why nothing was replaced."""
        reasons = [f'{site.name} ({reason})' for site, reason in self.kept[:3]]
        more = f' and {len(self.kept) - 3} more' if len(self.kept) > 3 else ''
        functional = self.functions()
        what = '; '.join([', '.join(reasons) + more, *functional, *self.failures])
        return f'{what.strip("; ") or "it has none that can be replaced"}.'

    def functions(self) -> List[str]:
        """Return one sentence if the model calls activations as functions, which cannot be replaced from outside."""
        if not self.functional:
            return []
        calls = [
            f'{module or "the model itself"} calls {name}()' for module, name, _ in self.functional
        ]
        more = f' and {len(calls) - 3} more' if len(calls) > 3 else ''
        return [
            f'Activations that are called as functions are not replaced: {", ".join(calls[:3])}{more}. To replace one, make '
            'it a module (self.act = nn.ReLU() in __init__) and call that module'
        ]

    def log(self) -> None:
        """Print the tables."""
        for table in self._tables():
            print_log('\n' + table, logger='current')
        for warning in self._warnings():
            print_log(warning, logger='current', level=logging.WARNING)

    def _tables(self) -> List[str]:
        tables = [replaced_table(self.replaced, self.new)]
        if self.kept or self.functional:
            tables.append(kept_table(self.kept, self.functional))
        return tables

    def _warnings(self) -> List[str]:
        sites = [*self.replaced, *(site for site, _ in self.kept)]
        if not self.failures or all(site.calls for site in sites):
            return []
        reasons = '; '.join(self.failures)
        return [
            f'The model could not be run completely on dummy images ({reasons}). Sites after the failure were not called; '
            f'their channels are taken from the preceding layer.'
        ]


@MODELS.register_module(name='ReplaceActivation')
def build_with_replaced_activations(
    model: dict,
    act_cfg: dict,
    include: Optional[Sequence[str]] = None,
    exclude: Optional[Sequence[str]] = None,
    **overrides: Any,
) -> nn.Module:
    """Build any model and replace its activations: ``type='ReplaceActivation'`` in a config.

    Args:
        model: Config of the model.
        act_cfg: Config of the new activation. See :func:`replace_activations`.
        include: Patterns of the names of sites. See :func:`replace_activations`.
        exclude: Patterns of the names of sites to skip.
        **overrides: Settings of ``model`` that are given next to it, such as its backbone. They are merged into ``model`` and
            take precedence, except for a ``data_preprocessor`` that ``model`` has.

    Returns:
        The inner model.

    Examples:
        The first config inherits from a ``_base_`` with a RetinaNet, the second wraps a complete model:

        >>> model = dict(
        ...     type='ReplaceActivation',
        ...     model=dict(type='RetinaNet'),
        ...     act_cfg=dict(type='FReLU'))
        >>> model = dict(
        ...     type='ReplaceActivation',
        ...     model=dict(type='mmdet.ResNet', depth=50),
        ...     act_cfg=dict(type='FReLU'),
        ...     exclude=['layer4'])
    """
    model = with_settings(model, overrides)
    built = MODELS.build(copy.deepcopy(model))
    probe = None
    if any(parameter.is_meta for parameter in built.parameters()):
        # Most detectors cannot run on the meta device. A second model on the CPU is traced instead.
        with torch.device('cpu'):
            probe = MODELS.build(copy.deepcopy(model))
    replacement = replace_activations(built, act_cfg, include, exclude, probe=probe)
    if probe is None:
        replacement.log()
    return built


def replace_activations(
    model: nn.Module,
    act_cfg: dict,
    include: Optional[Sequence[str]] = None,
    exclude: Optional[Sequence[str]] = None,
    *,
    run: Optional[Run] = None,
    probe: Optional[nn.Module] = None,
) -> Replacement:
    """Replace activations of a model, in place.

    Call it before you load weights, build the optimizer or wrap the model in DDP. All other modules keep their names
    and keys. A module that is called at several sites becomes a :class:`.CallSites` with children ``act1``, ``act2``, ...

    Args:
        model: A model of mmdet, mmseg or mmpretrain, or any module that takes images.
        act_cfg: Config of the new activation. If it does not set them, layers with an ``init`` get ``init='identity'``, and
            layers with a ``norm_cfg`` get SyncBN if the model has SyncBN, else BN.
        include: Patterns of the names of sites, see :func:`.patterns.choose`. By default, the backbone if there is one, else
            everything.
        exclude: Patterns of the names of sites to skip.
        run: Function that runs the model once, for models whose inputs are not images.
        probe: A model of the same config that is run instead of ``model``.

    Returns:
        The replaced sites, and the sites that were not replaced with the reason.

    Raises:
        UserError: If a pattern matches nothing, or nothing could be replaced.
        ValueError: If the activation is unknown or does not accept an option.
    """
    check_config(act_cfg)
    kind = activation_class(act_cfg['type'])
    seen = trace(model if probe is None else probe, run)
    sites = find_sites(seen)
    include = default_include(model) if include is None else _as_list(include)
    exclude = _as_list(exclude)
    result = Replacement(kind.__name__, failures=seen.failures)
    result.functional = [
        (module, function, calls)
        for (module, function), calls in seen.functional.items()
        if matches(module, include) and not matches(module, exclude)
    ]
    if not sites and result.functional:
        raise UserError(
            f'{kind.__name__} replaced nothing: this model has no activation as a module. {result.functions()[0]}.'
        )
    try:
        chosen = choose([site.name for site in sites], include, exclude)
    except UserError as error:
        raise UserError(
            ' '.join([str(error), *(f'{text}.' for text in result.functions())])
        ) from None
    for site in sites:
        if site.name in chosen:
            reason = _unsupported_reason(site, kind, bool(seen.failures))
            if reason is None:
                result.replaced.append(site)
            else:
                result.kept.append((site, reason))
    defaults: Dict[str, Any] = dict(norm_cfg=_norm_of(model))
    # Layers whose ``init`` names an initialisation; in torch's PReLU ``init`` is a number.
    if isinstance(_defaults(kind).get('init'), str):
        defaults['init'] = 'identity'
    if sites and exclude and not chosen:
        raise UserError(
            f'{kind.__name__} replaced no activation of this model: exclude {" ".join(exclude)} removes everything that '
            f'include {" ".join(include)} selects.'
        )
    if not result.replaced:
        raise UserError(
            f'{kind.__name__} replaced no activation of this model in {" ".join(include)}: {result.excuse()}'
        )
    for sentence in result.functions():
        print_log(f'{sentence}.', logger='current', level=logging.WARNING)
    replaced = _put_in(model, sites, _build(result.replaced, act_cfg, defaults, kind))
    replaced.reports.append(result)
    backbone: Any
    for backbone in model.modules():
        if getattr(backbone, 'act_norm_eval', False):  # backbones of mm_frelu would warn
            backbone.act_norm_eval = False
    # Backbones freeze their stages in train(). This must be done before the optimizer and DDP are built.
    model.train(model.training)
    return result


def log_replacements(model: nn.Module) -> None:
    """Print the tables of a model that :func:`replace_activations` changed.

    Args:
        model: The model.
    """
    replaced = getattr(model, MODULE_NAME, None)
    for report in replaced.reports if replaced is not None else ():
        report.log()


def _as_list(patterns: Union[str, Sequence[str], None]) -> List[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


def _unsupported_reason(site: Site, kind: type, broken_off: bool) -> Optional[str]:
    """Return the reason why an activation cannot be used at a site, or None."""
    per_channel = any(name in _defaults(kind) for name in CHANNEL_ARGUMENTS)
    if site.frozen:
        return 'frozen: a new layer could never learn there; freeze less (frozen_stages)'
    if not site.calls and not broken_off:
        return 'the model never calls it'
    if not per_channel:
        return None
    if not site.calls and site.assumed_channels is None:
        return 'the model could not be run that far, and its channels are unknown'
    if not site.is_map:
        shape = next(shape for shape in sorted(site.shapes) if len(shape) != 4)
        return f'{len(shape)}-D features; {kind.__name__} needs (N, C, H, W)'
    if site.channels is None:
        return 'its second dimension is not the channels, or they differ from call to call'
    if site.is_point and issubclass(kind, FunnelActivation):
        return 'its features have one position (global pooling), nothing around for a window to see'
    return None


def _defaults(kind: type) -> Dict[str, Any]:
    """Return the arguments of a class with their defaults."""
    parameters = inspect.signature(kind).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _arguments(kind: type) -> List[str]:
    """Return the arguments of a class, including those of its bases that it passes on as ``**kwargs``."""
    names: Dict[str, None] = {}
    base: Any  # mypy does not allow access to __init__ of a class in a variable
    for base in kind.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names.update({item.name: None for item in parameters if item.kind in named})
        if all(item.kind is not inspect.Parameter.VAR_KEYWORD for item in parameters):
            break
    return [name for name in names if name != 'self']


def _norm_of(model: nn.Module) -> dict:
    """Return the config of SyncBN for a model with SyncBN (the class has the same name in torch and mmcv), else of BN."""
    synchronised = any(type(module).__name__ == 'SyncBatchNorm' for module in model.modules())
    return dict(type='SyncBN' if synchronised else 'BN')


def _build(
    sites: Sequence[Site], act_cfg: dict, defaults: dict, kind: type
) -> Dict[str, nn.Module]:
    """Build a new activation for each site, before any site of the model is changed."""
    layers = {}
    for site in sites:
        try:
            layers[site.name] = build_activation(dict(act_cfg), site.channels or 0, **defaults)
        except (TypeError, ValueError) as error:
            channels = f' ({site.channels} channels)' if site.channels else ''
            takes = ''
            if isinstance(error, TypeError):  # of Python: an argument that the class does not have
                known = [name for name in _arguments(kind) if name != 'inplace']
                takes = f' {kind.__name__} takes {", ".join(known) or "nothing"}.'
            raise UserError(
                f'act_cfg {dict(act_cfg)} does not work at {site.name}{channels}: {str(error).rstrip(".")}.{takes}'
            ) from error
    return layers


def _keep_input(layer: nn.Module, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Pass a layer a copy of an input that the model changes in place later, because it may be saved for backward."""
    return (args[0].clone(), *args[1:]) if torch.is_grad_enabled() else args


def _put_in(
    model: nn.Module, sites: Sequence[Site], new: Dict[str, nn.Module]
) -> ReplacedActivations:
    """Replace the modules of the sites in ``new``. A module of several sites becomes a :class:`.CallSites`."""
    replaced = getattr(model, MODULE_NAME, None)
    if replaced is None:
        replaced = ReplacedActivations()
        replaced.watch(model)
    device = next((parameter.device for parameter in model.parameters()), None)
    by_module: Dict[str, List[Site]] = {}
    for site in sites:
        by_module.setdefault(site.module, []).append(site)
    for name, group in by_module.items():
        if not any(site.name in new for site in group):
            continue
        parent_name, _, attribute = name.rpartition('.')
        parent = model.get_submodule(parent_name)
        old: Any = parent._modules[attribute]
        layers: Dict[str, nn.Module] = {}
        for site in group:
            layer: Any = copy.deepcopy(old)
            if site.name in new:
                layer = new[site.name].to(device).train(old.training)
                ours = type(old).__module__.startswith('mm_frelu.')
                layer.in_place_of = getattr(old, 'in_place_of', 'ReLU' if ours else site.kind)
                replaced.add(site, layer)
                if site.overwritten:
                    layer.register_forward_pre_hook(_keep_input)
            layers[site.name.rpartition('.')[2]] = layer
        if len(group) == 1:
            (parent._modules[attribute],) = layers.values()
        else:
            together = CallSites(layers, group)
            parent._modules[attribute] = together
            together.listen(model)
    model.add_module(MODULE_NAME, replaced)
    return replaced
