"""`python -m fuzz`: tries damaged inputs, prints how they ended, keeps what must not be."""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg", "COLUMNS": "200"}

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from .cases import Case, orders
from .lab import Lab, Tried
from .pool import every
from .summary import findings, keep, table


@click.command()
@click.option("--inputs", default=20_000, show_default=True, help="How many.")
@click.option("--torch", default=0.04, show_default=True, help="Share of the inputs of commands that import torch.")
@click.option("--processes", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Another seed makes other inputs.")
@click.option("--kept", type=click.Path(path_type=Path), default=Path("build/fuzz"), show_default=True)
@click.option("--replay", type=click.Path(path_type=Path), help="Try a kept input again, and print what comes of it.")
def main(inputs: int, torch: float, processes: int, seed: int, kept: Path, replay: Path | None) -> None:
    """Damage inputs of every kind; exit with 1 when a command ends otherwise than with 0, or with 2 and a message."""
    with tempfile.TemporaryDirectory(prefix="gad-fuzz-") as folder:
        if replay is not None:
            sys.exit(replayed(replay, Path(folder)))
        began = time.monotonic()
        wanted = list(orders(inputs, seed, torch))
        tried = list(followed(every(wanted, processes, Path(folder)), len(wanted)))
    click.echo(table(tried))
    found = findings(tried)
    for line in keep(found, kept):
        click.echo(line)
    click.echo(f"{len(tried)} inputs in {time.monotonic() - began:.0f} s, {len(found)} findings")
    sys.exit(1 if found else 0)


def followed(tried: Iterator[Tried], inputs: int) -> Iterator[Tried]:
    """A line on stderr for every tenth of the inputs."""
    for number, one in enumerate(tried, start=1):
        if number % max(1, inputs // 10) == 0:
            click.echo(f"{number} of {inputs}", err=True)
        yield one


def replayed(path: Path, folder: Path) -> int:
    lab, case = Lab(folder / "replay"), Case.read(path.read_text())
    lab.prepare(torch=True)
    tried = lab.attempt(case)
    ending = lab.last
    click.echo(ending.output + ending.error)
    click.echo(f"{case.call.program} {' '.join(case.call.words)[:300]!r}: code {ending.code}, {ending.seconds:.1f} s")
    click.echo(f"finding: {' at '.join(tried.finding.key)}" if tried.finding else "nothing found")
    return 1 if tried.finding else 0


if __name__ == "__main__":
    main()
