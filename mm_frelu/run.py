"""Run a tool of an installed OpenMMLab library on a machine without mmcv's compiled ops.

    python -m mm_frelu.run mmdet tools/analysis_tools/browse_dataset.py CONFIG [OPTIONS ...]
    python -m mm_frelu.run mmdet     # lists the tools of mmdet

The tools of mmdet and mmseg import their library in their first lines, before a config could import mm_frelu, and fail there if
``mmcv._ext`` is missing. This command imports mm_frelu first and then runs the tool like ``python TOOL OPTIONS``.
"""

import difflib
import runpy
import sys
from pathlib import Path
from typing import List, Optional, Sequence

import mm_frelu  # noqa: F401  (first: it supplies missing ops)
from mm_frelu.compat import import_mmpose
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.engine.packaged_configs import folder_of


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the tool that the command line names."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help'):
        print(__doc__)
        return
    if len(words) == 1:
        print(*_names(_tools_of(words[0])), sep='\n')
        return
    library, name, *options = words
    script = locate_tool(library, name)
    if library == 'mmpose':
        try:
            import_mmpose()
        except ImportError as error:
            raise UserError(str(error)) from error
    saved = sys.argv, sys.path[:]
    # As Python does for a script.
    sys.argv = [str(script), *options]
    sys.path.insert(0, str(script.parent))
    try:
        runpy.run_path(str(script), run_name='__main__')
    finally:
        sys.argv, sys.path[:] = saved


def locate_tool(library: str, name: str) -> Path:
    """Find the file of a tool that is installed with a library.

    Args:
        library: ``mmdet``, ``mmseg``, ``mmpretrain`` or ``mmpose``.
        name: Path of the tool in the library, with or without ``tools/`` and ``.py``; or the path of your own file.

    Returns:
        The path of the file.

    Raises:
        UserError: If there is no such library or tool. The message suggests tools with similar names.
    """
    root = _tools_of(library)
    name = name if name.endswith('.py') else f'{name}.py'
    for file in (root / name, root.parent / name, Path(name)):
        if file.is_file():
            return file
    tools = _names(root)
    by_name = [tool for tool in tools if Path(tool).name == Path(name).name]
    nearest = by_name or difflib.get_close_matches(name, tools, n=3, cutoff=0.3)
    hint = f' Did you mean {", ".join(nearest)}?' if nearest else ''
    raise UserError(f'{library} has no tool {name} (looked for {root / name}).{hint}')


def _tools_of(library: str) -> Path:
    example = 'python -m mm_frelu.run mmdet tools/NAME.py'
    return folder_of(library, 'tools', f'mm_frelu.run {library}', example)


def _names(root: Path) -> List[str]:
    return sorted(f'tools/{file.relative_to(root).as_posix()}' for file in root.rglob('*.py'))


if __name__ == '__main__':
    main()
