"""Features as people have them: folders of .npy, .npz, .pt and .h5 files, one recording or many a file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from gad_core.errors import FeatureError

T = TypeVar("T")
USUAL_KEYS = ("x", "features", "feature", "feats", "data")


@dataclass(frozen=True)
class Source:
    """One recording, not read yet; `stamp` tells whether its file has changed."""

    recording: str
    path: Path
    stamp: str
    read: Callable[[], np.ndarray]


def find_sources(roots: Sequence[Path], key: str | None) -> list[Source]:
    """The recordings in files and folders, sorted by name.

    A recording is named by its file without the suffix, relative to the folder; in an .h5 file of several by its
    dataset. Raises `FeatureError` when nothing is found or two files name one recording.
    """
    sources: dict[str, Source] = {}
    for root in roots:
        if not root.exists():
            raise FeatureError("there is no such file or folder", where=str(root))
        paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.suffix in READERS)
        for path in paths:
            if path.suffix not in READERS:
                raise FeatureError(f"has a suffix other than {', '.join(READERS)}", where=str(path))
            name = path.stem if root.is_file() else path.relative_to(root).with_suffix("").as_posix()
            for source in _recordings_in(path, name, key):
                if source.recording in sources:
                    raise FeatureError(
                        f"names recording {source.recording!r}, as does {sources[source.recording].path}",
                        where=str(path),
                        hint="pack them into two stores, or rename one",
                    )
                sources[source.recording] = source
    if not sources:
        raise FeatureError(
            f"no {', '.join(READERS)} file found", where=", ".join(map(str, roots)), hint="name the folder of features"
        )
    return [sources[name] for name in sorted(sources)]


def _recordings_in(path: Path, name: str, key: str | None) -> Iterator[Source]:
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns} {key or ''}"
    if path.suffix not in (".h5", ".hdf5"):
        yield Source(name, path, stamp, lambda: READERS[path.suffix](path, key))
        return
    for recording, inner in _h5_names(path, name, key):
        yield Source(recording, path, stamp, lambda inner=inner: _read_h5(path, inner))  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------- readers


def _read_npy(path: Path, key: str | None) -> np.ndarray:
    return _opened(path, lambda: np.load(path, allow_pickle=False))


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    def read() -> np.ndarray:
        with np.load(path, allow_pickle=False) as file:
            return file[_chosen(list(file.files), key, path)]

    return _opened(path, read)


def _read_pt(path: Path, key: str | None) -> np.ndarray:
    import torch

    def read() -> np.ndarray:
        value = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(value, dict):
            value = value[_chosen(list(value), key, path)]
        if not isinstance(value, torch.Tensor):
            raise FeatureError(f"holds a {type(value).__name__}, not a tensor", where=str(path))
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()

    return _opened(path, read)


def _read_h5(path: Path, inner: str) -> np.ndarray:
    import h5py

    def read() -> np.ndarray:
        with h5py.File(path) as file:
            return file[inner][()]

    return _opened(path, read)


def _h5_names(path: Path, name: str, key: str | None) -> list[tuple[str, str]]:
    """(recording, dataset) of an .h5 file: a file of one dataset is named by the file, one of many by its datasets."""
    try:
        import h5py
    except ImportError as error:
        raise FeatureError("needs h5py", where=str(path), hint='install it: pip install "gad-framework[h5]"') from error

    found: list[str] = []

    def visit() -> None:
        with h5py.File(path) as file:
            file.visititems(lambda inner, item: found.append(inner) if isinstance(item, h5py.Dataset) else None)

    _opened(path, visit)
    if key is not None:
        keyed = [inner for inner in found if inner.split("/")[-1] == key]
        if not keyed:
            raise FeatureError(f"has no dataset {key!r}", where=str(path), hint=f"it has {', '.join(found[:5])}")
        return [(inner.rpartition("/")[0] or name, inner) for inner in keyed]
    return [(name, found[0])] if len(found) == 1 else [(inner, inner) for inner in found]


READERS: dict[str, Callable[..., np.ndarray]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_pt,
    ".pth": _read_pt,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}


def _chosen(names: list[str], key: str | None, path: Path) -> str:
    """The array to take: the one asked for, the only one, or one with a usual name."""
    if key is not None:
        if key not in names:
            raise FeatureError(f"has no array {key!r}", where=str(path), hint=f"it has {', '.join(map(str, names))}")
        return key
    usual = [name for name in USUAL_KEYS if name in names]
    if len(names) == 1 or usual:
        return names[0] if len(names) == 1 else usual[0]
    raise FeatureError(f"holds {', '.join(map(str, names))}", where=str(path), hint="choose one with --key")


def _opened(path: Path, read: Callable[[], T]) -> T:
    """Reads a file; whatever a damaged one makes the library raise becomes a located `FeatureError`."""
    import pickle

    try:
        return read()
    except (OSError, ValueError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise FeatureError(
            f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(path),
            hint="only arrays and tensors are read, never pickled objects",
        ) from error
