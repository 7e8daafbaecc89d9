"""Compare activations: train one config with each of them and several seeds, and write one table.

    python tools/analysis_tools/ablate.py CONFIG --act ReLU FReLU "FReLU:kernel_size=5" --out DIR [--seeds 0 1 2]
        [--workers N] [--threads N] [--rounds N] [--metric KEY] [--cfg-options K=V ...]

The first activation is the baseline. Finished runs in DIR are kept: the same command continues where it stopped, and a command with
more activations or seeds adds them. At the end, training steps of the models are timed in turns, so that other load on the machine
affects all of them alike. DIR gets ``ablation.md``, ``ablation.csv`` and ``ablation.png``. Its folder ``runs`` has the log, settings,
weights and result of every run.
"""

import argparse
import dataclasses
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.experiments.choices import ActivationChoice, parse_choices, with_activation
from mm_frelu.analysis.experiments.options import (
    Metric,
    add_experiment_arguments,
    describe_seeds,
    load_experiment,
    metric_of,
)
from mm_frelu.analysis.experiments.plots import plot_scores
from mm_frelu.analysis.experiments.processes import carry_out
from mm_frelu.analysis.experiments.run import continued_note, make_run, settings_of
from mm_frelu.analysis.experiments.scores import (
    Scores,
    collect,
    differences,
    estimate,
    score_of,
)
from mm_frelu.analysis.experiments.step_cost import StepCost, measure_step_costs
from mm_frelu.analysis.experiments.tables import (
    markdown,
    mebibytes,
    milliseconds,
    write_csv,
    write_text,
)
from mm_frelu.analysis.model_cost import readable
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.json_file import read_json, write_json


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Compare activations in one config.')
    parser.add_argument(
        '--act',
        nargs='+',
        required=True,
        metavar='ACT',
        help='activations, the baseline first: NAME, or "NAME:key=value,key=value"',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        help='number of training steps of each model to time at the end; 0 skips the measurement (default: 20)',
    )
    add_experiment_arguments(parser)
    return parser.parse_args(argv)


def step_costs(out: Path, cfgs: Dict[str, Any], rounds: int) -> Dict[str, Any]:
    """Measure time and memory of a training step of each model, once for these configs.

    Args:
        out: Result folder. Its ``cost.json`` caches the measurement; delete the file to measure again.
        cfgs: Configs by activation.
        rounds: Number of steps of each model.
    """
    file = out / 'cost.json'
    # Include the names of the measured fields, so that a file of an older version is not used.
    measures = [field.name for field in dataclasses.fields(StepCost)]
    settings = json.dumps(
        [measures, *([name, settings_of(cfg), rounds] for name, cfg in cfgs.items())]
    )
    fingerprint = hashlib.sha256(settings.encode()).hexdigest()
    if file.is_file():
        stored = read_json(file)
        if stored.get('settings') == fingerprint:
            return stored
    print(f'Measuring {rounds} training steps of each model in turns ...', flush=True)
    measured = dict(settings=fingerprint, **measure_step_costs(cfgs, rounds))
    write_json(file, measured)
    return measured


def table_rows(scores: Scores, metric: str, costs: Dict[str, dict]) -> List[Dict[str, str]]:
    """Create the rows of the Markdown table."""
    baseline = next(iter(scores))
    rows = []
    for name, values in scores.items():
        gain = estimate(differences(values, scores[baseline]))
        row = {'activation': name, metric: estimate(list(values.values())).text()}
        row[f'minus {baseline}'] = '' if name == baseline else gain.text('+')
        if costs:
            cost = costs[name]
            low, high = cost['quartiles']
            row['parameters'] = f'{cost["parameters"]:,}'
            row['MACs'] = readable(cost['macs'])
            row['training step'] = milliseconds(cost['seconds'])
            quartiles = '' if name == baseline else f' ({low:.2f} to {high:.2f})'
            row[f'step of {baseline}'] = f'{cost["times_baseline"]:.2f}{quartiles}'
            row['kept for backward'] = mebibytes(cost['kept'])
            row[f'kept of {baseline}'] = f'{cost["kept"] / costs[baseline]["kept"]:.2f}'
        rows.append(row)
    return rows


def csv_rows(
    choices: Sequence[ActivationChoice], scores: Scores, metric: Metric, costs: Dict[str, dict]
) -> List[Dict[str, Any]]:
    """Create the rows of the CSV file: every seed, and the table's numbers without rounding."""
    rows = []
    for choice in choices:
        values = scores[choice.text]
        mean, deviation, _ = estimate(list(values.values()))
        row = dict(activation=choice.text, act_cfg=json.dumps(choice.cfg), metric=metric.key)
        row.update(mean=mean, deviation=deviation)
        row.update({f'seed_{seed}': value for seed, value in values.items()})
        for key, value in costs.get(choice.text, {}).items():
            if key == 'quartiles':
                row['times_baseline_q1'], row['times_baseline_q3'] = value
            else:
                row[key] = value
        rows.append(row)
    return rows


def notes(config: str, seeds: List[int], metric: str, measured: Dict[str, Any]) -> str:
    """Describe the numbers of the table."""
    spread = ', mean ± standard deviation over the seeds' if len(seeds) > 1 else ''
    text = (
        f'{Path(config).stem}, {describe_seeds(seeds)}, {datetime.date.today().isoformat()}. {metric}: the last '
        f'validation, in per cent{spread}; the difference is taken seed by seed.'
    )
    if measured:
        batch = ' x '.join(map(str, measured['batch']))
        height, width = measured['shape']
        threads = f'{measured["threads"]} thread{"s" if measured["threads"] > 1 else ""}'
        text += (
            f' Training step: median of {measured["rounds"]}, the models in turns on one batch ({batch}), with the '
            f'quartiles of the ratio; {measured["device"]}, {threads}, torch {measured["torch"]}. Kept for backward: '
            f'counted on that batch. MACs: one image of {height}x{width}.'
        )
    return text


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Train, measure, compare."""
    args = parse_args(argv)
    if args.rounds < 0:
        raise UserError(f'--rounds {args.rounds}: expected 0 or more.')
    choices = parse_choices(args.act)
    base = load_experiment(args)
    cfgs = {choice.text: with_activation(base, choice.cfg) for choice in choices}
    metric = metric_of(base, args.metric)
    folder = args.out / 'runs'
    # Seed by seed, so that a stopped comparison has complete seeds.
    runs = [
        make_run(cfgs[choice.text], choice.text, seed, folder / f'{choice.folder}-seed{seed}')
        for seed in args.seeds
        for choice in choices
    ]
    carry_out(
        runs,
        args.workers,
        args.threads,
        tell=lambda run: f'{metric.name} {score_of(run, metric):.1f}',
    )
    measured = step_costs(args.out, cfgs, args.rounds) if args.rounds else {}
    costs = measured.get('costs', {})
    scores = collect(runs, metric)
    table = markdown(table_rows(scores, metric.name, costs))
    text = notes(args.config, args.seeds, metric.name, measured) + continued_note(runs)
    text = f'{table}\n\n{text}\n'
    write_text(args.out / 'ablation.md', text)
    write_csv(args.out / 'ablation.csv', csv_rows(choices, scores, metric, costs))
    caption = (
        f'{Path(args.config).stem}; points: {describe_seeds(args.seeds)}; bars and numbers: means'
    )
    plot_scores(args.out / 'ablation.png', scores, metric.name, costs, caption)
    files = ', '.join(str(args.out / f'ablation.{end}') for end in ('md', 'csv', 'png'))
    print(f'\n{text}\nWritten: {files}')


if __name__ == '__main__':
    main()
