"""Fine-tune a trained ReLU model with other activations, and compare the scores before and after fine-tuning.

    python tools/analysis_tools/finetune_study.py CONFIG --out DIR [--source ReLU]
        [--act ReLU FReLU:init=identity FReLU:init=paper] [--seeds 0 1 2] [--finetune-options K=V ...] [--workers N] ...

For each seed, a model is trained with the source activation. From its last checkpoint, one model is fine-tuned with each activation of
--act, all with the same schedule. The first activation is the baseline; by default it is the source activation itself, which trains
longer. Each model is validated before its first step and after its last. Finished runs in DIR are kept. DIR gets ``finetuning.md``,
``finetuning.csv`` and ``finetuning.png``. Its folders ``trained`` and ``finetuned`` have the runs.
"""

import argparse
import copy
import datetime
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.experiments.choices import ActivationChoice, parse_choices, with_activation
from mm_frelu.analysis.experiments.options import (
    add_experiment_arguments,
    describe_seeds,
    load_experiment,
    metric_of,
)
from mm_frelu.analysis.experiments.plots import plot_starts_and_ends
from mm_frelu.analysis.experiments.processes import carry_out
from mm_frelu.analysis.experiments.run import Run, continued_note, make_run
from mm_frelu.analysis.experiments.scores import (
    Scores,
    collect,
    differences,
    estimate,
    score_of,
    start_score_of,
)
from mm_frelu.analysis.experiments.tables import markdown, write_csv, write_text
from mm_frelu.engine import exit_on_user_error
from mm_frelu.engine.settings import SettingsAction, merge_settings


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Fine-tune a ReLU model with other activations.')
    parser.add_argument(
        '--source', default='ReLU', help='activation of the models to start from (default: ReLU)'
    )
    parser.add_argument(
        '--act',
        nargs='+',
        default=['ReLU', 'FReLU:init=identity', 'FReLU:init=paper'],
        metavar='ACT',
        help='activations to fine-tune with, the baseline first (default: %(default)s)',
    )
    parser.add_argument(
        '--finetune-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='further settings of the config for fine-tuning, in addition to --cfg-options, such as a lower learning rate',
    )
    add_experiment_arguments(parser)
    return parser.parse_args(argv)


def finetuning_config(base: Config, options: Optional[Dict[str, Any]]) -> Config:
    """Return the config of the second stage, still without weights."""
    cfg = copy.deepcopy(base)
    merge_settings(cfg, options, '--finetune-options')
    return cfg


def finetuning_runs(
    base: Config, choices: Sequence[ActivationChoice], trained: Sequence[Run], folder: Path
) -> List[Run]:
    """Create the runs of the second stage, each from the checkpoint of its seed.

    Args:
        base: The config of the second stage.
        choices: Activations to fine-tune with.
        trained: Finished runs of the first stage, one for each seed.
        folder: Folder of the runs.
    """
    runs = []
    for source in trained:
        for choice in choices:
            cfg = with_activation(base, choice.cfg)
            cfg.load_from = str(source.checkpoint)
            place = folder / f'{choice.folder}-seed{source.seed}'
            runs.append(make_run(cfg, choice.text, source.seed, place, validate_at_start=True))
    return runs


def table_rows(starts: Scores, ends: Scores, metric: str) -> List[Dict[str, str]]:
    """Create the rows of the Markdown table."""
    baseline = next(iter(ends))
    rows = []
    for name, values in ends.items():
        gain = estimate(differences(values, ends[baseline]))
        rows.append(
            {
                'fine-tuned as': name,
                f'{metric} at step 0': estimate(list(starts[name].values())).text(),
                f'{metric} at the end': estimate(list(values.values())).text(),
                f'end minus {baseline}': '' if name == baseline else gain.text('+'),
            }
        )
    return rows


def csv_rows(starts: Scores, ends: Scores) -> List[Dict[str, Any]]:
    """Create the rows of the CSV file, one for each run."""
    return [
        dict(activation=name, seed=seed, start=starts[name][seed], end=end)
        for name, values in ends.items()
        for seed, end in values.items()
    ]


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Train, fine-tune, compare."""
    args = parse_args(argv)
    (source,) = parse_choices([args.source], '--source')
    choices = parse_choices(args.act)
    base = load_experiment(args)
    second = finetuning_config(base, args.finetune_options)
    metric = metric_of(base, args.metric)
    first = with_activation(base, source.cfg)
    trained = [
        make_run(first, source.text, seed, args.out / 'trained' / f'{source.folder}-seed{seed}')
        for seed in args.seeds
    ]
    print(f'Training with {source.text}:', flush=True)
    carry_out(
        trained,
        args.workers,
        args.threads,
        tell=lambda run: f'{metric.name} {score_of(run, metric):.1f}',
    )
    tuned = finetuning_runs(second, choices, trained, args.out / 'finetuned')
    print('Fine-tuning:', flush=True)
    carry_out(
        tuned,
        args.workers,
        args.threads,
        tell=lambda run: (
            f'{metric.name} {start_score_of(run, metric):.1f} -> {score_of(run, metric):.1f}'
        ),
    )

    starts, ends = collect(tuned, metric, at_start=True), collect(tuned, metric)
    before = estimate(list(collect(trained, metric)[source.text].values()))
    name = Path(args.config).stem
    spread = ', mean ± standard deviation over the seeds' if len(args.seeds) > 1 else ''
    text = (
        f'{markdown(table_rows(starts, ends, metric.name))}\n\n'
        f'{name}, {describe_seeds(args.seeds)}, {datetime.date.today().isoformat()}. {metric.name} in per cent{spread}; '
        f'the difference is taken seed by seed. Each seed starts from its own {source.text} model '
        f'({metric.name} {before.text()} at the end of its training).'
        f'{continued_note([*trained, *tuned])}\n'
    )
    write_text(args.out / 'finetuning.md', text)
    write_csv(args.out / 'finetuning.csv', csv_rows(starts, ends))
    caption = f'{name}; points: {describe_seeds(args.seeds)}; bars and numbers: means'
    plot_starts_and_ends(args.out / 'finetuning.png', starts, ends, metric.name, caption)
    files = ', '.join(str(args.out / f'finetuning.{end}') for end in ('md', 'csv', 'png'))
    print(f'\n{text}\nWritten: {files}')


if __name__ == '__main__':
    main()
