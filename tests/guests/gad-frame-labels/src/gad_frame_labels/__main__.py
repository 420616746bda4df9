"""`python -m gad_frame_labels FEATURES STORE --fps 15`: packs [D, T] arrays into a feature store of [T, D]."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from gad_core.plugin import FeatureError, GadError, Packing, find_sources, pack


def turn_and_pack(folder: Path, store: Path, packing: Packing) -> int:
    """Packs every `<video>.npy` of a folder, [D, T], as [T, D]; returns how many. Raises `FeatureError`."""
    found = sorted(folder.glob("*.npy"))
    if not found:
        raise FeatureError("holds no .npy file", where=str(folder))
    with tempfile.TemporaryDirectory(dir=store.parent) as turned:
        for path in found:
            array = np.load(path)
            if array.ndim != 2:
                raise FeatureError(f"has the shape {list(array.shape)}, not [D, T]", where=str(path))
            np.save(Path(turned) / path.name, np.ascontiguousarray(array.T))
        pack(find_sources([Path(turned)], None), store, packing)
    return len(found)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m gad_frame_labels", description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--dtype", default="float16")
    given = parser.parse_args()
    try:
        count = turn_and_pack(given.features, given.store, Packing(given.fps, given.dtype))
    except GadError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"packed {count} recordings into {given.store}")


if __name__ == "__main__":
    main()
