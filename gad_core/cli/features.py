"""`gad features`: make, look at and check feature stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gad_core.cli.say import say
from gad_core.cli.types import COUNT, RATE

PATH = click.Path(path_type=Path)


@click.group()
def features() -> None:
    """Make, look at and check feature stores."""


@features.command()
@click.argument("sources", nargs=-1, required=True, type=PATH, metavar="FOLDER…")
@click.argument("out", type=PATH, metavar="STORE")
@click.option("--fps", type=RATE, required=True, help="Frames a second.")
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16", show_default=True)
@click.option("--tokens", type=COUNT, default=None, help="Tokens a frame; splits a [T, K·D] file.")
@click.option("--key", default=None, help="The array to take from .npz, .pt and .h5 files that hold several.")
@click.option("--extractor", default="", help="What made the features, for the record.")
@click.option("--allow-nonfinite", is_flag=True, help="Pack NaN and infinite values too.")
@click.option("--transpose", is_flag=True, help="The files are [width, frames], as MS-TCN's are.")
@click.option("--name", default=None, metavar="PATTERN", help="How files are called, such as '{recording}_rgb.npy'.")
def pack(
    sources: tuple[Path, ...],
    out: Path,
    fps: float,
    dtype: str,
    tokens: int | None,
    key: str | None,
    extractor: str,
    allow_nonfinite: bool,
    transpose: bool,
    name: str | None,
) -> None:
    """Pack .npy, .npz, .pt and .h5 files of FOLDERs into a feature STORE.

    Every file is a recording, named by the file; its array is [frames, width] or [frames, tokens, width]. Links are
    followed; hidden files and other kinds are left out and counted. With --name a recording is called as the part of
    the file's name that {recording} stands for, and files of other names are left out. Interrupted, the same command
    goes on; with nothing changed it does nothing.

    \b
    Example:
      gad features pack features/ my.lmdb --fps 4
      gad features pack siglip/ coin.lmdb --fps 2 --tokens 10 --extractor siglip-large-patch16-384
      gad features pack i3d/ salads.lmdb --fps 15 --transpose --name '{recording}_rgb.npy'
    """
    from gad_core.data.features.pack import Packing, pack
    from gad_core.data.features.sources import find_files, sources_of

    options = Packing(fps, dtype, tokens, extractor, allow_nonfinite, transpose)
    files = find_files(sources, name)
    found = sources_of(files, key)
    with following("packing", len(found)) as report:
        done = pack(found, out, options, report)
    say(f"{out}: {len(found)} recordings" + ("" if done else ", nothing has changed"))
    if files.skipped:
        say(f"left out: {files.told()}", err=True)


@features.command()
@click.argument("store", type=PATH)
def info(store: Path) -> None:
    """Show what a feature STORE holds.

    \b
    Example:
      gad features info my.lmdb
    """
    from rich.table import Table
    from rich.text import Text

    from gad_core.data.features import FeatureStore
    from gad_core.report.console import make_console

    opened = FeatureStore(store)
    lengths = sorted(opened.lengths.values())
    frames = sum(lengths)
    table = Table(show_header=False)
    for name, value in (
        ("recordings", f"{len(lengths)}"),
        ("frames", f"{frames:,} ({lengths[0]} to {lengths[-1]} a recording)" if lengths else "0"),
        ("duration", f"{frames / opened.fps / 3600:.2f} hours at {opened.fps:g} frames a second"),
        ("a frame", f"{opened.tokens} × {opened.width} {opened.header.dtype}"),
        ("extractor", opened.header.extractor or "not recorded"),
        ("size", f"{store.stat().st_size / 2**20:,.1f} MB"),
        ("such as", ", ".join(list(opened.lengths)[:3])),
    ):
        table.add_row(name, Text(value))
    make_console().print(table)


@features.command()
@click.argument("store", type=PATH)
@click.argument("registry", type=PATH, required=False)
@click.argument("experiment", required=False)
def verify(store: Path, registry: Path | None, experiment: str | None) -> None:
    """Check a feature STORE: checksums, NaN and infinite values, and against the dataset of an EXPERIMENT.

    Exits with 2 when anything is damaged or missing.

    \b
    Example:
      gad features verify my.lmdb
      gad features verify my.lmdb registry.yaml my-gad
    """
    from gad_core.data.features import FeatureStore
    from gad_core.data.features.verify import faults

    if (registry is None) != (experiment is None):
        raise click.UsageError("name both the registry and the experiment to compare with")
    opened = FeatureStore(store)
    with following("verifying", len(opened.lengths)) as report:
        found = faults(opened, report)
    for fault in found:
        say(f"{store}: {fault.recording}: {fault.message}")
    say(f"{store}: {len(opened.lengths) - len({f.recording for f in found})} of {len(opened.lengths)} recordings sound")
    lacks = _compare(store, registry, experiment) if registry and experiment else False
    if found or lacks:
        raise SystemExit(2)


def _compare(store: Path, file: Path, name: str) -> bool:
    """Prints how an experiment's recordings lie in its features; returns whether any is missing."""
    from gad_core import registry
    from gad_core.data.features.verify import coverage
    from gad_core.errors import FeatureError

    (experiment,) = registry.load(file).select([name])
    if store.resolve() not in {path.resolve() for path in experiment.dataset.files()}:
        raise FeatureError(f"experiment {name!r} does not read {store}", where=str(file), hint="name its own store")
    found = coverage(experiment.dataset.open())
    say(f"{found.used} used of {found.named} named by {name}")
    say(f"{len(found.surplus)} recordings in the store are not named")
    for recording in found.missing:
        say(f"missing: {recording}")
    for recording in found.surplus[:10]:
        say(f"not named: {recording}")
    return bool(found.missing)


@contextmanager
def following(title: str, total: int) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal, a line now and then elsewhere; yields `report(done, total, what)`."""
    from gad_core.runs.progress import Reporter

    reporter = Reporter()
    with reporter.bar(title, total):
        yield lambda done, _total, _what: reporter.advance(done)
