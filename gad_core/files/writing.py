"""Files that are whole or not there: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from gad_core.errors import CheckpointError

TEMPORARY = ".gad-"
"""How the name of a temporary begins: `.gad-<host>-<process>-<draw><suffix>`."""
STALE = 24 * 3600.0
"""Seconds after which a temporary of another machine, whose processes nobody here can see, counts as left behind."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes `path` when the block ends, and is removed when the block fails.

    The temporary name keeps the suffix, since some writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name(error, path)
        raise
    _flush(path.parent)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder that becomes `path` when the block ends, in place of what was there before.

    Files of the old folder that the new one does not have are carried over: somebody else put them there. Between the
    removal of the old folder and the renaming, the old one lies beside it under a temporary name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        for inner in temporary.rglob("*"):
            _flush(inner)
        _exchange(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name(error, path)
        raise
    _flush(path.parent)


def _name(error: BaseException, path: Path) -> None:
    """Has an error of the system name the file that the user knows: a full disk names none, and temporaries are
    ours."""
    if isinstance(error, OSError) and (error.filename is None or TEMPORARY in str(error.filename)):
        error.filename = str(path)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with the line ends it has."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON in the order of the mappings; NaN and infinities become null, which every JSON reader accepts."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value made of JSON's own types: NumPy's numbers and arrays, paths and tuples included."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


# -------------------------------------------------------------------------------------------------------------- hashes


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal_of(values: Mapping[str, Any]) -> str:
    """The SHA-256 of JSON values, whatever the order of their keys: a file that carries it shows when it was edited."""
    return hashlib.sha256(json.dumps(plain(values), sort_keys=True).encode()).hexdigest()


def require_unchanged(folder: Path, hashes: Mapping[str, str], hint: str) -> None:
    """Raises `CheckpointError` for a file in `folder` that is missing or whose bytes are not those of its hash."""
    for name, known in hashes.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError("is not there any more", where=str(path), hint=hint)
        if sha256_of(path) != known:
            raise CheckpointError("is not as it was written: its hash is another", where=str(path), hint=hint)


# ---------------------------------------------------------------------------------------------------------- temporaries


def sweep(folder: Path) -> None:
    """Removes what killed processes have left half written in a folder; what a living one is writing stays."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if not _in_use(path):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that it holds; it need not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A hidden new name in the same folder, so that renaming never crosses file systems.

    It tells the process that writes, and is short however long the name of `path` is.
    """
    return path.with_name(f"{TEMPORARY}{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix[:16]}")


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _in_use(path: Path) -> bool:
    """Whether the process that a temporary is named after may still be writing it."""
    host, _, rest = path.name.removeprefix(TEMPORARY).partition("-")
    process = rest.partition("-")[0]
    if host != _host() or not process.isdecimal():
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime < STALE
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _exchange(new: Path, path: Path) -> None:
    """Puts the folder `new` at `path`; what was there comes back when that fails."""
    old = _beside(path)
    with suppress(FileNotFoundError):
        os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        raise
    if old.exists():
        for inner in old.iterdir():
            if not (path / inner.name).exists():
                os.replace(inner, path / inner.name)
        shutil.rmtree(old)


def _flush(path: Path) -> None:
    """Has the system write a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
