"""`gad show`: what an experiment is made of."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", metavar="EXPERIMENT")
@click.option("--split", default="train", show_default=True, help="The split to take the example from.")
@click.option("--sample", default=None, help="The uid of the example; the first of every asked relation unless given.")
def show(file: Path, name: str, split: str, sample: str | None) -> None:
    """Show an EXPERIMENT of a registry FILE: options, layout, an example sequence, what trains.

    In the example every token stands with its slot; the tokens that are supervised are marked with `*`.

    \b
    Example:
      gad show registry.yaml my-gad
    """
    from gad_core import registry
    from gad_core.cli.anatomy import describe

    (experiment,) = registry.load(file).select([name])
    describe(experiment, split=split, uid=sample)
