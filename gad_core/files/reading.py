"""Files that others made: only regular files are opened, and what a library makes of a damaged one is located.

`reading` stands around the call of the library that reads and around nothing else: whatever that raises for damaged
bytes (`struct.error`, `zlib.error`, `RecursionError`, `MemoryError`, …) is then a fault of the file.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gad_core.errors import DataError, GadError

UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def require_file(path: Path, error: type[GadError] = DataError, hint: str | None = None) -> None:
    """Raises `error` for what is no regular file: a pipe or a device would never end."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise error("no such file", where=str(path), hint=hint) from None
    except (OSError, ValueError) as cause:
        raise error(f"cannot be opened: {reason(cause)}", where=str(path), hint=hint) from cause
    if not stat.S_ISREG(kind):
        what = "is a folder, not a file" if stat.S_ISDIR(kind) else "is a pipe or a device, not a regular file"
        raise error(what, where=str(path), hint=hint)


@contextmanager
def damaged(where: str, error: type[GadError] = DataError, hint: str | None = None) -> Iterator[None]:
    """Turns whatever a library raises over damaged content into a located `error`; errors of ours pass."""
    try:
        yield
    except GadError:
        raise
    except json.JSONDecodeError as cause:
        raise error(f"not JSON: {cause.msg}", where=f"{where}:{cause.lineno}", hint=hint) from cause
    except RecursionError as cause:
        raise error("is nested too deeply", where=where, hint=hint) from cause
    except Exception as cause:
        raise error(f"cannot be read: {reason(cause)}", where=where, hint=hint) from cause


@contextmanager
def reading(path: Path, error: type[GadError] = DataError, hint: str | None = None) -> Iterator[None]:
    """`damaged` for a whole file, which must be a regular one."""
    require_file(path, error, hint)
    with damaged(str(path), error, hint):
        yield


def reason(cause: Exception) -> str:
    """The first line of what an exception says, or its kind."""
    text = getattr(cause, "strerror", None) or str(cause)
    return text.splitlines()[0][:200] if text.strip() else type(cause).__name__


def read_text(path: Path, error: type[GadError] = DataError, hint: str | None = None) -> str:
    """The text of a UTF-8 file with the line ends it has; raises `error`."""
    with reading(path, error, hint):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        kind = "it is UTF-16" if content.startswith(UTF_16) else f"{cause.reason} at byte {cause.start}"
        raise error(f"not UTF-8 text: {kind}", where=str(path), hint="save the file as UTF-8") from cause


def read_json(path: Path, error: type[GadError] = DataError, hint: str | None = None, **options: Any) -> Any:
    """The value of a JSON file, in which no object has a key twice; `options` are those of `json.loads`. Raises
    `error`, with the line where it is no JSON."""
    text = read_text(path, error, hint)
    with damaged(str(path), error, hint):
        return json.loads(text, **{"object_pairs_hook": once_each, **options})


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises `DataError` for a key that is there twice: all but the last would be lost."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"the key {twice!r} is there twice in one object", hint="remove one of them")
    return content
