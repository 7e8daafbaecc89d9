"""Adds configs and tools to the wheel as ``mm_frelu/.mim``, where MIM and MMEngine look for them.

Everything else about the package is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MIM_FILES = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Copies what MIM needs beside the built package; the source tree stays as it is."""

    def run(self) -> None:
        """Build the package, then add ``.mim``."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'mm_frelu' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_FILES:
            source = Path(__file__).parent / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target / name)


setup(cmdclass={'build_py': BuildWithMim})
