"""The original annotations of four benchmarks, read as they are published."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gad_core.plugin import (
    DataError,
    composed,
    damaged,
    no_file_name,
    read_json,
    read_text,
    reading,
    seconds_field,
    shown,
    text_field,
    time_field,
)
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
        times = seconds_field(row["start"], where), seconds_field(row["end"], where)
        yield _recording(row["video"], where), *times, _class(row["type"], where)


def _thumos_texts(folder: Path) -> Iterator[tuple[str, float, float, str]]:
    files = sorted(folder.glob("*_val.txt")) + sorted(folder.glob("*_test.txt"))
    if not files:
        raise DataError("there is no <Class>_val.txt or <Class>_test.txt", where=str(folder))
    for path in files:
        for line, written in enumerate(read_text(path).splitlines(), start=1):
            fields, where = written.split(), f"{path}:{line}"
            if fields and len(fields) != 3:
                raise DataError(f"{shown(written)} is not `video start end`", where=where)
            if fields:
                times = seconds_field(fields[1], where), seconds_field(fields[2], where)
                yield _recording(fields[0], where), *times, path.stem.rsplit("_", 1)[0]


def read_epic_kitchens(actions: Path, paths: Sequence[Path], info: Path | None = None) -> Annotations:
    """EPIC-KITCHENS-100: `actions` lists `id,verb,noun,action`; each of `paths` is a list of the field (rows
    `id,video,start,end,verb,noun,action`, frames at 30 a second) or an official CSV with its times. Class = action id
    + 1, 0 is background. `info` is the official list of videos with their durations. Actions of official files whose
    (verb, noun) is not listed are skipped and counted."""
    listed = {_whole(row["id"], "id", where): row for where, row in _records(actions, ("id", "verb", "noun", "action"))}
    if sorted(listed) != list(range(len(listed))):
        raise DataError("the ids are not 0, 1, 2, …", where=str(actions))
    classes = (BACKGROUND, *(composed(listed[place]["action"]) for place in range(len(listed))))
    pairs = {(row["verb"], row["noun"]): place + 1 for place, row in listed.items()}
    found: list[Action] = []
    unlisted = 0
    for path in paths:
        if read_text(path).startswith("narration_id"):
            for where, row in _records(
                path, ("video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
            ):
                label = pairs.get((row["verb_class"], row["noun_class"]))
                start, end = _clock(row["start_timestamp"], where), _clock(row["stop_timestamp"], where)
                unlisted += label is None
                found += [] if label is None else [Action(_recording(row["video_id"], where), start, end, label)]
        else:
            found += _rulstm(path, len(listed))
    durations: dict[str, float] = {}
    if info is not None:
        videos = {action.recording for action in found}
        for where, row in _records(info, ("video_id", "duration")):
            if row["video_id"] in videos:
                durations[row["video_id"]] = seconds_field(row["duration"], where)
    return Annotations(classes, tuple(found), durations, _counted({"action of an unlisted class": unlisted}))


def _rulstm(path: Path, actions: int) -> Iterator[Action]:
    for where, row in _rows(read_text(path), str(path)):
        if len(row) != 7:
            raise DataError(f"{len(row)} fields instead of id,video,start,end,verb,noun,action", where=where)
        label = _whole(row[6], "action", where)
        if label >= actions:
            raise DataError(f"action '{label}' is not among the {actions} listed", where=where)
        start, end = (seconds_field(time, where) / RULSTM_FPS for time in row[2:4])
        yield Action(_recording(row[1], where), start, end, label + 1)


def read_crosstask(path: Path) -> Annotations:
    """CrossTask: the official release, as the zip file or unpacked. A class is a distinct step text, in the order of
    `tasks_primary.txt`; a row `step,start,end` of `annotations/<task>_<video>.csv` counts its task's steps from 1."""
    files = dict(_release(path))
    tasks = next((written for name, written in files.items() if name.endswith("tasks_primary.txt")), None)
    if tasks is None:
        raise DataError("there is no tasks_primary.txt", where=str(path), hint="give crosstask_release or its zip")
    steps = {block.split("\n")[0]: block.split("\n")[4].split(",") for block in _blocks(tasks, path)}
    classes = (BACKGROUND, *dict.fromkeys(step.strip() for members in steps.values() for step in members))
    index = {name: place for place, name in enumerate(classes)}
    found = []
    for name, written in files.items():
        if name.endswith("tasks_primary.txt"):
            continue
        task, _, video = name.rsplit("/", 1)[-1].removesuffix(".csv").partition("_")
        for where, row in _rows(written, f"{path}/{name}"):
            if len(row) != 3 or not 1 <= _whole(row[0], "step", where) <= len(steps.get(task, ())):
                raise DataError(f"{shown(','.join(row))} is no step,start,end of task '{task}'", where=where)
            label = index[steps[task][int(row[0]) - 1].strip()]
            found.append(
                Action(_recording(video, where), seconds_field(row[1], where), seconds_field(row[2], where), label)
            )
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
                yield name, read_text(file)
        return
    with reading(path, hint="give crosstask_release or its zip"), zipfile.ZipFile(path) as archive:
        found = [(name, archive.read(name).decode("utf-8-sig")) for name in sorted(archive.namelist()) if _wanted(name)]
    yield from found


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
            where = f"{path}: {shown(video.get('video_uid'))}"
            name = _recording(_field(video, "video_uid", where), where)
            durations[name] = seconds_field(_field(video, "end_time", where), where)
            for segment in _segments(video, levels, where):
                category = text_field(_field(segment, "step_category", where), "step_category", where)
                label = index.get(category.split(": ", 1)[-1].strip().lower())
                unlisted += label is None
                start, end = (seconds_field(_field(segment, key, where), where) for key in ("start_time", "end_time"))
                found += [] if label is None else [Action(name, start, end, label)]
    return Annotations(tuple(class_names), tuple(found), durations, _counted({"action of an unlisted class": unlisted}))


