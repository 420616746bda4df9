"""The feature store: one LMDB file, one value a recording, its contiguous [T, K, D] array.

A window is a slice of the memory map: nothing is decoded, nothing but the window's own pages is read. The file opens
once in each process, read-only and without locks, so that any number of readers share the page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from gad_core.errors import FeatureError
from gad_core.features.memory import frames_of, unknown

FORMAT = 1
HEADER = b"\x00header"
"""No recording's name begins with a zero byte."""


@dataclass(frozen=True)
class Entry:
    """What the header says of a recording; `source` is the size and time of change of the file it came from."""

    frames: int
    checksum: int
    source: str


@dataclass(frozen=True)
class Header:
    """What a store says of itself; `made_with` are the options it was packed with."""

    dtype: str
    tokens: int
    width: int
    fps: float
    extractor: str
    recordings: Mapping[str, Entry]
    made_with: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def encoded(self) -> bytes:
        """The header as it is stored."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @staticmethod
    def decoded(data: bytes, where: str) -> Header:
        """Reads a header; raises `FeatureError` for a newer format or a damaged one."""
        try:
            fields = json.loads(data)
            if fields["format"] > FORMAT:
                raise FeatureError(
                    f"was written in format {fields['format']}, this gad reads up to {FORMAT}",
                    where=where,
                    hint="update gad, or pack the features again",
                )
            entries = {name: Entry(**entry) for name, entry in fields.pop("recordings").items()}
            return Header(recordings=entries, **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise FeatureError(f"has a damaged header: {error}", where=where, hint="pack the features again") from error


def checksum(data: bytes | memoryview) -> int:
    """CRC-32 of a recording's bytes."""
    return zlib.crc32(data)


class FeatureStore:
    """A store opened for reading; implements `gad_core.contracts.Features`.

    Raises `FeatureError` when the file is missing or no store. It may be pickled to worker processes, which open the
    file themselves. One that is written to or cut short while it is open is noticed at the next read; one that is cut
    short during a read makes the system kill the process (SIGBUS). A file that takes its name changes nothing for who
    has opened the old one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = reader(self.path)
        self.header = read_header(self.path)
        self.tokens, self.width, self.fps = self.header.tokens, self.header.width, self.header.fps
        self.dtype = np.dtype(self.header.dtype)
        self.lengths: Mapping[str, int] = {name: entry.frames for name, entry in self.header.recordings.items()}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Some frames of a recording, (T, K, D) in the stored dtype, read-only.

        A contiguous range is a view of the memory map and costs no copy.
        """
        return frames_of(self.array(recording), recording, frames)

    def array(self, recording: str) -> np.ndarray:
        """The whole recording, a read-only view [T, K, D] of the memory map."""
        length = self.lengths.get(recording)
        if length is None:
            raise unknown(recording, self.lengths, str(self.path))
        data = self._reader.get(recording.encode())
        if data is None or len(data) != length * self.tokens * self.width * self.dtype.itemsize:
            raise FeatureError(
                f"recording {recording!r} is damaged: {0 if data is None else len(data)} bytes for {length} frames",
                where=str(self.path),
                hint="pack the features again",
            )
        return np.frombuffer(data, self.dtype).reshape(length, self.tokens, self.width)

    def intact(self, recording: str) -> bool:
        """Whether a recording's bytes have the checksum they were written with."""
        return checksum(self.array(recording).data.cast("B")) == self.header.recordings[recording].checksum

    def missing(self, recordings: Iterable[str]) -> list[str]:
        """Those of the named recordings that are not in the store."""
        return [name for name in dict.fromkeys(recordings) if name not in self.lengths]

    def surplus(self, recordings: Iterable[str]) -> list[str]:
        """The recordings in the store that are not among the named ones."""
        named = set(recordings)
        return [name for name in self.lengths if name not in named]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_reader"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reader = reader(self.path)


