"""Features that are not a store: arrays in memory, and several streams side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gad_core.contracts.components import Features
from gad_core.errors import FeatureError
from gad_core.files.suggestions import suggestion


def frames_of(array: np.ndarray, recording: str, frames: range | np.ndarray) -> np.ndarray:
    """Some frames of an array [T, K, D]; a contiguous range is a view. Raises `FeatureError` for frames outside it."""
    if len(frames) == 0:
        return array[:0]
    if isinstance(frames, range) and frames.step == 1:
        first, stop = frames.start, frames.stop
        if first < 0 or stop > len(array):
            raise outside(recording, first if first < 0 else stop - 1, len(array))
        return array[first:stop]
    index = np.asarray(frames)
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= len(array):
        raise outside(recording, low if low < 0 else high, len(array))
    return array[index]


def outside(recording: str, frame: int, length: int) -> FeatureError:
    """The error for a frame that a recording does not have."""
    return FeatureError(
        f"frame {frame} of recording {recording!r} is asked for, it has {length}",
        hint="the annotations and the features do not belong together: compare fps and durations",
    )


def unknown(recording: str, known: Mapping[str, int], where: str | None = None) -> FeatureError:
    """The error for a recording that is not there."""
    example = next(iter(known), None)
    held = f"it holds {len(known)} recordings, such as {example!r}: compare the names"
    return FeatureError(
        f"has no recording {recording!r}",
        where=where,
        hint=suggestion(recording, known, held) if known else "it is empty",
    )


class ArrayFeatures:
    """Features in memory: recording → array [T, D] or [T, K, D], all of one K and D."""

    def __init__(self, arrays: Mapping[str, np.ndarray], fps: float) -> None:
        self._arrays = {name: array[:, None] if array.ndim == 2 else array for name, array in arrays.items()}
        shapes = {array.shape[1:] for array in self._arrays.values()}
        if len(shapes) != 1:
            raise FeatureError(f"the recordings have different shapes a frame: {sorted(shapes)}")
        ((self.tokens, self.width),) = shapes
        self.fps = fps
        self.lengths: Mapping[str, int] = {name: len(array) for name, array in self._arrays.items()}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Some frames of a recording, (T, K, D)."""
        if recording not in self._arrays:
            raise unknown(recording, self.lengths)
        return frames_of(self._arrays[recording], recording, frames)


class ConcatenatedFeatures:
    """Several streams of the same recordings (RGB and flow, say), side by side along the width.

    Recordings that a stream lacks are left out. Raises `FeatureError` when fps, tokens a frame or the length of a
    recording differ.
    """

    def __init__(self, streams: Sequence[Features]) -> None:
        self._streams = tuple(streams)
        first = self._streams[0]
        for index, stream in enumerate(self._streams[1:], start=2):
            for what in ("fps", "tokens"):
                if getattr(stream, what) != getattr(first, what):
                    raise FeatureError(
                        f"stream {index} has {what} {getattr(stream, what)}, the first has {getattr(first, what)}",
                        hint="extract the streams on one frame grid",
                    )
        self.fps, self.tokens = first.fps, first.tokens
        self.width = sum(stream.width for stream in self._streams)
        self.lengths: Mapping[str, int] = {
            name: length for name, length in first.lengths.items() if all(name in s.lengths for s in self._streams)
        }
        for name, length in self.lengths.items():
            found = [stream.lengths[name] for stream in self._streams]
            if len(set(found)) > 1:
                raise FeatureError(f"recording {name!r} has {found} frames in the streams", hint="extract it again")
            assert length == found[0]

    @property
    def checksums(self) -> Mapping[str, tuple[int, ...]]:
        """The checksums of every recording in the streams; none where a stream tells none."""
        told = [getattr(stream, "checksums", {}) for stream in self._streams]
        return {name: tuple(of[name] for of in told) for name in self.lengths if all(name in of for of in told)}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Some frames of a recording, (T, K, D of all streams)."""
        return np.concatenate([stream.read(recording, frames) for stream in self._streams], axis=2)
