"""What is damaged, and which commands then read it."""

from __future__ import annotations

from dataclasses import dataclass

DATA = ("registry.yaml", "mine.lmdb", "mine.csv", "labels.txt")
FINISHED = "runs/gad/0/**/*"
INTERRUPTED = "runs/cut/0/**/*"


@dataclass(frozen=True)
class Target:
    """A kind of input. `entries` are copied for every input, a file that `damaged` names is damaged, and one of the
    `commands` called. `share` weighs it among its like; `torch` says that its commands import torch; `huge` that
    values may ask for more work than there is, and must be refused."""

    kind: str
    name: str
    commands: tuple[str, ...]
    entries: tuple[str, ...]
    damaged: tuple[str, ...]
    share: float = 1.0
    torch: bool = False
    huge: bool = True


def _check(experiment: str, name: str, *files: str, damaged: tuple[str, ...] = (), share: float = 1.0) -> Target:
    command = f"gad check registry.yaml {experiment} --data"
    return Target("annotations", name, (command,), ("registry.yaml", "mine.lmdb", *files), damaged or files, share)


def _original(name: str, words: str, *damaged: str) -> Target:
    command = f"gad_oad convert {words} --out out"
    rounded = f"{command} --fps 30 --rounding nearest"
    return Target("annotations", name, (f"{command} --fps 4", rounded), ("originals",), damaged, 0.5)


def _packing(suffix: str, *, torch: bool = False) -> Target:
    commands = (
        f"gad features pack {suffix} out.lmdb --fps 2",
        f"gad features pack {suffix} out.lmdb --fps 2 --tokens 5",
    )
    return Target("feature files", f".{suffix}", commands, (suffix,), (f"{suffix}/*",), 1.0, torch)


TARGETS = (
    Target("registries", "check", ("gad check registry.yaml", "gad check registry.yaml --data"), DATA, DATA[:1], 6),
    Target(
        "registries", "run, show", ("gad run registry.yaml gad", "gad show registry.yaml gad"),
        DATA, DATA[:1], 2, torch=True, huge=False,
    ),
    _check("gad", "segments .csv", "mine.csv", "labels.txt"),
    _check("tsv", "segments .tsv", "mine.tsv"),
    _check("json", "segments .json", "mine.json", share=1.5),
    _check("stream", "segments, stream", "mine.csv"),
    _check("coin", "COIN.json", "COIN.json", share=1.5),
    _check("oad", "data_info.json", "data_info.json", "targets", damaged=("data_info.json",)),
    _check("oad", "targets", "data_info.json", "targets", damaged=("targets/*",)),
    _original("thumos14 .csv", "thumos14 originals/thumos.csv", "originals/thumos.csv"),
    _original("thumos14 texts", "thumos14 originals/texts", "originals/texts/*"),
    _original("crosstask .zip", "crosstask originals/crosstask.zip", "originals/crosstask.zip"),
    _original("crosstask", "crosstask originals/crosstask_release", "originals/crosstask_release/**/*"),
    _original(
        "goalstep", "ego4d-goalstep originals/goalstep.json --data-info originals/goals.json",
        "originals/goalstep.json", "originals/goals.json",
    ),
    _original(
        "epic-kitchens-100",
        "epic-kitchens-100 originals/epic.csv originals/rulstm.csv --actions originals/actions.csv"
        " --videos originals/videos.csv",
        "originals/actions.csv", "originals/epic.csv", "originals/rulstm.csv", "originals/videos.csv",
    ),
    Target(
        "score files", ".json", ("gad score score.json", "gad score score.json --variant reference --smooth --json"),
        ("score.json",), ("score.json",), 2,
    ),
    Target(
        "score files", ".npz", ("gad score score.npz", "gad score score.npz --variant reference --json"),
        ("score.npz",), ("score.npz",), 1.5,
    ),
    Target(
        "stores", "info, verify, check",
        ("gad features info mine.lmdb", "gad features verify mine.lmdb", "gad check registry.yaml --data",
         "gad features verify mine.lmdb registry.yaml gad"),
        DATA, ("mine.lmdb",), 3,
    ),
    Target(
        "stores", "run, predict", ("gad run registry.yaml gad", "gad predict runs/gad/0 mine.lmdb --top 2",
                                   "gad stream runs/stream/0 mine.lmdb"),
        (*DATA, "runs"), ("mine.lmdb",), 2, torch=True, huge=False,
    ),
    _packing("npy"), _packing("npz"), _packing("h5"), _packing("pt", torch=True),
    Target(
        "runs", "finished",
        ("gad evaluate runs/gad/0", "gad predict runs/gad/0 mine.lmdb", "gad run registry.yaml gad"),
        (*DATA, "runs/gad"), (FINISHED,), 4, torch=True, huge=False,
    ),
    Target(
        "runs", "interrupted", ("gad run registry.yaml cut",),
        (*DATA, "runs/cut"), (INTERRUPTED,), 1.5, torch=True, huge=False,
    ),
)  # fmt: skip
