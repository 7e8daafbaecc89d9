"""Print a config, merged with its bases and --cfg-options.

python tools/misc/print_config.py CONFIG [--save-path FILE.py] [--cfg-options K=V ...]
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

import mmengine

import mm_frelu  # noqa: F401  (configs may import it)
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.settings import SettingsAction, merge_settings
from mm_frelu.engine.write_file import require_target, write_file


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Print the whole config.')
    parser.add_argument(
        'config', help='config file, or one of an installed library: mmseg::pspnet/NAME.py'
    )
    parser.add_argument('--save-path', help='also write it to this file (.py, .json or .yml)')
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Print the config, and save it if requested."""
    args = parse_args(argv)
    cfg = read_config(args.config)
    merge_settings(cfg, args.cfg_options)
    text = cfg.pretty_text
    print(text)
    if args.save_path is None:
        return
    target = Path(args.save_path)
    if target.suffix not in ('.py', '.json', '.yml', '.yaml'):
        raise UserError(f'--save-path {target}: expected a name that ends with .py, .json or .yml.')
    require_target('--save-path', target)
    if target.suffix != '.py':
        text = mmengine.dump(cfg.to_dict(), file_format=target.suffix[1:])
    with write_file(target) as stream:
        stream.write(text)


if __name__ == '__main__':
    main()
