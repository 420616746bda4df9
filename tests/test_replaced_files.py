"""Files that change under a packing or a reading: nothing of what was there before is taken for what is there now."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gad_core.data.features import FeatureStore
from gad_core.data.features.pack import Packing, pack
from gad_core.data.features.sources import find_sources
from gad_core.data.features.store import content_of_store, read_header
from gad_core.errors import FeatureError
from gad_core.testing import write_store

OPTIONS = Packing(4.0, "float32")


def filled(value: float, frames: int = 6) -> np.ndarray:
    return np.full((frames, 3), value, np.float32)


def contents(path: Path) -> dict[str, list[float]]:
    """The recordings of a store, each as its frames' first values."""
    store = FeatureStore(path)
    return {name: store.array(name)[:, 0, 0].tolist() for name in sorted(store.lengths)}


# ------------------------------------------------------------------------------------------------------------- packing


def rewritten(raw: Path) -> None:
    np.save(raw / "r0.npy", filled(9))


def longer(raw: Path) -> None:
    np.save(raw / "r1.npy", filled(9, frames=8))


def older(raw: Path) -> None:
    """A file of the same size, from a backup."""
    np.save(raw / "r0.npy", filled(9))
    os.utime(raw / "r0.npy", ns=(1, 1))


def exchanged(raw: Path) -> None:
    (raw / "r0.npy").rename(raw / "x")
    (raw / "r1.npy").rename(raw / "r0.npy")
    (raw / "x").rename(raw / "r1.npy")


def renamed(raw: Path) -> None:
    (raw / "r0.npy").rename(raw / "r9.npy")


def removed(raw: Path) -> None:
    (raw / "r1.npy").unlink()


def all_changed(raw: Path) -> None:
    for number in range(4):
        np.save(raw / f"r{number}.npy", filled(number + 9))


def touched(raw: Path) -> None:
    os.utime(raw / "r0.npy", ns=(2, 2))


@pytest.mark.parametrize("change", [rewritten, longer, older, exchanged, renamed, removed, all_changed, touched])
@pytest.mark.parametrize("packed", [1, 2, 3])
def test_an_interrupted_packing_goes_on_with_what_the_sources_hold_now(
    tmp_path: Path, change: Callable[[Path], None], packed: int
) -> None:
    """Whatever became of its sources, and however many of them it had packed."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(4):
        np.save(raw / f"r{number}.npy", filled(number))
        os.utime(raw / f"r{number}.npy", ns=(10**9 * (number + 5),) * 2)

    def interrupt() -> np.ndarray:
        raise KeyboardInterrupt

    sources = find_sources([raw], None)
    sources[packed] = replace(sources[packed], read=interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack(sources, tmp_path / "s.lmdb", OPTIONS)
    change(raw)
    assert pack(find_sources([raw], None), tmp_path / "s.lmdb", OPTIONS)
    assert pack(find_sources([raw], None), tmp_path / "anew.lmdb", OPTIONS)
    assert contents(tmp_path / "s.lmdb") == contents(tmp_path / "anew.lmdb")
    headers = [read_header(tmp_path / name) for name in ("s.lmdb", "anew.lmdb")]
    assert headers[0].recordings == headers[1].recordings


# ------------------------------------------------------------------------------------------------------------- reading


def moved(new: Path, path: Path) -> None:
    os.replace(new, path)


def written_anew(new: Path, path: Path) -> None:
    path.unlink()
    shutil.copy(new, path)


def packed_again(new: Path, path: Path) -> None:
    raw = path.parent / "raw"
    raw.mkdir()
    np.save(raw / "r0.npy", filled(2))
    assert pack(find_sources([raw], None), path, OPTIONS)


READ = """
import sys
from gad_core.data.features import FeatureStore
print(float(FeatureStore(sys.argv[1]).read("r0", range(1)).mean()))
"""


@pytest.mark.parametrize("replaced", [moved, written_anew, packed_again])
def test_a_replaced_store_is_read_on_by_who_has_it_open_and_opened_by_nobody_here(
    tmp_path: Path, replaced: Callable[[Path, Path], None]
) -> None:
    """The old map serves whoever holds it; a second opening would take it for the new file, and is refused."""
    path = write_store(tmp_path / "s.lmdb", {"r0": filled(1)}, fps=4.0, dtype="float32")
    store = FeatureStore(path)
    window = store.read("r0", range(2, 4))
    new = write_store(tmp_path / "new.lmdb", {"r0": filled(2)}, fps=4.0, dtype="float32")
    replaced(new, path)
    for frames in (window, store.read("r0", range(6))):
        assert (frames == 1).all()
    assert store.intact("r0")
    openings: list[Callable[[Path], object]] = [FeatureStore, read_header, lambda _: pickle.loads(pickle.dumps(store))]
    for opening in openings:
        with pytest.raises(FeatureError, match="has been replaced since this process opened it"):
            opening(path)
    assert content_of_store(path) is None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run(
        [sys.executable, "-c", READ, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert float(told.stdout) == 2


def test_a_link_that_leads_elsewhere_is_another_store(tmp_path: Path) -> None:
    for value in (1, 2):
        write_store(tmp_path / f"{value}.lmdb", {"r0": filled(value)}, fps=4.0, dtype="float32")
    link = tmp_path / "s.lmdb"
    link.symlink_to("1.lmdb")
    old = FeatureStore(link)
    link.unlink()
    link.symlink_to("2.lmdb")
    assert (old.read("r0", range(6)) == 1).all() and (FeatureStore(link).read("r0", range(6)) == 2).all()


@pytest.mark.parametrize("harm", ["grown", "cut", "written to"])
def test_a_store_that_changes_in_place_is_read_no_further(tmp_path: Path, harm: str) -> None:
    path = write_store(tmp_path / "s.lmdb", {"r0": filled(1)}, fps=4.0, dtype="float32")
    store = FeatureStore(path)
    data = path.read_bytes()
    with path.open("r+b") as file:
        if harm == "cut":
            file.truncate(len(data) - 1)
        else:
            file.seek(len(data) if harm == "grown" else 0)
            file.write(b"\0")
            file.flush()
            os.utime(path, ns=(3, 3))
    with pytest.raises(FeatureError, match="was written to since this process opened it"):
        store.read("r0", range(1))
