"""From the text files to a corpus; everything that is wrong with them is said at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gad_core.plugin import Corpus, DataError, Faults, FeatureStore, FrameLabels, LabelSpace, StreamCorpus
from gad_frame_labels import plugin

SILENT = ("background", "SIL")
"""What the class that means no action is called in these datasets."""


def open_frame_labels(options: plugin.FrameLabels) -> Corpus:
    """The corpus of some options. Raises `DataError` and `FeatureError`."""
    actions, store, faults = read_classes(options), FeatureStore(options.features), Faults()
    recordings: dict[str, list[FrameLabels]] = {"train": [], "test": []}
    for split, found in recordings.items():
        for video in _lines(options.bundle(split)):
            with faults.gathered():
                name = Path(video).stem
                found.append(FrameLabels(name, read_labels(options, name, actions, store)))
        if not found and not faults.found:
            faults.add("names no video", where=str(options.bundle(split)))
    both = {one.recording for one in recordings["train"]} & {one.recording for one in recordings["test"]}
    if both:
        faults.add(f"video '{min(both)}' is in both splits", where=str(options.bundle("test")))
    faults.raise_any()
    return StreamCorpus(
        actions=actions,
        goals=None,
        features=store,
        recordings=recordings,
        windows=options.windows(),
        background_weight=options.background_weight,
    )


def read_classes(options: plugin.FrameLabels) -> LabelSpace:
    """The classes of mapping.txt, in the order of their indices."""
    path = options.root / "mapping.txt"
    classes: dict[int, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        index, _, label = line.partition(" ")
        if not index.isdecimal() or not label.strip() or int(index) in classes:
            raise DataError(f"{line!r} is no class", where=f"{path}:{number}", hint="write `<index> <label>`")
        classes[int(index)] = label.strip()
    if sorted(classes) != list(range(len(classes))):
        raise DataError("the indices are not 0, 1, 2, …", where=str(path))
    labels = tuple(classes[index] for index in range(len(classes)))
    silent = [label for label in ((options.background,) if options.background else SILENT) if label in labels]
    if options.background and not silent:
        raise DataError(f"there is no class '{options.background}'", where=str(path), hint="correct `background`")
    written = tuple(label.replace("_", " ") for label in labels)
    return LabelSpace("action", labels, written, background=labels.index(silent[0]) if silent else None)


def read_labels(options: plugin.FrameLabels, video: str, actions: LabelSpace, store: FeatureStore) -> np.ndarray:
    """The class of every frame of a video that has features, (T,) int64."""
    path = options.root / "groundTruth" / f"{video}.txt"
    known = {label: index for index, label in enumerate(actions.labels)}
    lines = _lines(path)
    for number, label in enumerate(lines, start=1):
        if label not in known:
            raise DataError(f"{label!r} is not in mapping.txt", where=f"{path}:{number}")
    length = store.lengths.get(video)
    if length is None:
        raise DataError(f"the store has no features of '{video}'", where=str(path), hint="pack them")
    if not 0 <= len(lines) - length <= options.tolerance:
        raise DataError(
            f"{len(lines)} labels for {length} frames of features", where=str(path), hint="see the option `tolerance`"
        )
    return np.array([known[label] for label in lines[:length]], dtype=np.int64)


def _lines(path: Path) -> list[str]:
    """The lines of a text file that hold something."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
