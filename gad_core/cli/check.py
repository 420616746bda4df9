"""`gad check`: is this registry file right?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gad_core.cli.say import say

if TYPE_CHECKING:
    from gad_core.registry import Registry
    from gad_core.registry.experiment import Experiment


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("experiments", nargs=-1)
@click.option("--data", is_flag=True, help="Open the datasets too, and list all that is wrong with them.")
def check(file: Path, experiments: tuple[str, ...], data: bool) -> None:
    """Check a registry FILE and list what it would run; nothing is trained.

    Every problem is told at once, with its line; the exit code is then 2. Files that an experiment needs and that are
    not there yet are listed, not refused, and so are trackers that are not installed. With --data the datasets of the
    EXPERIMENTS (of those that run by default if none is named) are opened: what they hold is counted, class by class,
    all that is wrong is listed, with the tree of files that was expected, and what may be a mistake is a warning: rows
    or features in train and in test, repeated rows, classes that training never shows, uneven or nearly equal ones.

    \b
    Example:
      gad check registry.yaml
      gad check registry.yaml --data
      gad check recipes/thumos14.yaml thumos14-gad --data
    """
    from gad_core import registry

    book = registry.load(file)
    for warning in book.warnings:
        say(f"warning: {warning.who}: {warning.reason}", err=True)
    chosen = book.select(experiments)
    if data:
        _check_data(chosen, file)
    else:
        _list(book, file)
    _warn_of_trackers(chosen if experiments or data else tuple(book.experiments.values()))


def _warn_of_trackers(experiments: Sequence[Experiment]) -> None:
    from gad_core.runs.trackers import missing_trackers

    for tracker, users in missing_trackers(experiments).items():
        those = "1 experiment logs" if len(users) == 1 else f"{len(users)} experiments log"
        need = f"`gad run` refuses that until `pip install {tracker}`"
        click.echo(f"warning: {those} to {tracker}, which is not installed: {need}", err=True)


def _check_data(experiments: Sequence[Experiment], file: Path) -> None:
    from gad_core.errors import DataError
    from gad_core.runs.data_check import check_data

    reports = check_data(experiments)
    for report in reports:
        others = len(report.users) - 1
        say(f"dataset {report.dataset.name} of {report.users[0]}{f' and {others} more' if others else ''}")
        for what, value in report.holds.items():
            say(f"  {what}: {value}")
        for warning in report.warnings:
            say(f"  warning: {warning}")
        for fault in report.faults:
            say(f"  {fault}")
        if report.faults:
            say("  expected are")
            for path, content in report.dataset.files().items():
                say(f"    {path}  {content}")
    wrong = sum(len(report.faults) for report in reports)
    if wrong:
        raise DataError(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong with the data", where=str(file))
    doubts = sum(len(report.warnings) for report in reports)
    say(f"the data of {file} are right{f', with {doubts} warnings' if doubts else ''}.")


def _list(book: Registry, file: Path) -> None:
    from rich.table import Table

    from gad_core.report.console import make_console

    console = make_console()
    table = Table("experiment", "composition", "seeds", box=None, pad_edge=False)
    for name, experiment in book.experiments.items():
        if not any(name in sweep.experiments for sweep in book.sweeps.values()):
            missing = [path for path in experiment.dataset.files() if not path.exists()]
            needs = f"\nneeds {', '.join(path.name for path in missing)}, not there yet" if missing else ""
            seeds = " ".join(map(str, experiment.seeds))
            table.add_row(name, composition(experiment) + needs, seeds)
    console.print(table)
    for sweep in book.sweeps.values():
        points = f"{len(sweep.experiments)} points, {len(sweep.skipped)} skipped"
        console.print(f"sweep {sweep.name}: {points}", markup=False, highlight=False)
        for skipped in sweep.skipped:
            console.print(f"  skipped {skipped.point}: {skipped.reason}", markup=False, highlight=False, soft_wrap=True)
    runs = f"By default it runs {', '.join(book.default)}." if book.default else "It holds no experiment yet."
    console.print(f"{file} is right. {runs}", markup=False, highlight=False, soft_wrap=True)


def composition(experiment: Experiment) -> str:
    """The components of an experiment in one line."""
    parts = [experiment.dataset.name, experiment.backbone.name, experiment.head.name]
    parts += [experiment.labels.name] if experiment.labels else []
    parts += [f"{task.name} ({task.form})" for task in experiment.auxiliary]
    return " · ".join(parts)
