"""The field's files: `data_info.json` and one array of per-frame targets a recording."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gad_core.plugin import (
    FASTEST,
    DataError,
    Faults,
    LabelSpace,
    clean,
    composed,
    load_array,
    read_json,
    reading,
    shown,
    text_field,
)

BLOCK = 4096
"""Rows of targets looked at together: a recording of thousands of classes is never copied as a whole."""


@dataclass(frozen=True)
class DataInfo:
    """One dataset of a `data_info.json`; `sessions` are the recordings of each split."""

    classes: tuple[str, ...]
    sessions: Mapping[str, tuple[str, ...]]
    fps: float | None


@dataclass(frozen=True)
class Targets:
    """What the frames of a recording show.

    `main` (T,) is the one class of each frame; `several` the classes of those frames that have more than one, the
    main one first; `empty` counts frames without any class, which are background.
    """

    main: np.ndarray
    several: Mapping[int, tuple[int, ...]]
    empty: int
    was_cut: bool = False

    def cut(self, length: int) -> Targets:
        """The first `length` frames."""
        kept = {frame: classes for frame, classes in self.several.items() if frame < length}
        return Targets(self.main[:length], kept, self.empty, was_cut=True)

    def active(self, classes: int) -> np.ndarray | None:
        """Everything that is active, (T, classes) bool, or None where no frame shows more than one class."""
        if not self.several:
            return None
        active = np.zeros((len(self.main), classes), dtype=bool)
        active[np.arange(len(self.main)), self.main] = True
        for frame, several in self.several.items():
            active[frame, list(several)] = True
        return active


def plain_name(name: str) -> str:
    """A class name as it is written: every capital becomes a blank and its small letter (REFERENCE: class names);
    runs of blanks become one."""
    return " ".join(re.sub(r"[A-Z]", lambda capital: f" {capital.group().lower()}", name).split())


def read_info(path: Path, section: str | None, splits: Mapping[str, str], faults: Faults) -> DataInfo:
    """Reads `data_info.json`, of one dataset or of several by `section`; raises `DataError` on a missing or wrong
    entry, an empty split, and notes recordings named twice."""
    entry = read_entry(path, section)
    classes = names_of(entry, "class_names", path, spelling=composed)
    sessions = {split: names_of(entry, listed, path) for split, listed in splits.items()}
    known: dict[str, str] = {}
    for split, recordings in sessions.items():
        for recording in recordings:
            if recording in known:
                faults.add(
                    f"recording '{recording}' stands in {splits[known[recording]]} and again in {splits[split]}",
                    where=str(path),
                    hint="a recording is in one split, once",
                )
            known[recording] = split
    fps = entry.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps <= FASTEST):
        raise DataError(f"fps is {shown(fps)}", where=str(path), hint="write the frames a second of the targets")
    once = {split: tuple(dict.fromkeys(recordings)) for split, recordings in sessions.items()}
    return DataInfo(classes, once, None if fps is None else float(fps))


def read_entry(path: Path, section: str | None) -> Mapping[str, Any]:
    """The entry of one dataset as it stands; raises `DataError` when there is none."""
    found = read_json(path, hint="give the data_info.json of the dataset")
    if isinstance(found, dict) and "class_names" not in found and section in found:
        found = found[section]
    if not isinstance(found, dict) or "class_names" not in found:
        names = ", ".join(found) if isinstance(found, dict) else type(found).__name__
        raise DataError(
            "there are no class_names" + (f" and no section '{section}'" if section else ""),
            where=str(path),
            hint=f"it holds {names}: choose one with `section`",
        )
    return found


def names_of(
    entry: Mapping[str, Any], key: str, path: Path, *, spelling: Callable[[str], str] = clean
) -> tuple[str, ...]:
    """The names that an entry lists, in a `spelling`; raises `DataError` where it lists none, or no texts."""
    names = entry.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(f"{key} is no list of names", where=str(path), hint=f"the entry holds {', '.join(entry)}")
    return tuple(text_field(name, "name", f"{path}: {key}", spelling=spelling) for name in names)


def label_space(classes: tuple[str, ...], background: str, ignored: tuple[str, ...], where: str) -> LabelSpace:
    """The classes with their written forms; raises `DataError` when background or an ignored class is not among
    them. Background is written `background`, however the field spells it ("BackGround")."""
    folded = {name.casefold(): index for index, name in enumerate(classes)}

    def place(name: str) -> int:
        if name.casefold() not in folded:
            raise DataError(
                f"no class is called '{name}'", where=where, hint="set `background` and `ignored` to names of the file"
            )
        return folded[name.casefold()]

    empty = place(background)
    written = tuple("background" if index == empty else plain_name(name) for index, name in enumerate(classes))
    return LabelSpace("action", classes, written, background=empty, ignored=tuple(place(name) for name in ignored))


def targets_of(folder: Path, recording: str) -> Path:
    """The file of a recording's targets, which may spell accents in either way (NFC, NFD)."""
    spellings = (unicodedata.normalize(form, recording) for form in ("NFC", "NFD"))
    paths = [folder / f"{name}.npy" for name in spellings]
    return next((path for path in paths if path.is_file()), paths[0])


def read_targets(path: Path, classes: int, background: int, *, reference: bool = False) -> Targets:
    """The targets of one recording: [T, classes] one- or multi-hot, or class indices [T].

    The main class of a frame is its lowest active one other than background; `reference` takes the lowest whatever it
    is. Raises `DataError` on another number of classes, on values that are no flags or no classes.
    """
    with reading(path, hint="save the array with numpy.save"):
        values = load_array(path, mapped=True)
    if values.ndim == 1 and values.dtype.kind in "iu":
        return Targets(_checked_indices(values, classes, path), {}, 0)
    if values.ndim != 2 or values.shape[1] != classes or values.dtype.kind not in "biuf":
        raise DataError(
            f"the targets are {values.dtype} {values.shape}, but there are {classes} classes",
            where=str(path),
            hint="class_names of data_info.json and the columns of the targets belong together",
        )
    main = np.full(len(values), background, dtype=np.int64)
    several: dict[int, tuple[int, ...]] = {}
    empty = 0
    for first in range(0, len(values), BLOCK):
        block = np.asarray(values[first : first + BLOCK])
        if not ((block == 0) | (block == 1)).all():
            raise DataError("the targets are not 0 and 1", where=str(path), hint="write one- or multi-hot rows")
        rows, columns = np.nonzero(block)
        counts = np.bincount(rows, minlength=len(block))
        empty += int((counts == 0).sum())
        single = counts[rows] == 1
        main[first + rows[single]] = columns[single]
        for row in np.flatnonzero(counts > 1):
            shown = columns[rows == row].tolist()
            if not reference:
                shown = [label for label in shown if label != background]
            main[first + row] = shown[0]
            if len(shown) > 1:
                several[int(first + row)] = tuple(shown)
    return Targets(main, several, empty)


def _checked_indices(values: np.ndarray, classes: int, path: Path) -> np.ndarray:
    outside = np.flatnonzero((values < 0) | (values >= classes))
    if len(outside):
        raise DataError(
            f"frame {outside[0]} is of class {values[outside[0]]}, but there are {classes} (0 to {classes - 1})",
            where=str(path),
        )
    return np.array(values, dtype=np.int64)
