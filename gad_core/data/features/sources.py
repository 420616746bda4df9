"""Features as people have them: folders of .npy, .npz, .pt and .h5 files, one recording or many a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gad_core.data.features.folders import Survey, survey
from gad_core.errors import FeatureError
from gad_core.files.arrays import PACKED, Archive, load_array
from gad_core.files.fields import clean
from gad_core.files.reading import damaged, reading

USUAL_KEYS = ("x", "features", "feature", "feats", "data")
ARRAYS = "only arrays and tensors are read, never pickled objects"


@dataclass(frozen=True)
class Source:
    """One recording, not read yet; `stamp` tells whether its file has changed."""

    recording: str
    path: Path
    stamp: str
    read: Callable[[], np.ndarray]


def find_sources(roots: Sequence[Path], key: str | None, pattern: str | None = None) -> list[Source]:
    """The recordings in files and folders, sorted by name; `sources_of` of what `find_files` finds."""
    return sources_of(find_files(roots, pattern), key)


def find_files(roots: Sequence[Path], pattern: str | None = None) -> Survey:
    """The feature files in files and folders. Raises `FeatureError` when there are none."""
    found = survey(roots, READERS, pattern)
    if not found.files:
        left = f" ({found.told()} left out)" if found.skipped else ""
        raise FeatureError(
            f"no {', '.join(READERS)} file found{left}",
            where=", ".join(map(str, roots)),
            hint="name the folder of features",
        )
    return found


def sources_of(found: Survey, key: str | None) -> list[Source]:
    """The recordings in feature files, sorted by name.

    A recording is named by its file; in an .h5 file of several by its dataset. Raises `FeatureError` when two files
    name one recording, and when there is none in any.
    """
    sources: dict[str, Source] = {}
    for file in found.files:
        for source in _recordings_in(file.path, file.recording, key):
            if source.recording in sources:
                raise FeatureError(
                    f"names recording {source.recording!r}, as does {sources[source.recording].path}",
                    where=str(file.path),
                    hint="pack them into two stores, or rename one",
                )
            sources[source.recording] = source
    if not sources:
        where = ", ".join(str(file.path) for file in found.files[:3])
        raise FeatureError(
            "holds no array", where=where, hint="give files of [frames, width] or [frames, tokens, width]"
        )
    return [sources[name] for name in sorted(sources)]


def _recordings_in(path: Path, name: str, key: str | None) -> Iterator[Source]:
    status, suffix = path.stat(), path.suffix.lower()
    stamp = f"{status.st_size} {status.st_mtime_ns} {key or ''}"
    if suffix not in (".h5", ".hdf5"):
        yield Source(name, path, stamp, lambda: READERS[suffix](path, key))
        return
    for recording, inner in _h5_names(path, name, key):
        yield Source(clean(recording), path, stamp, lambda inner=inner: _read_h5(path, inner))  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------- readers


def _read_npy(path: Path, key: str | None) -> np.ndarray:
    with reading(path, FeatureError, ARRAYS):
        return load_array(path)


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    with reading(path, FeatureError, ARRAYS), Archive(path) as archive:
        return archive[_chosen(archive.names, key, path)]


def _read_pt(path: Path, key: str | None) -> np.ndarray:
    import torch

    with reading(path, FeatureError, ARRAYS):
        value = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(value, dict):
        value = value[_chosen(list(value), key, path)]
    if not isinstance(value, torch.Tensor):
        raise FeatureError(f"holds a {type(value).__name__}, not a tensor", where=str(path), hint=ARRAYS)
    if value.layout is not torch.strided or value.is_quantized:
        raise FeatureError(f"holds a sparse or quantized tensor ({value.dtype})", where=str(path), hint="save it dense")
    if value.numel() * value.element_size() > path.stat().st_size:
        raise FeatureError(
            f"promises {list(value.shape)} of {value.dtype}, more than the file holds",
            where=str(path),
            hint="save an expanded tensor as `.contiguous()`",
        )
    with damaged(str(path), FeatureError, ARRAYS):
        return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()


def _read_h5(path: Path, inner: str) -> np.ndarray:
    import h5py

    with reading(path, FeatureError, ARRAYS), h5py.File(path) as file:
        dataset = file[inner]
        if dataset.nbytes > PACKED * path.stat().st_size:
            raise ValueError(f"{inner!r} promises {dataset.nbytes} bytes")
        array = dataset[()]
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{inner!r} holds a {type(array).__name__}, not an array")
        return array


def _h5_names(path: Path, name: str, key: str | None) -> list[tuple[str, str]]:
    """(recording, dataset) of an .h5 file: a file of one dataset is named by the file, one of many by its datasets."""
    try:
        import h5py
    except ImportError as error:
        raise FeatureError("needs h5py", where=str(path), hint='install it: pip install "gad-framework[h5]"') from error

    found: list[str] = []
    with reading(path, FeatureError, ARRAYS), h5py.File(path) as file:
        file.visititems(lambda inner, item: found.append(inner) if isinstance(item, h5py.Dataset) else None)
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
