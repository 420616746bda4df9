"""What else people have: files of other formats and separators are called by their name, with the way in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gad_core.plugin import DataError, reading

TABLE = "export it as CSV, with columns recording, start, end, label, split"
ROWS = "write a JSON list of objects with recording, start, end, label, split, or a CSV"

BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx, .ods)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\x00", "an SQLite file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"{\\rtf", "a text document (.rtf)"),
    (b"<ANNOTATION_DOCUMENT", "an ELAN file (.eaf)"),
    (b"<?xml", "an XML file, such as those of ELAN (.eaf)"),
    (b"<", "an HTML or XML file"),
)
"""How files of other formats begin."""

SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}


def refuse_other_formats(path: Path) -> None:
    """Raises `DataError` for files that begin as something else does, whatever their suffix says."""
    with reading(path), path.open("rb") as file:
        beginning = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    for known, what in BEGINNINGS:
        if beginning.startswith(known):
            raise DataError(f"is {what}, not CSV or JSON text", where=str(path), hint=TABLE)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        raise DataError("is JSON lines, an object a line", where=str(path), hint=ROWS)
    if path.suffix.lower() != ".json" and beginning[:1] in (b"[", b"{"):
        raise DataError("is JSON, but not called so", where=str(path), hint="let its name end in .json")


def refuse_other_separator(path: Path, header: Sequence[str], separator: str) -> None:
    """Raises `DataError` where the header is one field that another separator divides."""
    if header and header[0].lower().startswith("sep="):
        raise DataError(
            "the first line, `sep=`, is a note for Excel and no header",
            where=f"{path}:1",
            hint="remove it, and " + _instead(header[0][4:] or separator),
        )
    if len(header) != 1:
        return
    for other in (other for other in SEPARATORS if other != separator and other in header[0]):
        raise DataError(f"the columns are separated by {SEPARATORS[other]}", where=f"{path}:1", hint=_instead(other))


def _instead(separator: str) -> str:
    tabs = "let the name of the file end in .tsv, or save it with commas"
    return tabs if separator == "\t" else "save it with commas (.csv), or with tabs (.tsv)"


def refuse_other_json(path: Path, text: str) -> None:
    """Raises `DataError` for a JSON text that is no list but known otherwise: JSON lines, ActivityNet, COIN, …"""
    lines = text.split("\n", 2)
    try:
        first = json.loads(lines[0])
        rest = json.loads(lines[1]) if len(lines) > 1 and lines[1].strip() else None
    except (ValueError, RecursionError):
        first = rest = None
    if isinstance(first, dict) and isinstance(rest, dict):
        raise DataError("is JSON lines, an object a line", where=f"{path}:1", hint=ROWS)
    head = text[:100_000]
    for key, what, hint in (
        ('"database"', "is in the format of ActivityNet or COIN", f"`use: coin` reads COIN.json; else {ROWS}"),
        ('"_via_', "is a project of the VGG annotator (VIA)", ROWS),
        ('"annotations"', "is an object of annotations, as COCO and others have them", ROWS),
    ):
        if key in head:
            raise DataError(f"{what}, not a list of segments", where=f"{path}:1", hint=hint)


def refuse_other_record(record: Mapping[str, Any], where: str) -> None:
    """Raises `DataError` for a task of Label Studio."""
    results = record.keys() & {"annotations", "completions", "predictions", "result"}
    if (results and record.keys() & {"data", "task", "id"}) or record.keys() & {"videoLabels", "timelineLabels"}:
        raise DataError("is a task of Label Studio, not a segment", where=where, hint=ROWS)
