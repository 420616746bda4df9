"""`gad check`: is this registry file right?"""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.experiment import Experiment


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a registry FILE and list what it would run; nothing is trained or loaded.

    Every problem is told at once, with its line; the exit code is then 2. Files that an experiment needs and that are
    not there yet are listed, not refused.

    \b
    Example:
      gad check registry.yaml
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gad_core import registry

    book = registry.load(file)
    console = Console()
    table = Table("experiment", "composition", "seeds", box=None, pad_edge=False)
    for name, experiment in book.experiments.items():
        if not any(name in sweep.experiments for sweep in book.sweeps.values()):
            missing = [path for path in experiment.dataset.files() if not path.exists()]
            needs = f"\nneeds {', '.join(path.name for path in missing)}, not there yet" if missing else ""
            seeds = " ".join(map(str, experiment.seeds))
            table.add_row(Text(name), Text(composition(experiment) + needs), seeds)
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
