"""Error for a call of an op that needs compiled mmcv, with instructions to install it."""

from importlib import metadata
from pathlib import Path
from typing import Tuple

import mmcv


class MissingOpError(NotImplementedError):
    """An op of mmcv was called that is neither compiled nor implemented by mm_frelu."""


def missing_op_message(what: str, name: str) -> str:
    """Create the message that says which op is missing, what uses it and how to install it.

    Args:
        what: The op as the user would call it.
        name: The function of ``mmcv._ext``.

    Returns:
        The message.
    """
    return (
        f'{what} is missing: mmcv {mmcv.__version__} is installed without its compiled ops, and '
        f'mm_frelu does not implement this one (used by {_file_that_uses(name)}). {how_to_install()}'
    )


def how_to_install() -> str:
    """Describe how to install the compiled ops for the installed mmcv distribution.

    Returns:
        Sentences with the commands.
    """
    name, version = _distribution()
    fork = name == 'onedl-mmcv'
    manager = 'onedl-mim' if fork else 'openmim'
    package = 'onedl-mmcv' if fork else 'mmcv'
    # mmcv's setup builds the ops only if it finds torch, which pip's build isolation hides. pip's cache may have a wheel
    # without ops from an earlier installation.
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
        f'prebuilt wheels for some pairs of torch and CUDA, or compile them (this needs a C++ compiler, setuptools and '
        f'wheel; for CUDA its toolkit and FORCE_CUDA=1; 20 minutes or more on two cores): `{build}`.'
    )


def _distribution() -> Tuple[str, str]:
    """Return name and version of the installed mmcv distribution."""
    for name in ('onedl-mmcv', 'mmcv', 'mmcv-lite'):
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return 'mmcv', mmcv.__version__  # run from a source tree


def _file_that_uses(name: str) -> str:
    """Return the file of ``mmcv.ops`` that loads a function of ``mmcv._ext``."""
    for path in sorted((Path(mmcv.__file__).parent / 'ops').glob('*.py')):
        # __init__.py lists public names, and some functions of mmcv._ext have the same names.
        if path.stem != '__init__' and f"'{name}'" in path.read_text(encoding='utf-8'):
            return f'mmcv/ops/{path.name}'
    return 'no file of mmcv.ops'
