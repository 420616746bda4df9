"""Edit score and detection delay of segments."""

from __future__ import annotations

import numpy as np

from gad_core.metrics.segments import Segments


def edit_score(truth: Segments, predicted: Segments) -> float:
    """100 · (1 − d/max(m, n)) with d the Levenshtein distance of the two label sequences (Lea et al. 2016), in percent.

    Timing does not count, order and over-segmentation do. Two empty sequences agree: 100.
    """
    from rapidfuzz.distance import Levenshtein

    longest = max(len(truth), len(predicted))
    if not longest:
        return 100.0
    return 100.0 * (1.0 - Levenshtein.distance(truth.labels.tolist(), predicted.labels.tolist()) / longest)


def detection_delays(truth: Segments, predicted: np.ndarray) -> np.ndarray:
    """Frames from the start of each true segment to its first correctly labelled frame.

    `predicted` is (T,) class indices. A segment is found by a frame within it; segments never found are absent.
    """
    delays = []
    for label in np.unique(truth.labels):
        mine = truth.labels == label
        said = np.append(np.flatnonzero(predicted == label), len(predicted))
        first = said[np.searchsorted(said, truth.starts[mine])]
        delays.append((first - truth.starts[mine])[first < truth.ends[mine]])
    return np.concatenate(delays) if delays else np.zeros(0, np.int64)
