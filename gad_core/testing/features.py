"""Features that are made when they are read: any number of recordings of any shape, without a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gad_core.contracts.seeds import stable_seed
from gad_core.data.features.memory import outside, unknown

DISTINCT = 256
"""Frames that are drawn; a recording takes them in turn, from a place of its own."""


class GeneratedFeatures:
    """Random features [T, K, D] of recordings with the given `lengths`; equal seeds give equal features."""

    def __init__(
        self,
        lengths: Mapping[str, int],
        *,
        tokens: int = 1,
        width: int = 16,
        fps: float = 4.0,
        dtype: str = "float16",
        seed: int = 0,
    ) -> None:
        self.lengths: Mapping[str, int] = dict(lengths)
        self.tokens, self.width, self.fps = tokens, width, fps
        drawn = np.random.default_rng(seed).standard_normal((DISTINCT, tokens, width), dtype=np.float32)
        self._frames = drawn.astype(dtype)

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Some frames of a recording, (T, K, D). Raises `FeatureError` for what is not there."""
        if recording not in self.lengths:
            raise unknown(recording, self.lengths)
        index = np.asarray(frames)
        for frame in (index.min(), index.max()) if len(index) else ():
            if not 0 <= frame < self.lengths[recording]:
                raise outside(recording, int(frame), self.lengths[recording])
        return self._frames[(index + stable_seed("features", recording)) % DISTINCT]


def write_store(path: Path, arrays: Mapping[str, np.ndarray], *, fps: float, dtype: str = "float32") -> Path:
    """Packs recordings, arrays [T, D] or [T, K, D] by name, into a feature store at `path`."""
    from gad_core.data.features.pack import Packing, pack
    from gad_core.data.features.sources import find_sources

    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            np.save(Path(folder) / f"{name}.npy", array)
        pack(find_sources([Path(folder)], None), path, Packing(fps, dtype=dtype))
    return path
