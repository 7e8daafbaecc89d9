"""What to say when an op is asked for that only compiled mmcv has, and how to get it."""

from importlib import metadata
from pathlib import Path
from typing import Tuple

import mmcv


class MissingOpError(NotImplementedError):
    """An op of mmcv was called that is neither compiled nor stood in for."""


def missing_op_message(what: str, name: str) -> str:
    """Say which op is missing, whose it is and how to get it.

    Args:
        what: The op as the user would call it.
        name: The function of ``mmcv._ext``.

    Returns:
        The sentences.
    """
    return (
        f'{what} is missing: mmcv {mmcv.__version__} is installed without its compiled ops, and '
        f'mm_frelu does not stand in for this one (asked for by {_asking_file(name)}). {how_to_install()}'
    )


def how_to_install() -> str:
    """Commands that bring the compiled ops, for the mmcv distribution that is installed.

    Returns:
        Sentences with the commands.
    """
    name, version = _distribution()
    fork = name == 'onedl-mmcv'
    manager = 'onedl-mim' if fork else 'openmim'
    package = 'onedl-mmcv' if fork else 'mmcv'
    # mmcv's setup builds the ops when it finds torch, which pip's build isolation hides from it; a wheel without ops
    # from an earlier install may sit in pip's cache.
    build = (
        f'pip install --no-binary {package} --no-build-isolation --no-cache-dir --no-deps '
        f'--force-reinstall {package}=={version}'
    )
    if not fork:
        build = f'MMCV_WITH_OPS=1 {build}'
    if name == 'mmcv-lite':
        build = f'pip uninstall -y mmcv-lite && {build}'
    return (
        f'To get the compiled ops, try `pip install -U {manager} && mim install {package}`, which has '
        f'ready wheels for some pairs of torch and CUDA, or compile them (C++ compiler, setuptools and wheel; for '
        f'CUDA its toolkit and FORCE_CUDA=1; 20 minutes or more on two cores): `{build}`.'
    )


def _distribution() -> Tuple[str, str]:
    """Name and version of the installed mmcv distribution."""
    for name in ('onedl-mmcv', 'mmcv', 'mmcv-lite'):
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return 'mmcv', mmcv.__version__  # run from a source tree


def _asking_file(name: str) -> str:
    """File of ``mmcv.ops`` that loads a function of ``mmcv._ext``."""
    for path in sorted((Path(mmcv.__file__).parent / 'ops').glob('*.py')):
        # __init__.py lists public names, some of which are also names of functions of mmcv._ext.
        if path.stem != '__init__' and f"'{name}'" in path.read_text(encoding='utf-8'):
            return f'mmcv/ops/{path.name}'
    return 'no file of mmcv.ops'
