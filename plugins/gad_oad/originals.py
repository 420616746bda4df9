"""The original annotations of four benchmarks, read as they are published."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gad_core.errors import DataError
from gad_oad.rasterise import Action, Annotations

BACKGROUND = "Background"
AMBIGUOUS = "Ambiguous"
RULSTM_FPS = 30.0
"""Frames a second of the action lists that the field uses for EPIC-KITCHENS-100."""


def read_thumos14(paths: Sequence[Path]) -> Annotations:
    """THUMOS'14: CSV files `video,type,…,start,end`, or folders of the original `<Class>_val.txt` files with lines
    `video start end`. Classes: Background, the actions sorted, Ambiguous. Raises `DataError` with file and line."""
    rows = [row for path in paths for row in (_thumos_texts(path) if path.is_dir() else _thumos_rows(path))]
    names = {label for *_, label in rows} - {AMBIGUOUS}
    classes = (BACKGROUND, *sorted(names), AMBIGUOUS)
    index = {name: place for place, name in enumerate(classes)}
    return Annotations(classes, tuple(Action(video, start, end, index[label]) for video, start, end, label in rows))


def _thumos_rows(path: Path) -> Iterator[tuple[str, float, float, str]]:
    for where, row in _records(path, ("video", "type", "start", "end")):
        yield row["video"], _seconds(row["start"], where), _seconds(row["end"], where), row["type"]


def _thumos_texts(folder: Path) -> Iterator[tuple[str, float, float, str]]:
    files = sorted(folder.glob("*_val.txt")) + sorted(folder.glob("*_test.txt"))
    if not files:
        raise DataError("there is no <Class>_val.txt or <Class>_test.txt", where=str(folder))
    for path in files:
        for line, text in enumerate(_text(path).splitlines(), start=1):
            fields, where = text.split(), f"{path}:{line}"
            if fields and len(fields) != 3:
                raise DataError(f"{text!r} is not `video start end`", where=where)
            if fields:
                yield fields[0], _seconds(fields[1], where), _seconds(fields[2], where), path.stem.rsplit("_", 1)[0]


def read_epic_kitchens(actions: Path, paths: Sequence[Path], info: Path | None = None) -> Annotations:
    """EPIC-KITCHENS-100: `actions` lists `id,verb,noun,action`; each of `paths` is a list of the field (rows
    `id,video,start,end,verb,noun,action`, frames at 30 a second) or an official CSV with its times. Class = action id
    + 1, 0 is background. `info` is the official list of videos with their durations. Actions of official files whose
    (verb, noun) is not listed are skipped and counted."""
    listed = {int(row["id"]): row for _, row in _records(actions, ("id", "verb", "noun", "action"))}
    if sorted(listed) != list(range(len(listed))):
        raise DataError("the ids are not 0, 1, 2, …", where=str(actions))
    classes = (BACKGROUND, *(listed[place]["action"] for place in range(len(listed))))
    pairs = {(row["verb"], row["noun"]): place + 1 for place, row in listed.items()}
    found: list[Action] = []
    unlisted = 0
    for path in paths:
        if _text(path).startswith("narration_id"):
            for where, row in _records(
                path, ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
            ):
                label = pairs.get((row["verb_class"], row["noun_class"]))
                start, end = _clock(row["start_timestamp"], where), _clock(row["stop_timestamp"], where)
                unlisted += label is None
                found += [] if label is None else [Action(row["video_id"], start, end, label)]
        else:
            found += _rulstm(path, len(listed))
    durations: dict[str, float] = {}
    if info is not None:
        videos = {action.recording for action in found}
        for where, row in _records(info, ("video_id", "duration")):
            if row["video_id"] in videos:
                durations[row["video_id"]] = _seconds(row["duration"], where)
    return Annotations(classes, tuple(found), durations, _counted({"action of an unlisted class": unlisted}))


def _rulstm(path: Path, actions: int) -> Iterator[Action]:
    for line, row in enumerate(csv.reader(io.StringIO(_text(path))), start=1):
        where = f"{path}:{line}"
        if len(row) != 7:
            raise DataError(f"{len(row)} fields instead of id,video,start,end,verb,noun,action", where=where)
        label = row[6].strip()
        if not label.isdigit() or int(label) >= actions:
            raise DataError(f"action {label!r} is not among the {actions} listed", where=where)
        start, end = (_seconds(time, where) / RULSTM_FPS for time in row[2:4])
        yield Action(row[1].strip(), start, end, int(label) + 1)


def read_crosstask(path: Path) -> Annotations:
    """CrossTask: the official release, as the zip file or unpacked. A class is a distinct step text, in the order of
    `tasks_primary.txt`; a row `step,start,end` of `annotations/<task>_<video>.csv` counts its task's steps from 1."""
    files = dict(_release(path))
    tasks = next((text for name, text in files.items() if name.endswith("tasks_primary.txt")), None)
    if tasks is None:
        raise DataError("there is no tasks_primary.txt", where=str(path), hint="give crosstask_release or its zip")
    steps = {block.split("\n")[0]: block.split("\n")[4].split(",") for block in _blocks(tasks, path)}
    classes = (BACKGROUND, *dict.fromkeys(step.strip() for members in steps.values() for step in members))
    index = {name: place for place, name in enumerate(classes)}
    found = []
    for name, text in files.items():
        if name.endswith("tasks_primary.txt"):
            continue
        task, _, video = name.rsplit("/", 1)[-1].removesuffix(".csv").partition("_")
        for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
            where = f"{path}/{name}:{line}"
            if len(row) != 3 or not row[0].isdigit() or not 1 <= int(row[0]) <= len(steps.get(task, ())):
                raise DataError(f"{','.join(row)!r} is no step,start,end of task '{task}'", where=where)
            label = index[steps[task][int(row[0]) - 1].strip()]
            found.append(Action(video, _seconds(row[1], where), _seconds(row[2], where), label))
    return Annotations(classes, tuple(found))


