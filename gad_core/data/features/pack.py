"""Packing: folders of feature files become one store.

The store grows under the name `<store>.partial`, a transaction a recording. A killed packing goes on where it was; the
file takes its name when it is whole; a store whose sources have not changed is left alone.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lmdb
import numpy as np

from gad_core.data.features.sources import Source
from gad_core.data.features.store import HEADER, Entry, Header, checksum, read_header, require_whole
from gad_core.errors import FeatureError
from gad_core.files.fields import FASTEST
from gad_core.files.reading import damaged, require_file

DONE = b"\x01"
"""Before the name of a recording: the record of its packing, until the store is whole."""
Progress = tuple[dict[str, Entry], tuple[int, int] | None]
"""The recordings that are packed, and tokens and width of their frames."""
FIRST_MAP = 1 << 30
"""Bytes the map starts with; it doubles when it is full."""


@dataclass(frozen=True)
class Packing:
    """What to make of the sources. `tokens` splits [T, K·D] files; `dtype` is numpy's name of what is stored;
    `transpose` is for files of [D, T].

    Raises `FeatureError` when `fps` is no positive number.
    """

    fps: float
    dtype: str = "float16"
    tokens: int | None = None
    extractor: str = ""
    allow_nonfinite: bool = False
    transpose: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and 0 < self.fps <= FASTEST):
            raise FeatureError(f"{self.fps} frames a second is no rate", hint="give the frames a second as --fps")


def pack(
    sources: Sequence[Source], out: Path, options: Packing, report: Callable[[int, int, str], None] = lambda *_: None
) -> bool:
    """Writes a store; returns whether there was anything to do. `report(done, total, recording)` follows the work.

    Raises `FeatureError`, naming the file, for arrays of another width, wrong dimensions, or NaN and infinite values.
    """
    if _unchanged(out, sources, options):
        _doubt(read_header(out), options)
        return False
    partial = out.with_name(out.name + ".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    environment, (entries, shape) = _open_partial(partial, sources, options)
    resumed = bool(entries)
    try:
        for number, source in enumerate(sources, start=1):
            if source.recording not in entries:
                array = prepared(source, options)
                shape = shape or (array.shape[1], array.shape[2])
                _require_shape(array, shape, source, {entry.frames for entry in entries.values()})
                data = array.tobytes()
                entries[source.recording] = entry = Entry(len(array), checksum(data), source.stamp)
                record = json.dumps([shape, asdict(options), asdict(entry)]).encode()
                _put(environment, {source.recording.encode(): data, DONE + source.recording.encode(): record})
            report(number, len(sources), source.recording)
        assert shape is not None
        header = Header(options.dtype, *shape, options.fps, options.extractor, entries, asdict(options))
        _finish(environment, header)
        whole = not resumed or all(_stored(environment, name) == entry.checksum for name, entry in entries.items())
    finally:
        environment.close()
    if not whole:
        partial.unlink()
        raise FeatureError(
            "what an interrupted packing had left was damaged, and is removed",
            where=str(partial),
            hint="run the same command again: it packs everything anew",
        )
    os.replace(partial, out)
    partial.with_name(partial.name + "-lock").unlink(missing_ok=True)
    _doubt(header, options)
    return True


def _open_partial(path: Path, sources: Sequence[Source], options: Packing) -> tuple[lmdb.Environment, Progress]:
    """The store that grows, and what of it is done. One that a crash has damaged is begun anew: it holds nothing but
    copies. Raises `FeatureError` where the system lets none be written."""
    if path.exists():
        require_file(path, FeatureError, "it stands where the store would grow: remove it")
        environment = None
        try:
            with damaged(str(path), FeatureError):
                environment = _grown(path)
                require_whole(environment, path)
                return environment, _resume(environment, sources, options)
        except FeatureError:
            if environment is not None:
                environment.close()
            path.unlink()
    with damaged(str(path), FeatureError, "is the disk full, or the folder read-only?"):
        return _grown(path), ({}, None)


def _grown(path: Path) -> lmdb.Environment:
    return lmdb.open(str(path), subdir=False, map_size=FIRST_MAP, sync=False, max_dbs=0)


def _require_shape(array: np.ndarray, shape: tuple[int, int], source: Source, lengths: set[int]) -> None:
    """Raises `FeatureError` where a recording has not the shape of the others, which have the `lengths`."""
    if array.shape[1:] == shape:
        return
    message = f"has {array.shape[1]} tokens of width {array.shape[2]} a frame, the others {shape[0]} of {shape[1]}"
    if lengths == {len(array)} and array.shape[1] == shape[0] == 1:
        raise FeatureError(
            f"{message}, and all have {len(array)} frames: looks like [width, frames]",
            where=str(source.path),
            hint="pass --transpose if the files are [width, frames]; else pack them into different stores",
        )
    raise FeatureError(
        message, where=str(source.path), hint="pack features of different extractors into different stores"
    )


def _doubt(header: Header, options: Packing) -> None:
    """Warns of a store that looks like one of [width, frames]: recordings differ in length, widths do not, and a width
    is a round number or smaller than the number of frames."""
    lengths = {entry.frames for entry in header.recordings.values()}
    if options.transpose or len(header.recordings) < 2 or len(lengths) > 1 or header.tokens > 1:
        return
    (length,) = lengths
    if length >= header.width or (length % 64 == 0 and header.width % 64):
        logging.getLogger(__name__).warning(
            "all %d recordings have %d frames of width %d: if the files are [width, frames], pass --transpose",
            len(header.recordings), length, header.width,
        )  # fmt: skip


def prepared(source: Source, options: Packing) -> np.ndarray:
    """The array of a source as it is stored: [T, K, D], contiguous. Raises `FeatureError` where it cannot be."""
    array, where = source.read(), str(source.path)
    if options.transpose:
        if array.ndim != 2:
            raise FeatureError(f"has shape {list(array.shape)}", where=where, hint="--transpose is for [width, frames]")
        array = array.T
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise FeatureError(
            f"has shape {list(array.shape)}", where=where, hint="give [frames, width] or [frames, tokens, width]"
        )
    if array.ndim == 2 and options.tokens:
        if array.shape[1] % options.tokens:
            raise FeatureError(f"width {array.shape[1]} is no multiple of {options.tokens} tokens", where=where)
        array = array.reshape(len(array), options.tokens, -1)
    elif array.ndim == 2:
        array = array[:, None]
    if options.tokens and array.shape[1] != options.tokens:
        raise FeatureError(f"has {array.shape[1]} tokens a frame, --tokens says {options.tokens}", where=where)
    if array.dtype.kind not in "fiu":
        raise FeatureError(f"holds {array.dtype}, not numbers", where=where)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(array, dtype=options.dtype)
    finite = np.isfinite(stored).all(axis=(1, 2))
    if not finite.all() and not options.allow_nonfinite:
        overflow = bool(np.isfinite(array).all())
        raise FeatureError(
            f"{'values too large for ' + options.dtype if overflow else 'NaN or infinite values'} in "
            f"{int((~finite).sum())} of {len(finite)} frames, the first at frame {int(finite.argmin())}",
            where=where,
            hint="use --dtype float32" if overflow else "repair the file, or pass --allow-nonfinite",
        )
    return stored


def _put(environment: lmdb.Environment, values: Mapping[bytes, bytes | None]) -> None:
    """Several values in one transaction, None deletes; a full map grows. Raises `FeatureError` for a disk that is full
    or a name that is too long."""
    longest = environment.max_key_size() - len(DONE)
    for key in values:
        name = key.removeprefix(DONE)
        if len(name) > longest:
            raise FeatureError(f"the name {name.decode()!r} is longer than {longest} bytes", hint="rename the file")
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, data in values.items():
                    if data is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, data)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])
        except lmdb.Error as error:
            raise FeatureError(
                f"cannot be written: {error}", where=environment.path(), hint="is the disk full?"
            ) from error


def _done(environment: lmdb.Environment) -> dict[str, bytes]:
    """The records of what has been packed, by recording."""
    with environment.begin() as transaction, transaction.cursor() as cursor:
        found: dict[str, bytes] = {}
        if cursor.set_range(DONE):
            for key, record in cursor:
                if not key.startswith(DONE):
                    break
                found[key.removeprefix(DONE).decode()] = record
        return found


def _finish(environment: lmdb.Environment, header: Header) -> None:
    """Replaces the records of the packing by the header, and removes recordings that are no longer named."""
    done = _done(environment)
    surplus = [name for name in done if name not in header.recordings]
    changes: dict[bytes, bytes | None] = {HEADER: header.encoded()}
    changes |= {DONE + name.encode(): None for name in done}
    changes |= {name.encode(): None for name in surplus}
    _put(environment, changes)
    environment.sync(True)


def _resume(environment: lmdb.Environment, sources: Sequence[Source], options: Packing) -> Progress:
    """What an interrupted packing with the same options has done of what has not changed since, as far as its bytes are
    whole."""
    stamps = {source.recording: source.stamp for source in sources}
    done: dict[str, Entry] = {}
    shape: tuple[int, int] | None = None
    for name, record in _done(environment).items():
        known, used, written = json.loads(record)
        entry = Entry(**written)
        same = asdict(Packing(options.fps)) | used == asdict(options) and stamps.get(name) == entry.source
        if same and _stored(environment, name) == entry.checksum:
            done[name], shape = entry, (known[0], known[1])
    return done, shape


def _stored(environment: lmdb.Environment, name: str) -> int | None:
    """The checksum of the bytes that are stored of a recording."""
    with environment.begin(buffers=True) as transaction:
        data = transaction.get(name.encode())
        return None if data is None else checksum(data)


def _unchanged(out: Path, sources: Sequence[Source], options: Packing) -> bool:
    if not out.exists():
        return False
    header = read_header(out)
    known = {name: entry.source for name, entry in header.recordings.items()}
    made_with = asdict(Packing(header.fps)) | dict(header.made_with)  # an older store lacks what was added since
    return made_with == asdict(options) and known == {source.recording: source.stamp for source in sources}
