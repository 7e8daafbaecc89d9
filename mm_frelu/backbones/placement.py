"""Which activation goes to which site of a residual network.

A site is a position of an activation in a block, and has the name of the module there. Each site has its own module,
because a funnel activation has parameters and the width differs from site to site. The official placement is FReLU at all
sites of layer1 to layer3, and ReLU in the stem and in layer4 (FReLU paper, ablation on stages; "we do not apply FReLU to
the last stage to avoid overfitting", the author).
"""

from typing import Any, ClassVar, Dict, Iterable, Protocol, Sequence, Tuple, Type, Union

Sites = Union[str, Sequence[str]]


class Block(Protocol):
    """A block of a residual network.

    Attributes:
        sites: Names of the sites, in the order of computation.
        partial_sites: Names of the sites that ``act_sites='partial'`` selects.
    """

    sites: ClassVar[Tuple[str, ...]]
    partial_sites: ClassVar[Tuple[str, ...]]


def resolve_sites(act_sites: Sites, block: Type[Block]) -> Tuple[str, ...]:
    """Convert the value of ``act_sites`` into site names.

    Args:
        act_sites: ``'all'``, ``'partial'`` (after the block's first 3x3 convolution only) or site names.
        block: The class of the blocks.

    Raises:
        ValueError: If the block has no such site.
    """
    if act_sites == 'all':
        return block.sites
    if act_sites == 'partial':
        return block.partial_sites
    names = _as_tuple(act_sites)
    unknown = [name for name in names if name not in block.sites]
    if unknown:
        raise ValueError(
            f"act_sites={act_sites!r}: {block.__name__} has no site {unknown[0]!r}. Use 'all', 'partial' or a tuple "
            f'of names from {block.sites}.'
        )
    return names


def _as_tuple(values: Any) -> Tuple[Any, ...]:
    """Convert an option that may be a single value, as from the command line, into a tuple."""
    several = isinstance(values, Iterable) and not isinstance(values, str)
    return tuple(values) if several else (values,)


def resolve_stages(act_stages: Sequence[int], num_stages: int) -> Tuple[int, ...]:
    """Check the stages that get the activation.

    Args:
        act_stages: Stage numbers; 0 is layer1.
        num_stages: How many stages the network has.

    Raises:
        ValueError: If a number is not a stage of the network.
    """
    stages = _as_tuple(act_stages)
    wrong = [stage for stage in stages if stage not in range(num_stages)]
    if wrong:
        raise ValueError(
            f'act_stages={act_stages!r}: {wrong[0]!r} is not a stage of this network. It has num_stages={num_stages}, '
            f'counted from 0 (layer1) to {num_stages - 1} (layer{num_stages}).'
        )
    return stages


def block_act_cfgs(
    block: Type[Block], act_sites: Sequence[str], act_cfg: dict, base_act_cfg: dict
) -> Dict[str, dict]:
    """Return the activation config of every site of a block.

    Args:
        block: The class of the blocks.
        act_sites: Names of the sites that get ``act_cfg``.
        act_cfg: Config of the activation under study.
        base_act_cfg: Config of the activation elsewhere.
    """
    return {site: act_cfg if site in act_sites else base_act_cfg for site in block.sites}
