"""Answers of a trained model about features without annotations, as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from gad_core.contracts.components import Features
from gad_core.contracts.probabilities import probabilities
from gad_core.contracts.values import Sample
from gad_core.data.windows import thinned, window
from gad_core.errors import CheckpointError, FeatureError
from gad_core.files.fields import clean
from gad_core.model.streaming import Mode
from gad_core.runs.loading import Loaded

Span = tuple[str, range]
"""A recording and some of its frames."""


def named(features: Features, recordings: Sequence[str]) -> list[str]:
    """The named recordings as the features spell them, all of them if none is named. Raises `FeatureError` when the
    features lack one."""
    spelt = [clean(recording) for recording in recordings]
    unknown = [recording for recording in spelt if recording not in features.lengths]
    if unknown:
        raise FeatureError(f"no recording {', '.join(map(repr, unknown[:3]))}", hint="see `gad features info`")
    return spelt or sorted(features.lengths)


def spans(features: Features, recordings: Sequence[str], start: float | None, end: float | None) -> list[Span]:
    """The frames from `start` to `end` seconds of each recording, of all recordings if none is named.

    Raises `FeatureError` for a recording that is not there, or has no frame in between.
    """
    chosen = named(features, recordings)
    if not all(math.isfinite(bound) for bound in (start, end) if bound is not None):
        raise FeatureError(f"no time lies between {start} s and {end} s", hint="give --start and --end in seconds")
    found = []
    for recording in chosen:
        length = features.lengths[recording]
        first = 0 if start is None else max(0, round(start * features.fps))
        stop = length if end is None else min(length, round(end * features.fps))
        if first >= stop:
            hint = f"it has {length} frames at {features.fps:g} a second"
            raise FeatureError(f"no frame between {start} s and {end} s", where=recording, hint=hint)
        found.append((recording, range(first, stop)))
    return found


def asked_of(loaded: Loaded, asks: str | None) -> str:
    """The relation to ask, the first the model was trained for unless given; raises `CheckpointError` for others."""
    trained = tuple(loaded.model.assembler.prompts)
    if asks is not None and asks not in trained:
        raise CheckpointError(f"the model was not trained to answer {asks!r}", hint=f"it answers {', '.join(trained)}")
    return asks or trained[0]


def clip_rows(
    loaded: Loaded, features: Features, spans: Sequence[Span], *, asks: str, top: int, any_fps: bool = False
) -> Iterator[str]:
    """Lines of CSV: each span as one clip, with its seconds. A clip that is longer than those the model was trained on
    is thinned as they were."""
    most = getattr(loaded.experiment.dataset, "max_frames", None)
    samples = [loaded.clip(recording, thinned(frames, most), asks) for recording, frames in spans]
    yield from _rows(loaded, features, spans, samples, top, any_fps)


def frame_rows(
    loaded: Loaded,
    features: Features,
    spans: Sequence[Span],
    *,
    asks: str,
    top: int,
    seen: int,
    any_fps: bool = False,
) -> Iterator[str]:
    """Lines of CSV: each frame of the spans with its seconds, answered from the latest `seen` frames up to it."""
    each = [(recording, range(frame, frame + 1)) for recording, frames in spans for frame in frames]
    samples = [loaded.clip(recording, window(frame.start, 0, seen), asks) for recording, frame in each]
    yield from _rows(loaded, features, each, samples, top, any_fps)


def _rows(
    loaded: Loaded, features: Features, spans: Sequence[Span], samples: Sequence[Sample], top: int, any_fps: bool
) -> Iterator[str]:
    """A header, and the `top` labels of each sample, best first; a label that the head gives no score is no answer."""
    yield csv_line("recording", "start", "end", "label", "probability")
    predictions = loaded.predict(samples, features, any_fps=any_fps)
    for (recording, frames), asks, scores in zip(spans, predictions.asks, predictions.scores, strict=True):
        times = (f"{frames.start / features.fps:.3f}", f"{frames.stop / features.fps:.3f}")
        for label, probability in best(loaded, asks, scores)[:top]:
            yield csv_line(recording, *times, label, probability)


def stream_rows(
    loaded: Loaded,
    features: Features,
    recordings: Sequence[str],
    mode: Mode,
    frames: int | None,
    latencies: list[float],
    *,
    compile: bool = False,
    any_fps: bool = False,
) -> Iterator[str]:
    """Lines of CSV, a header first: recording, seconds of the frame, label, probability; each as soon as it is known.

    The seconds each answer took are appended to `latencies`.
    """
    loaded.require_features(features, any_fps=any_fps)
    chosen = named(features, recordings)
    asks = asked_of(loaded, None)
    with loaded.stream(mode, frames=frames, asks=asks, compile=compile) as stream:
        yield csv_line("recording", "time", "label", "probability")
        for recording in chosen:
            stream.restart()
            for frame in range(features.lengths[recording]):
                started = time.perf_counter()
                scores = stream.push(features.read(recording, range(frame, frame + 1)))[0].cpu().numpy()
                latencies.append(time.perf_counter() - started)
                yield csv_line(recording, f"{frame / features.fps:.3f}", *best(loaded, asks, scores)[0])


def best(loaded: Loaded, asks: str, scores: np.ndarray) -> list[tuple[str, str]]:
    """The labels that have a score (C,), best first, with their probabilities; empty where the head says none."""
    labels = loaded.spaces[asks].labels
    own = scores[: len(labels)]
    (chances,) = probabilities(own[None], loaded.experiment.head.scoring)
    order = [index for index in np.argsort(-own, kind="stable") if np.isfinite(own[index])]
    return [(labels[index], "" if np.isnan(chances[index]) else f"{chances[index]:.4f}") for index in order]


def csv_line(*cells: str) -> str:
    """A line of CSV without its end; cells are quoted where they must be."""
    file = io.StringIO()
    csv.writer(file).writerow(cells)
    return file.getvalue().removesuffix("\r\n")
