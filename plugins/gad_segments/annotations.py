"""The file of segments: rows with the line they stand on, and every fault of the file at once."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gad_core.errors import DataError, Faults, GadError

COLUMNS: dict[str, tuple[str, ...]] = {
    "recording": ("recording", "recording_id", "video", "video_id", "session", "file", "filename"),
    "start": ("start", "start_time", "start_s", "start_frame", "begin", "t_start", "onset"),
    "end": ("end", "end_time", "end_s", "end_frame", "stop", "t_end", "offset"),
    "label": ("label", "labels", "action", "class", "annotation"),
    "split": ("split", "subset", "set", "partition"),
    "goal": ("goal", "task", "activity"),
}
"""What each column may be called; upper and lower case, blanks and hyphens do not matter."""

REQUIRED = ("recording", "start", "end", "label", "split")


@dataclass(frozen=True, slots=True)
class Row:
    """One segment as it is written; `goal` is empty where none is given."""

    line: int
    recording: str
    start: float
    end: float
    label: str
    split: str
    goal: str


class LineFaults(Faults):
    """The faults of one file, told in the order of its lines behind those of the file as a whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._lines: dict[GadError, int] = {}

    def at(self, line: int, message: str, hint: str | None = None) -> None:
        """Notes a fault of one line."""
        self.add(message, where=f"{self.path}:{line}", hint=hint)
        self._lines[self.found[-1]] = line

    def raise_any(self) -> None:
        self.found.sort(key=lambda fault: self._lines.get(fault, 0))
        super().raise_any()


def read_rows(path: Path, faults: LineFaults) -> list[Row]:
    """The segments of a CSV, TSV or JSON file, in file order, without those that `faults` notes; raises `DataError`
    when the file cannot be read or holds none."""
    rows = [row for line, fields in _records(path) if (row := _row(line, fields, faults)) is not None]
    if not rows:
        faults.raise_any()
        raise DataError("no segments in the file", where=str(path), hint=f"give rows of {', '.join(REQUIRED)}")
    return rows


def has_goals(path: Path) -> bool:
    """Whether any segment names a goal, as far as the file can be read: its faults are told when it is opened."""
    try:
        return any(_text(fields.get("goal")) for _, fields in _records(path))
    except (OSError, ValueError, DataError):
        return False


def _row(line: int, fields: Mapping[str, object], faults: LineFaults) -> Row | None:
    texts = {column: _text(fields.get(column)) for column in ("recording", "label", "split", "goal")}
    empty = [column for column in ("recording", "label", "split") if not texts[column]]
    if empty:
        faults.at(line, f"no {' and no '.join(empty)}")
        return None
    start, end = (_time(line, column, fields.get(column), faults) for column in ("start", "end"))
    if start is None or end is None:
        return None
    if start >= end:
        faults.at(line, f"start {start:g} is not before end {end:g}")
        return None
    return Row(line, texts["recording"], start, end, texts["label"], texts["split"], texts["goal"])


def _time(line: int, column: str, value: object, faults: LineFaults) -> float | None:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        time = float(value)
    except ValueError:
        faults.at(
            line, f"{column} {value!r} is not a number", "times are plain numbers, in seconds unless `unit: frames`"
        )
        return None
    if not math.isfinite(time) or time < 0:
        faults.at(line, f"{column} is {time:g}", "times are finite and count from 0")
        return None
    return time


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Every record with its line, its fields under our names."""
    if not path.is_file():
        raise DataError("no such file", where=str(path), hint="`annotations` names a CSV, TSV or JSON file")
    try:
        yield from (_json_records if path.suffix.lower() == ".json" else _csv_records)(path)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason}", where=str(path), hint="save the file as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"no CSV: {error}", where=str(path)) from error


def _columns(headers: Collection[str], where: str) -> dict[str, str]:
    """The header of each of our columns; raises `DataError` when one is missing or there twice."""
    found: dict[str, str] = {}
    for header in headers:
        plain = header.strip().lower().replace(" ", "_").replace("-", "_")
        for column in (column for column, names in COLUMNS.items() if plain in names):
            if column in found:
                raise DataError(
                    f"{found[column]!r} and {header!r} may both be the {column}", where=where, hint="rename one of them"
                )
            found[column] = header
    missing = [column for column in REQUIRED if column not in found]
    if missing:
        raise DataError(
            f"there is no {', '.join(missing)} among {', '.join(map(repr, headers)) or 'nothing'}",
            where=where,
            hint=f"{missing[0]} may be called {', '.join(COLUMNS[missing[0]])}",
        )
    return found


def _csv_records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        header = next(reader, [])
        places = {column: header.index(name) for column, name in _columns(header, f"{path}:1").items()}
        line = reader.line_num + 1
        for values in reader:
            if any(value.strip() for value in values):
                if len(values) != len(header):
                    raise DataError(
                        f"{len(values)} fields, but the header has {len(header)}",
                        where=f"{path}:{line}",
                        hint="put a label that contains a comma in double quotes",
                    )
                yield line, {column: values[place] for column, place in places.items()}
            line = reader.line_num + 1


def _json_records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a JSON list, one at a time, so that the line of each is known."""
    text, decoder = path.read_text(encoding="utf-8-sig"), json.JSONDecoder()
    place, line, counted = _behind_blank(text, 0), 1, 0
    if text[place : place + 1] != "[":
        raise DataError("not a JSON list", where=f"{path}:1", hint="write a list of objects, one a segment")
    place = _behind_blank(text, place + 1)
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            record, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
        if not isinstance(record, dict):
            raise DataError(f"{record!r} is no segment", where=f"{path}:{line}", hint="write an object a segment")
        yield line, {column: record[name] for column, name in _columns(record, f"{path}:{line}").items()}
        place = _behind_blank(text, place)
        if text[place : place + 1] == ",":
            place = _behind_blank(text, place + 1)
        elif text[place : place + 1] != "]":
            raise DataError("a comma or ] is missing behind this segment", where=f"{path}:{line}")
    if text[place + 1 :].strip():
        raise DataError("there is text behind the list", where=f"{path}:{text.count(chr(10), 0, place) + 1}")


def _behind_blank(text: str, place: int) -> int:
    """The first place from `place` on that is no white space."""
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