def _blocks(text: str, path: Path) -> Iterator[str]:
    for block in text.replace("\r", "").strip().split("\n\n"):
        if block.strip().count("\n") != 4:
            raise DataError(
                "a task is not five lines: id, title, page, steps, names", where=f"{path}/tasks_primary.txt"
            )
        yield block.strip()


def _release(path: Path) -> Iterator[tuple[str, str]]:
    """The task list and the annotations of a release, by their names inside it."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if _wanted(name):
                yield name, _text(file)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if _wanted(name):
                    yield name, archive.read(name).decode("utf-8-sig")
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read it: {error}", where=str(path), hint="give crosstask_release or its zip"
        ) from error


def _wanted(name: str) -> bool:
    return name.endswith("tasks_primary.txt") or ("annotations/" in name and name.endswith(".csv"))


def read_goalstep(paths: Sequence[Path], class_names: Sequence[str], levels: Sequence[str]) -> Annotations:
    """Ego4D GoalStep: the official JSON; `levels` are of "steps" and "substeps", the segments and the segments inside
    them. The class is the category behind its first colon, in small letters; times count from the recording's
    beginning. `class_names` start with background; categories that are not among them are skipped and counted."""
    index = {name.lower(): place for place, name in enumerate(class_names)}
    found: list[Action] = []
    durations: dict[str, float] = {}
    unlisted = 0
    for path in paths:
        for video in _videos(path):
            try:
                name, durations[video["video_uid"]] = video["video_uid"], float(video["end_time"])
                for segment in _segments(video, levels):
                    label = index.get(segment["step_category"].split(": ", 1)[-1].strip().lower())
                    unlisted += label is None
                    times = float(segment["start_time"]), float(segment["end_time"])
                    found += [] if label is None else [Action(name, *times, label)]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(f"a segment lacks something: {error!r}", where=f"{path}: {video}"[:200]) from error
    return Annotations(tuple(class_names), tuple(found), durations, _counted({"action of an unlisted class": unlisted}))


def _videos(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(_text(path))["videos"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no GoalStep annotation: {error!r}", where=str(path), hint="it holds `videos`") from error


def _segments(video: Mapping[str, Any], levels: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for step in video["segments"]:
        if "steps" in levels:
            yield step
        if "substeps" in levels:
            yield from step.get("segments", ())


def _records(path: Path, needed: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with a header, and where each stands."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    missing = [column for column in needed if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"there is no column {', '.join(missing)}", where=f"{path}:1")
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise DataError("the row has not as many fields as the header", where=where)
        yield where, row


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read it: {error}", where=str(path)) from error


def _seconds(text: str, where: str) -> float:
    try:
        time = float(text)
    except ValueError:
        raise DataError(f"{text!r} is no time", where=where) from None
    if not 0 <= time < float("inf"):
        raise DataError(f"time {text} is negative or not finite", where=where)
    return time


def _clock(text: str, where: str) -> float:
    """Seconds of hh:mm:ss.ss."""
    parts = text.split(":")
    if len(parts) != 3:
        raise DataError(f"{text!r} is not hh:mm:ss", where=where)
    hours, minutes, seconds = (_seconds(part, where) for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
