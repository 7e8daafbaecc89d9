"""Draw training curves, with the mean over seeds and a band, or print the time of a training step.

    python tools/analysis_tools/analyze_logs.py plot_curve LOG... [--keys KEY ...] [--legend NAME ...] [--band std|range|none]
        [--title TEXT] [--style NAME] [--backend NAME] [--out FILE]
    python tools/analysis_tools/analyze_logs.py cal_train_time LOG... [--include-outliers]

A LOG is a work folder, the folder of a run or its vis_data/scalars.json. The default sub-command is plot_curve, like in mmseg.
"""

import argparse
import sys
from typing import Dict, List, Optional, Sequence

import matplotlib.style
import numpy as np

from mm_frelu.analysis.training_logs import LEFT_OUT, Curve, TrainingLog, read_log
from mm_frelu.engine.errors import UserError, exit_on_user_error
from mm_frelu.visualization.comparison import save_figure
from mm_frelu.visualization.curves import BANDS, draw_curves
from mm_frelu.visualization.figure_targets import require_figure_file, require_screen

COMMANDS = ('plot_curve', 'cal_train_time')


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] not in (*COMMANDS, '-h', '--help'):
        words.insert(0, 'plot_curve')
    parser = argparse.ArgumentParser(
        description='Draw training curves, with the mean over seeds and a band, or print the time of a training step.'
    )
    commands = parser.add_subparsers(
        dest='task', required=True, metavar='plot_curve|cal_train_time'
    )
    plot = commands.add_parser('plot_curve', help='draw curves')
    time = commands.add_parser('cal_train_time', help='print the time of a training step')
    for command in (plot, time):
        command.add_argument(
            'json_logs',
            nargs='+',
            metavar='LOG',
            help='work folder of a training, the folder of a run, or its vis_data/scalars.json',
        )
    plot.add_argument(
        '--keys',
        nargs='+',
        metavar='KEY',
        help=f'keys to draw, one panel each; default: loss and the main score. {", ".join(LEFT_OUT)} are drawn only if named here',
    )
    plot.add_argument(
        '--legend',
        nargs='+',
        metavar='NAME',
        help='a name for each log; logs with the same name are runs of different seeds, drawn as their mean with a band. Default: the '
        'paths',
    )
    plot.add_argument(
        '--band',
        choices=BANDS,
        default='std',
        help='meaning of the band: plus and minus one standard deviation (default), smallest and largest value, or no band',
    )
    plot.add_argument('--title', default='', help='title of the figure')
    plot.add_argument('--style', default='default', metavar='NAME', help='Matplotlib style')
    plot.add_argument('--backend', metavar='NAME', help='Matplotlib backend for the window')
    plot.add_argument(
        '--out', metavar='FILE', help='.png, .pdf or .svg file to write; default: show a window'
    )
    time.add_argument(
        '--include-outliers',
        action='store_true',
        help='include the first value of a log, which contains the start of the dataloaders',
    )
    args = parser.parse_args(words)
    if args.task == 'plot_curve':
        if args.legend and len(args.legend) != len(args.json_logs):
            parser.error(
                f'--legend: {len(args.legend)} names for {len(args.json_logs)} logs; give one for each'
            )
        if args.style not in ('default', *matplotlib.style.available):
            parser.error(
                f'--style: Matplotlib has no style {args.style!r}; it has {", ".join(matplotlib.style.available[:6])}, ...'
            )
    return args


def plot_curve(logs: Sequence[TrainingLog], args: argparse.Namespace) -> None:
    """Draw the curves."""
    if args.out:
        require_figure_file('--out', args.out)
    elif not args.backend:
        require_screen('plot_curve without --out FILE')
    keys = args.keys or logs[0].main_keys()
    names = args.legend or [str(log.path) for log in logs]
    groups: Dict[str, Dict[str, List[Curve]]] = {}
    for name, log in zip(names, logs):
        group = groups.setdefault(name, {})
        for key in keys:
            group.setdefault(key, []).append(log.curves[log.find(key)])
    for name, group in groups.items():
        for key, curves in group.items():
            lengths = {len(curve.steps) for curve in curves}
            common = set(curves[0].steps).intersection(*(curve.steps for curve in curves))
            if not common:
                raise UserError(
                    f'{name}: the {len(curves)} runs have no common step at which {key} was logged. Give them different names.'
                )
            if len(lengths) > 1 or len(common) < max(lengths):
                print(
                    f'{name}: {key} was not logged at the same steps in all runs; only the {len(common)} common steps are drawn.'
                )
    if not args.out and args.backend:
        matplotlib.use(args.backend)
    figure = draw_curves(groups, keys, args.band, args.title, args.style)
    if args.out:
        save_figure(figure, args.out)
        print(f'Curves are in {args.out}')
        return
    from matplotlib import pyplot

    window = pyplot.figure(figsize=figure.get_size_inches())
    figure.canvas.draw()
    window.figimage(np.asarray(figure.canvas.buffer_rgba()), resize=True)
    pyplot.show()


def cal_train_time(logs: Sequence[TrainingLog], args: argparse.Namespace) -> None:
    """Print the time of a training step of each run."""
    for log in logs:
        curve = log.curves.get('time')
        if curve is None:
            raise UserError(
                f'{log.path}: there are no times of training steps. Give the log of a training.'
            )
        first = 0 if args.include_outliers or len(curve.values) == 1 else 1
        values, steps = np.array(curve.values[first:]), curve.steps[first:]
        slow, fast = int(values.argmax()), int(values.argmin())
        print(
            f'{log.path}: {values.mean():.4f} s per iteration (standard deviation {values.std():.4f}; slowest {values[slow]:.4f} at '
            f'{steps[slow]:g}, fastest {values[fast]:.4f} at {steps[fast]:g})'
        )


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Read the logs, then draw or print."""
    args = parse_args(argv)
    logs = [read_log(path) for path in args.json_logs]
    {'plot_curve': plot_curve, 'cal_train_time': cal_train_time}[args.task](logs, args)


if __name__ == '__main__':
    main()
