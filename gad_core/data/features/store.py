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
from typing import Annotated, Any

import lmdb
import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from gad_core.data.features.memory import frames_of, unknown
from gad_core.errors import FeatureError
from gad_core.files.fields import FASTEST, clean, shown
from gad_core.files.reading import damaged

FORMAT = 1
MOST = 1 << 40
"""Frames of a recording, tokens of a frame, values of a token: more are a damaged header."""
HEADER = b"\x00header"
"""No recording's name begins with a zero byte."""


@dataclass(frozen=True)
class Entry:
    """What the header says of a recording; `source` is the size and time of change of the file it came from."""

    frames: Annotated[int, Field(ge=0, le=MOST)]
    checksum: int
    source: str


@dataclass(frozen=True)
class Header:
    """What a store says of itself; `made_with` are the options it was packed with."""

    dtype: Annotated[str, Field(pattern="^float(16|32|64)$")]
    tokens: Annotated[int, Field(ge=1, le=MOST)]
    width: Annotated[int, Field(ge=1, le=MOST)]
    fps: Annotated[float, Field(gt=0, le=FASTEST)]
    extractor: str
    recordings: Mapping[str, Entry]
    made_with: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def encoded(self) -> bytes:
        """The header as it is stored."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @staticmethod
    def decoded(data: bytes, where: str) -> Header:
        """Reads a header and checks the type of every field; raises `FeatureError` for a newer format or a damaged
        one."""
        hint = "pack the features again"
        with damaged(where, FeatureError, hint):
            fields = json.loads(data)
        written = fields.get("format") if isinstance(fields, dict) else None
        if isinstance(written, int) and written > FORMAT:
            raise FeatureError(
                f"was written in format {shown(written)}, this gad reads up to {FORMAT}",
                where=where,
                hint=f"update gad, or {hint}",
            )
        try:
            return TypeAdapter(Header).validate_json(data, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "all of it"
            raise FeatureError(f"has a damaged header: {place}: {first['msg']}", where=where, hint=hint) from error


def checksum(data: bytes | memoryview) -> int:
    """CRC-32 of a recording's bytes."""
    return zlib.crc32(data)


class FeatureStore:
    """A store opened for reading; implements `gad_core.contracts.components.Features`.

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
        self._stored = _spelt_once(self.header, str(self.path))
        self.lengths: Mapping[str, int] = {
            name: self.header.recordings[stored].frames for name, stored in self._stored.items()
        }

    @property
    def checksums(self) -> Mapping[str, int]:
        """The checksum of every recording's bytes."""
        return {name: self.header.recordings[stored].checksum for name, stored in self._stored.items()}

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
        data = self._reader.get(self._stored[recording].encode())
        if data is None or len(data) != length * self.tokens * self.width * self.dtype.itemsize:
            raise FeatureError(
                f"recording {recording!r} is damaged: {0 if data is None else len(data)} bytes for {length} frames",
                where=str(self.path),
                hint="pack the features again",
            )
        return np.frombuffer(data, self.dtype).reshape(length, self.tokens, self.width)

    def intact(self, recording: str) -> bool:
        """Whether a recording's bytes have the checksum they were written with."""
        return (
            checksum(self.array(recording).data.cast("B")) == self.header.recordings[self._stored[recording]].checksum
        )

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


def _spelt_once(header: Header, where: str) -> dict[str, str]:
    """The name under which each recording is stored, by the spelling in which names are compared. Raises `FeatureError`
    where two differ in nothing else."""
    stored = {clean(name): name for name in header.recordings}
    if len(stored) < len(header.recordings):
        twice = next(name for name in header.recordings if stored[clean(name)] != name)
        raise FeatureError(
            f"holds two recordings called {clean(twice)!r} in different spellings",
            where=where,
            hint="rename one of them",
        )
    return stored


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
    if not path.is_file():
        raise FeatureError("is a pipe or a device, not a feature store", where=str(path), hint=_PACK)


def _open(path: Path) -> lmdb.Environment:
    """Opens the file, which must be as long as it says: reading past the end of a map kills the process."""
    try:
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        raise FeatureError(f"is no feature store: {error}", where=str(path), hint=_PACK) from error
    try:
        require_whole(environment, path)
    except FeatureError:
        environment.close()
        raise
    return environment


def require_whole(environment: lmdb.Environment, path: Path) -> None:
    """Raises `FeatureError` for a file that is shorter than it says: reading past its end kills the process."""
    whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < whole:
        message = f"is cut short: {path.stat().st_size} of {whole} bytes are there"
        raise FeatureError(message, where=str(path), hint="copy it again")
