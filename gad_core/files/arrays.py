"""NumPy's files, their headers looked at before anything is allocated: a damaged one promises terabytes.

Everything here raises what the library raises, `ValueError` mostly; `gad_core.files.reading.reading` stands around it.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np

ZIP = b"PK\x03\x04"
PACKED = 1100
"""Deflate makes a file at most some 1,032 times smaller; what promises more is damaged, or a bomb."""


def load_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """The array of an .npy file; `mapped` reads its pages when they are used. Raises `ValueError` for Python objects
    and for a file that is shorter than its header says."""
    with path.open("rb") as file:
        if file.read(len(ZIP)) == ZIP:
            raise ValueError("it is a zip archive, as .npz and .pt files are, and no .npy")
        file.seek(0)
        _require_whole(file, path.stat().st_size)
        if mapped:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


class Archive:
    """The arrays of an .npz file by name, each read when it is asked for; a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        self._size = path.stat().st_size
        members = [name for name in self._file.namelist() if name.endswith(".npy")]
        twice = [name for name, count in Counter(members).items() if count > 1]
        if twice:
            raise ValueError(f"array {twice[0].removesuffix('.npy')!r} is there twice")
        self.names = [name.removesuffix(".npy") for name in members]

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._file.getinfo(f"{name}.npy")
        if member.file_size > PACKED * max(1, min(member.compress_size, self._size)):
            raise ValueError(f"array {name!r} promises {member.file_size} bytes of {member.compress_size}")
        with self._file.open(member) as file:
            _require_whole(file, member.file_size)
        with self._file.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _require_whole(file: IO[bytes], size: int) -> None:
    """Raises `ValueError` unless the header is that of plain numbers or texts, all of which are there."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its format {version[0]}.{version[1]} is that of named fields, or unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if any(length < 0 for length in shape) or needed > there:
        raise ValueError(f"its header promises {list(shape)} of {dtype}, {needed} bytes; {there} are there")
