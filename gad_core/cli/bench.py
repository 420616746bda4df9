"""`gad bench`: how fast, beside the scheme of the official code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gad_core.cli.say import emit, say
from gad_core.cli.types import COUNT, Number
from gad_core.errors import GadError

if TYPE_CHECKING:
    import torch

    from gad_core.bench.rows import Row
    from gad_core.bench.workload import Sizes, Workload

CLASSES = click.IntRange(2, 10**6)
THREADS = click.IntRange(1, 1024)
DAY = Number(0, 86400, min_open=True)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.argument("experiment", required=False)
@click.option("--workload", type=click.Choice(["oad", "coin"]), multiple=True, help="Built-in shapes; both by default.")
@click.option("--shape", default="small", help="Language model of the built-in shapes: small, or llama-1b.")
@click.option("--head", "heads", multiple=True, help="Measure these heads alone.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(["evaluation", "stream", "training"]))
@click.option("--lora", type=COUNT, help="Rank of the adapters of the built-in shapes; all weights train without it.")
@click.option(
    "--classes", type=click.IntRange(2, 10**6), default=22, show_default=True, help="Classes of the built-in shapes."
)
@click.option("--frames", type=COUNT, help="Frames of a window or clip of the built-in shapes.")
@click.option("--tokens", type=COUNT, help="Tokens a frame of the built-in shapes.")
@click.option("--layers", type=COUNT, help="Layers of the built-in shapes.")
@click.option("--store", type=click.Path(path_type=Path), help="Also measure how fast this feature store is read.")
@click.option("--threads", type=THREADS, default=1, show_default=True, help="CPU threads.")
@click.option(
    "--seconds", type=Number(0, 86400, min_open=True), default=5.0, show_default=True, help="Time for each row."
)
@click.option("--compile", is_flag=True, help="Measure ours compiled; takes minutes more.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list of rows.")
def bench(
    file: Path | None,
    experiment: str | None,
    workload: tuple[str, ...],
    shape: str,
    heads: tuple[str, ...],
    kinds: tuple[str, ...],
    lora: int | None,
    classes: int,
    frames: int | None,
    tokens: int | None,
    layers: int | None,
    store: Path | None,
    threads: int,
    seconds: float,
    compile: bool,
    as_json: bool,
) -> None:
    """Measure an EXPERIMENT of a registry FILE, or the paper's shapes with random weights.

    Every row stands beside the naive scheme of the official code, measured in the same rounds on the same machine: one
    window a step, adapters not merged, logits over the whole vocabulary at every position. `fraction of matmul` is the
    share of the machine's measured matrix-multiply rate.

    \b
    Example:
      gad bench
      gad bench --workload oad --head gad --kind training --lora 128
      gad bench registry.yaml kitchen-gad --json
    """
    import torch

    from gad_core.bench.measure import matmul_rate
    from gad_core.bench.rows import KINDS, Bench, Row, reading
    from gad_core.bench.workload import Sizes
    from gad_core.data.features import FeatureStore

    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    matmul = matmul_rate(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    rows: list[Row] = []
    if store is not None:
        rows.append(reading(FeatureStore(store), 160, seconds))
        say(f"reading: {rows[-1].rate:,.0f} {rows[-1].unit}", err=True)
    works = list(_workloads(file, experiment, workload, shape, Sizes(classes, frames, tokens, layers, lora)))
    parts = [
        (one, head, kind)
        for one in works
        for head in one.heads if not heads or head in heads
        for kind in kinds or KINDS
    ]  # fmt: skip
    for one, head, kind in parts:
        if len(parts) == 1:
            found = list(Bench(device, seconds, matmul, compile).rows(one, head, kind))
        else:
            found = [Row(**row) for row in _alone(one.name, head, kind, file is not None)]
        for row in found:
            rows.append(row)
            say(f"{row.head} {row.protocol} {row.implementation}: {row.rate:.1f} {row.unit}", err=True)
    if as_json:
        import json

        emit(json.dumps([row.as_dict() for row in rows], indent=1))
    else:
        _print(rows, matmul, device, threads)


def _alone(name: str, head: str, kind: str, of_registry: bool) -> list[dict[str, Any]]:
    """The rows of one part, measured in a process of its own: what ran before leaves no warm memory behind."""
    import json
    import subprocess
    import sys

    context = click.get_current_context()
    given = {**context.params, "workload": () if of_registry else (name,), "heads": (head,), "kinds": (kind,)}
    given |= {"experiment": name if of_registry else None, "store": None, "as_json": True}
    words = [sys.executable, "-m", "gad_core.cli", "bench"]
    for parameter in context.command.params:
        value = given[str(parameter.name)]
        for one in value if isinstance(value, tuple) else () if value is None or value is False else (value,):
            option = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            words += option if one is True else [*option, str(one)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GadError(f"the measurement of {head}, {kind} failed: {done.stderr.strip()[-500:]}", where=name)
    return list(json.loads(done.stdout))


def _workloads(
    file: Path | None, experiment: str | None, kinds: Iterable[str], shape: str, sizes: Sizes
) -> Iterator[Workload]:
    from gad_core import registry
    from gad_core.bench.workload import SHAPES, builtin, of_experiment
    from gad_core.errors import RegistryError
    from gad_core.files.suggestions import suggestion

    if file is not None:
        for chosen in registry.load(file).select([experiment] if experiment else []):
            yield of_experiment(chosen)
        return
    if shape not in SHAPES:
        known = ", ".join(SHAPES)
        raise RegistryError(f"there is no shape {shape!r}", hint=suggestion(shape, list(SHAPES), f"there are {known}"))
    for kind in kinds or ("oad", "coin"):
        yield builtin(kind, shape, sizes)  # type: ignore[arg-type]


def _print(rows: list[Row], matmul: float, device: torch.device, threads: int) -> None:
    """A table for each workload and head; rows of 80 columns."""
    from itertools import groupby

    from rich.table import Table

    from gad_core.report.console import make_console

    console = make_console(highlight=False)
    for (workload, head), found in groupby(rows, key=lambda row: (row.workload, row.head)):
        table = Table(
            "", "rate", "p50 / p95 / p99 ms", "MB", "× naive", "matmul",
            title=f"{workload}, {head}", title_justify="left", title_style="bold", box=None, pad_edge=False,
        )  # fmt: skip
        for column in table.columns[1:]:
            column.no_wrap, column.justify = True, "right"
        for row in found:
            table.add_row(*_cells(row))
        console.print(table, end="\n\n")
    console.print(f"{device.type}, {threads} threads, matrix multiply {matmul / 1e9:,.0f} GFLOP/s")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.protocol + (" by naive" if row.implementation == "naive" else ""),
        f"{_short(row.rate, 4)} {row.unit}",
        " / ".join(_short(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        f"{row.peak_memory_mb:.0f}",
        "" if row.ratio_to_naive is None else _short(row.ratio_to_naive),
        "" if row.fraction_of_matmul is None else f"{row.fraction_of_matmul:.2f}",
    )


def _short(value: float, digits: int = 3) -> str:
    """A few digits, but all those before the point."""
    return f"{value:.{digits}g}" if value < 1000 else f"{value:,.0f}"
