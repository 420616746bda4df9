"""`gad run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from gad_core.registry.schema import LARGEST_SEED, once_each


def _distinct(ctx: click.Context, param: click.Parameter, given: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return once_each(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, metavar="[EXPERIMENT…]")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=None, help="Where runs are kept; as FILE says unless given."
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0, LARGEST_SEED),
    callback=_distinct,
    multiple=True,
    help="Run these seeds instead of the registry's.",
)
@click.option("--force", is_flag=True, help="Run again what is finished, and start over what was interrupted.")
@click.option("--quiet", is_flag=True, help="Print the comparison alone.")
def run(
    file: Path, names: tuple[str, ...], runs: Path | None, seeds: tuple[int, ...], force: bool, quiet: bool
) -> None:
    """Train, evaluate and compare the experiments of a registry FILE.

    Without names, what the file's `default` lists is run. A finished run is kept, an interrupted one goes on.

    \b
    Example:
      gad run registry.yaml
      gad run registry.yaml my-gad my-discriminative --seed 0 --seed 1
      torchrun --standalone --nproc-per-node 2 -m gad_core.cli run registry.yaml my-gad
    """
    from gad_core import registry
    from gad_core.runs.processes import one_voice
    from gad_core.runs.study import run_all

    with one_voice():
        book = registry.load(file)
        run_all(book, names, runs or book.runs, seeds=seeds, force=force, quiet=quiet)
