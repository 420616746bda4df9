"""`python -m gad_oad convert`: original annotations to per-frame targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from gad_core.plugin import RATE, CommandGroup, DataError, FeatureStore, Rounding, say
from gad_oad.rasterise import Conversion, convert

if TYPE_CHECKING:
    from gad_oad.rasterise import Annotations

SETS = "_session_set"
"""How the lists of recordings in a data_info.json end."""
BENCHMARKS = ("thumos14", "epic-kitchens-100", "crosstask", "ego4d-goalstep")
FILE = click.Path(exists=True, path_type=Path)


@click.group(cls=CommandGroup)
def main() -> None:
    """Online action detection."""


@main.command("convert")
@click.argument("benchmark", type=click.Choice(BENCHMARKS))
@click.argument("annotations", type=FILE, nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder to write to")
@click.option("--features", type=FILE, help="feature store: its lengths and rate are those of the targets")
@click.option("--fps", type=RATE, help="frames a second, without a store")
@click.option("--rounding", type=click.Choice(get_args(Rounding)), default="centre", show_default=True)
@click.option("--data-info", type=FILE, help="data_info.json whose session sets (and GoalStep classes) are taken over")
@click.option("--section", help="its entry, where it describes several datasets")
@click.option("--actions", type=FILE, help="EPIC-KITCHENS-100: list of action ids, id,verb,noun,action")
@click.option("--videos", type=FILE, help="EPIC-KITCHENS-100: EPIC_100_video_info.csv, for the durations")
@click.option("--force", is_flag=True, help="replace files that are there and hold something else")
@click.option(
    "--level", "levels", type=click.Choice(["steps", "substeps"]), multiple=True, help="GoalStep; both if null"
)
def convert_command(
    benchmark: str,
    annotations: tuple[Path, ...],
    out: Path,
    features: Path | None,
    fps: float | None,
    rounding: Rounding,
    data_info: Path | None,
    section: str | None,
    actions: Path | None,
    videos: Path | None,
    force: bool,
    levels: tuple[str, ...],
) -> None:
    """Turn the original ANNOTATIONS of a BENCHMARK into target_perframe/ and data_info.json.

    \b
    Example:
      python -m gad_oad convert crosstask crosstask_release.zip --features data/crosstask.lmdb --out data/crosstask
    """
    told = _told(features, fps)
    sessions = _sessions(data_info, section)
    found = _read(benchmark, annotations, data_info, actions, videos, levels or ("steps", "substeps"))
    done = convert(found, out, fps=told[0], lengths=told[1], rounding=rounding, sessions=sessions, force=force)
    report(done, out)


def report(done: Conversion, out: Path) -> None:
    """Prints what was written and what was not used."""
    say(f"{done.actions} actions, {done.recordings} recordings, {done.frames} frames are in {out}")
    for reason, count in done.skipped.items():
        say(f"{count} × {reason}", err=True)


def _told(features: Path | None, fps: float | None) -> tuple[float, dict[str, int] | None]:
    if features is not None:
        store = FeatureStore(features)
        return store.fps, dict(store.lengths)
    if fps is None:
        raise DataError("neither --features nor --fps is given", hint="targets need a frame rate")
    return fps, None


def _sessions(data_info: Path | None, section: str | None) -> dict[str, list[str]]:
    if data_info is None:
        return {}
    from gad_oad.layout import names_of, read_entry

    entry = read_entry(data_info, section)
    return {key: list(names_of(entry, key, data_info)) for key, names in entry.items() if key.endswith(SETS) and names}


def _read(
    benchmark: str,
    paths: tuple[Path, ...],
    data_info: Path | None,
    actions: Path | None,
    videos: Path | None,
    levels: tuple[str, ...],
) -> Annotations:
    from gad_oad import originals
    from gad_oad.layout import names_of, read_entry

    if benchmark == "thumos14":
        return originals.read_thumos14(paths)
    if benchmark == "crosstask":
        if len(paths) > 1:
            raise DataError("CrossTask is one release, a folder or a zip file", where=str(paths[1]))
        return originals.read_crosstask(paths[0])
    if benchmark == "epic-kitchens-100":
        if actions is None:
            raise DataError("--actions is not given", hint="give the list of action ids: id,verb,noun,action")
        return originals.read_epic_kitchens(actions, paths, videos)
    if data_info is None:
        raise DataError("--data-info is not given", hint="GoalStep's classes are in ego4d-goal_info.json")
    return originals.read_goalstep(paths, names_of(read_entry(data_info, None), "class_names", data_info), levels)


if __name__ == "__main__":
    main(prog_name="python -m gad_oad")
