"""The file of segments: rows with the line they stand on, and every fault of the file at once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gad_core.plugin import (
    DataError,
    Faults,
    GadError,
    damaged,
    once_each,
    read_text,
    require_file,
    shown,
    text_field,
    time_field,
)
from gad_segments.formats import (
    refuse_other_formats,
    refuse_other_json,
    refuse_other_record,
    refuse_other_separator,
)

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

    @contextmanager
    def on(self, line: int) -> Iterator[None]:
        """Notes a fault that the block finds in a field of one line."""
        try:
            yield
        except DataError as error:
            self.at(line, error.message, error.hint)

    def raise_any(self) -> None:
        self.found.sort(key=lambda fault: self._lines.get(fault, 0))
        super().raise_any()


def read_rows(path: Path, faults: LineFaults, *, clock: bool = True) -> list[Row]:
    """The segments of a CSV, TSV or JSON file, in file order, without those that `faults` notes; raises `DataError`
    when the file cannot be read or holds none. With `clock` times may be hh:mm:ss."""
    rows = [row for line, fields in _records(path) if (row := _row(line, fields, faults, clock)) is not None]
    if not rows:
        faults.raise_any()
        raise DataError("no segments in the file", where=str(path), hint=f"give rows of {', '.join(REQUIRED)}")
    return rows


def has_goals(path: Path) -> bool:
    """Whether any segment names a goal, as far as the file can be read: its faults are told when it is opened."""
    try:
        return any(text_field(fields.get("goal"), "goal") for _, fields in _records(path))
    except DataError:
        return False


def _row(line: int, fields: Mapping[str, object], faults: LineFaults, clock: bool) -> Row | None:
    """One segment, or None with all that is wrong with it noted."""
    before = len(faults.found)
    texts, times = {}, {}
    for column in ("recording", "label", "split", "goal"):
        with faults.on(line):
            texts[column] = text_field(fields.get(column), column, numbers=column == "recording")
    empty = [column for column in ("recording", "label", "split") if texts.get(column) == ""]
    if empty:
        faults.at(line, f"no {' and no '.join(empty)}")
    for column in ("start", "end"):
        with faults.on(line):
            times[column] = time_field(fields.get(column), column, clock=clock)
    if len(times) == 2 and times["start"] >= times["end"]:
        faults.at(line, f"start {times['start']:g} is not before end {times['end']:g}")
    if len(faults.found) > before:
        return None
    return Row(line, texts["recording"], times["start"], times["end"], texts["label"], texts["split"], texts["goal"])


def _records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Every record with its line, its fields under our names."""
    require_file(path, hint="`annotations` names a CSV, TSV or JSON file")
    refuse_other_formats(path)
    try:
        yield from (_json_records if path.suffix.lower() == ".json" else _csv_records)(path)
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
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    header = next(reader, [])
    refuse_other_separator(path, header, delimiter)
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
    written, decoder = read_text(path), json.JSONDecoder(object_pairs_hook=once_each)
    place, line, counted = _behind_blank(written, 0), 1, 0
    if written[place : place + 1] != "[":
        refuse_other_json(path, written)
        raise DataError("not a JSON list", where=f"{path}:1", hint="write a list of objects, one a segment")
    place = _behind_blank(written, place + 1)
    while written[place : place + 1] != "]":
        line, counted = line + written.count("\n", counted, place), place
        where = f"{path}:{line}"
        record, place = _decoded(decoder, written, place, where, path)
        yield line, {column: record[name] for column, name in _columns(record, where).items()}
        place = _behind_blank(written, place)
        if written[place : place + 1] == ",":
            place = _behind_blank(written, place + 1)
        elif written[place : place + 1] != "]":
            raise DataError("a comma or ] is missing behind this segment", where=where)
    if written[place + 1 :].strip():
        raise DataError("there is text behind the list", where=f"{path}:{written.count(chr(10), 0, place) + 1}")


def _decoded(decoder: json.JSONDecoder, written: str, place: int, where: str, path: Path) -> tuple[dict[str, Any], int]:
    """The object that stands at a place, and the place behind it."""
    try:
        with damaged(where):
            record, behind = decoder.raw_decode(written, place)
    except DataError as error:
        at = error.__cause__.lineno if isinstance(error.__cause__, json.JSONDecodeError) else None
        raise DataError(error.message, where=f"{path}:{at}" if at else where, hint=error.hint) from error
    if not isinstance(record, dict):
        raise DataError(f"{shown(record)} is no segment", where=where, hint="write an object a segment")
    refuse_other_record(record, where)
    return record, behind


def _behind_blank(text: str, place: int) -> int:
    """The first place from `place` on that is no white space."""
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