_MAGIC = b"\xde\xc0\xef\xbe"
"""What an LMDB file begins with, behind the 16 bytes of its first page's header."""
_PACK = "make a feature store with `gad features pack`"
_WHOLE = "leave a store alone while it is read; look at it with `gad features verify`, or pack the features again"


@dataclass(frozen=True)
class Reader:
    """The one reader of a file in this process: its read transaction, and a handle that tells when the file is written
    to."""

    path: Path
    handle: int
    state: tuple[int, ...]
    transaction: lmdb.Transaction

    def get(self, key: bytes) -> bytes | memoryview | None:
        """A value, a view of the memory map. Raises `FeatureError` when the file was written to or is damaged."""
        if _state(self.handle) != self.state:
            raise FeatureError("was written to since this process opened it", where=str(self.path), hint=_WHOLE)
        try:
            return self.transaction.get(key)
        except lmdb.Error as error:
            raise FeatureError(f"cannot be read: {error}", where=str(self.path), hint=_WHOLE) from error


_READERS: dict[str, Reader] = {}
"""The reader behind each path opened here: LMDB opens a path once a process. A forked process goes on with the reader
it inherits, which is sound for a map that is read only and has no locks."""


def reader(path: Path) -> Reader:
    """The reader of a store in this process, opened on first use and kept.

    Raises `FeatureError` when there is no store, or another file has taken its place since it was opened.
    """
    _require_file(path)
    key = os.path.realpath(path)
    if key not in _READERS:
        transaction = _open(path).begin(buffers=True)
        handle = os.open(path, os.O_RDONLY)
        _READERS[key] = Reader(path, handle, _state(handle), transaction)
    if _READERS[key].state[:2] != _state(path)[:2]:
        raise FeatureError(
            "has been replaced since this process opened it", where=str(path), hint="read it from a new process"
        )
    return _READERS[key]


def _state(file: Path | int) -> tuple[int, ...]:
    """What changes when a file is replaced (the first two) or written to (the others)."""
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_header(path: Path) -> Header:
    """The header of a store, without keeping it open. Raises `FeatureError` when there is none."""
    data = reader(path).get(HEADER) if os.path.realpath(path) in _READERS else _unkept_header(path)
    if data is None:
        raise FeatureError("is an LMDB file without a header", where=str(path), hint=_PACK)
    return Header.decoded(bytes(data), str(path))


def _unkept_header(path: Path) -> bytes | None:
    _require_file(path)
    try:
        with _open(path) as environment, environment.begin() as transaction:
            return transaction.get(HEADER)
    except lmdb.Error as error:
        raise FeatureError(f"cannot be read: {error}", where=str(path), hint=_WHOLE) from error


def content_of_store(path: Path) -> str | None:
    """A hash of what a store holds, from the checksums in its header; None where the file is no store.

    Stores of equal content are equal whenever and from whatever files they were packed.
    """
    with path.open("rb") as file:
        if file.read(20)[16:] != _MAGIC:
            return None
    try:
        header = read_header(path)
    except FeatureError:
        return None  # whoever opens it says what is wrong; until then it is bytes like any other file
    recordings = {name: (entry.frames, entry.checksum) for name, entry in sorted(header.recordings.items())}
    shape = (header.dtype, header.tokens, header.width, header.fps, header.extractor)
    return hashlib.sha256(json.dumps([shape, recordings]).encode()).hexdigest()


def _require_file(path: Path) -> None:
    if not path.exists():
        raise FeatureError("there is no such feature store", where=str(path), hint=_PACK)
    if path.is_dir():
        raise FeatureError("is a folder, not a feature store", where=str(path), hint=_PACK)


def _open(path: Path) -> lmdb.Environment:
    """Opens the file, which must be as long as it says: reading past the end of a map kills the process."""
    try:
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        raise FeatureError(f"is no feature store: {error}", where=str(path), hint=_PACK) from error
    whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < whole:
        environment.close()
        raise FeatureError(
            f"is cut short: {path.stat().st_size} of {whole} bytes are there", where=str(path), hint="copy it again"
        )
    return environment
