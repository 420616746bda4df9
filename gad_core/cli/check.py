"""`gad check`: is this registry file right?"""

from __future__ import annotations

from pathlib import Path

import click


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

    from gad_core import registry

    book = registry.load(file)
    table = Table("experiment", "dataset", "backbone", "head", "labels", "auxiliary", "seeds", "needs")
    for name, experiment in book.experiments.items():
        missing = [path.name for path in experiment.dataset.files() if not path.exists()]
        table.add_row(
            name,
            experiment.dataset.name,
            experiment.backbone.name,
            experiment.head.name,
            experiment.labels.name if experiment.labels else "",
            " + ".join(task.name for task in experiment.auxiliary),
            " ".join(map(str, experiment.seeds)),
            ", ".join(missing) + " (not there yet)" if missing else "",
        )
    console = Console()
    console.print(table)
    for sweep in book.sweeps.values():
        console.print(
            f"sweep {sweep.name}: {len(sweep.experiments)} points, {len(sweep.skipped)} skipped", markup=False
        )
        for skipped in sweep.skipped:
            console.print(f"  skipped {skipped.point}: {skipped.reason}", markup=False, highlight=False)
    console.print(f"{file} is right; `gad run {file}` runs {', '.join(book.default)}", markup=False, highlight=False)