def _videos(path: Path) -> list[Mapping[str, Any]]:
    document = read_json(path)
    videos = document.get("videos") if isinstance(document, dict) else None
    if not isinstance(videos, list) or not all(isinstance(video, dict) for video in videos):
        raise DataError("is no GoalStep annotation", where=str(path), hint="it holds `videos`, a list of objects")
    return videos


def _segments(video: Mapping[str, Any], levels: Sequence[str], where: str) -> Iterator[Mapping[str, Any]]:
    for step in _objects(video, where):
        if "steps" in levels:
            yield step
        if "substeps" in levels:
            yield from _objects(step, where) if "segments" in step else ()


def _objects(inside: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    """The segments of a video, or of a step."""
    members = _field(inside, "segments", where)
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise DataError("`segments` is no list of objects", where=where)
    return members


def _field(inside: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in inside:
        raise DataError(f"a segment or video lacks `{key}`", where=where)
    return inside[key]


def _rows(written: str, where: str) -> list[tuple[str, list[str]]]:
    """The rows of a CSV text, and where each stands."""
    reader = csv.reader(io.StringIO(written, newline=""))
    with damaged(where):
        return [(f"{where}:{reader.line_num}", row) for row in reader]


def _records(path: Path, needed: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with a header, and where each stands; empty ones are left out."""
    rows = _rows(read_text(path), str(path))
    header = rows[0][1] if rows else []
    missing = [column for column in needed if column not in header]
    if missing:
        raise DataError(f"there is no column {', '.join(missing)}", where=f"{path}:1")
    for where, row in rows[1:]:
        if row and len(row) != len(header):
            raise DataError("the row has not as many fields as the header", where=where)
        if row:
            yield where, dict(zip(header, row, strict=True))


def _recording(value: object, where: str) -> str:
    """The name of a recording, which becomes that of a file."""
    name = text_field(value, "recording", where)
    fault = no_file_name(name)
    if fault:
        raise DataError(
            f"recording {shown(name)} {fault}: no file can be called so", where=where, hint="rename the recording"
        )
    return name


def _class(value: object, where: str) -> str:
    name = text_field(value, "class", where, spelling=composed)
    if not name:
        raise DataError("the class is empty", where=where)
    return name


def _whole(written: str, what: str, where: str) -> int:
    if not re.fullmatch(r"\s*\d{1,9}\s*", written, re.ASCII):
        raise DataError(f"{what} {shown(written)} is no whole number", where=where)
    return int(written)


def _clock(written: str, where: str) -> float:
    """Seconds of hh:mm:ss.ss."""
    if written.count(":") != 2:
        raise DataError(f"{shown(written)} is not hh:mm:ss", where=where)
    return time_field(written, "time", where)


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
