"""From rows and a feature store to a corpus: times become frames, names become classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gad_core.plugin import (
    STREAM_QUESTION,
    ClipCorpus,
    Corpus,
    DataError,
    Faults,
    Features,
    FrameLabels,
    LabelSpace,
    Segment,
    StreamCorpus,
    absent,
    clean,
    frames_between,
    in_frames,
    measure_scale,
    read_json,
    read_text,
    text_field,
)
from gad_segments.annotations import LineFaults, Row, read_rows
from gad_segments.plugin import Segments

NEEDED = ("train", "test")
TOUCHING = 1e-6
"""Segments that overlap by no more, in seconds or frames, only touch."""


@dataclass(frozen=True)
class Annotations:
    """Checked rows, their frames, and the classes of labels and goals."""

    path: Path
    rows: tuple[Row, ...]
    frames: tuple[range, ...]
    actions: LabelSpace
    goals: LabelSpace | None
    goal: Mapping[str, int]
    usage: Mapping[str, str]

    def splits(self) -> tuple[str, ...]:
        """The splits, `train` and `test` first, then as they appear."""
        return tuple(dict.fromkeys([*NEEDED, *(row.split for row in self.rows)]))

    def recordings(self, split: str) -> tuple[str, ...]:
        """The recordings of a split, as they appear."""
        return tuple(dict.fromkeys(row.recording for row in self.rows if row.split == split))


def make_corpus(options: Segments, store: Features) -> Corpus:
    """The corpus of some options; raises `DataError` of all that is wrong, with the line of each."""
    found = annotate(options, store)
    corpus = _make_corpus(options, found, store)
    if options.standardize:
        corpus.scale = measure_scale(store, found.recordings("train"))
    return corpus


def _make_corpus(options: Segments, found: Annotations, store: Features) -> Corpus:
    if options.mode == "clips":
        return ClipCorpus(
            actions=found.actions,
            goals=found.goals,
            features=store,
            segments=clip_segments(found),
            asks=options.asked,
            questions={str(ask): text for ask, text in options.questions.items()},
            max_frames=options.max_frames,
            usage=found.usage,
        )
    return StreamCorpus(
        actions=found.actions,
        goals=found.goals,
        features=store,
        recordings=frame_labels(found, store),
        windows=options.windows(),
        background_weight=options.background_weight,
        question=options.questions.get("current", STREAM_QUESTION),
        usage=found.usage,
    )


def annotate(options: Segments, store: Features) -> Annotations:
    """Reads the annotations and checks them against the store; raises `DataError` for all that does not fit."""
    path = options.annotations
    faults = LineFaults(path)
    _note_other_rate(options, store, faults)
    background = clean(options.background) if options.mode == "stream" else None
    named = [_with_background(row, background) for row in read_rows(path, faults, clock=options.unit == "seconds")]
    rows = [row for row in named if row.recording in store.lengths]
    if options.missing == "error" or not rows:
        _note_unknown(path, named, store, faults)
    if not rows:
        faults.raise_any()
    _note_empty_splits(path, rows, faults)
    actions = _actions(options, path, rows, faults)
    frames = _placed(rows, store, options.unit, faults)
    goals, goal = _goals(rows, faults)
    _note_useless(options, path, rows, goals, goal, faults)
    if options.mode == "stream":
        _note_clashes(rows, options.overlap, faults)
    faults.raise_any()
    recordings = len({row.recording for row in rows}), len({row.recording for row in named})
    usage = {
        "recordings": f"{recordings[0]} of {recordings[1]}",
        "segments": f"{len(rows)} of {len(named)}",
    }
    return Annotations(path, tuple(rows), frames, actions, goals, goal, usage)


def _with_background(row: Row, background: str | None) -> Row:
    """The row, its label spelt as the background's where it is that in any case."""
    if background is None or row.label.casefold() != background.casefold():
        return row
    return replace(row, label=background)


def clip_segments(found: Annotations) -> dict[str, list[Segment]]:
    """The segments of each split: recordings as they appear, segments by their time."""
    grouped: dict[str, dict[str, list[Segment]]] = {split: {} for split in found.splits()}
    classes = {label: index for index, label in enumerate(found.actions.labels)}
    order = sorted(range(len(found.rows)), key=lambda place: (found.rows[place].start, found.rows[place].end))
    for split in grouped:
        grouped[split] = {recording: [] for recording in found.recordings(split)}
    for place in order:
        row = found.rows[place]
        grouped[row.split][row.recording].append(
            Segment(row.recording, found.frames[place], classes[row.label], found.goal.get(row.recording))
        )
    return {split: [segment for members in of.values() for segment in members] for split, of in grouped.items()}


def frame_labels(found: Annotations, store: Features) -> dict[str, list[FrameLabels]]:
    """The class of every frame of the annotated recordings. Where two segments meet on one frame, the one that starts
    last has it."""
    classes = {label: index for index, label in enumerate(found.actions.labels)}
    labels = {}
    for recording, places in _by_recording(found.rows).items():
        labels[recording] = np.full(store.lengths[recording], found.actions.background, dtype=np.int64)
        for place in places:
            frames = found.frames[place]
            labels[recording][frames.start : frames.stop] = classes[found.rows[place].label]
    return {
        split: [
            FrameLabels(recording, labels[recording], found.goal.get(recording))
            for recording in found.recordings(split)
        ]
        for split in found.splits()
    }


def _by_recording(rows: Sequence[Row]) -> dict[str, list[int]]:
    """The rows of each recording, by their start."""
    members: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: rows[place].start):
        members.setdefault(rows[place].recording, []).append(place)
    return members


def _note_other_rate(options: Segments, store: Features, faults: Faults) -> None:
    if options.fps is not None and not math.isclose(options.fps, store.fps, rel_tol=1e-4):
        faults.add(
            f"the features have {store.fps:g} frames a second, the dataset says {options.fps:g}",
            where=str(options.features),
            hint="correct `fps`, or pack the features with the rate they were extracted at",
        )


def _note_unknown(path: Path, rows: Sequence[Row], store: Features, faults: Faults) -> None:
    lines = {row.recording: row.line for row in reversed(rows)}
    named = {name: f"line {line}" for name, line in sorted(lines.items(), key=lambda item: item[1])}
    unknown = [name for name in named if name not in store.lengths]
    if unknown:
        message, hint = absent(named, unknown, store.lengths, "feature store")
        faults.add(message, where=f"{path}:{lines[unknown[0]]}", hint=hint)


def _actions(options: Segments, path: Path, rows: Sequence[Row], faults: LineFaults) -> LabelSpace:
    used = dict.fromkeys(row.label for row in rows)
    background = clean(options.background) if options.mode == "stream" else None
    if options.labels is None:
        labels = tuple(sorted(used.keys() - {background}))
        labels = labels if background is None else (background, *labels)
        return LabelSpace("action", labels, background=None if background is None else 0)
    labels, where = _listed(options.labels)
    if background is not None:
        labels = tuple(background if label.casefold() == background.casefold() else label for label in labels)
    for row in rows:
        if row.label not in labels:
            faults.at(row.line, f"label {row.label!r} is not in {where}", "add the label there, or correct the row")
    if background is not None and background not in labels:
        raise DataError(
            f"the labels lack the background, {background!r}",
            where=where,
            hint="add it, or set `background` to the label that stands for it",
        )
    return LabelSpace("action", labels, background=None if background is None else labels.index(background))


def _listed(labels: tuple[str, ...] | Path) -> tuple[tuple[str, ...], str]:
    """A list of labels, cleaned, and where it stands."""
    if not isinstance(labels, Path):
        return tuple(text_field(label, "label", "`labels`") for label in labels), "`labels`"
    hint = "give one label a line, or a JSON list of texts"
    listed = (
        read_json(labels, hint=hint) if labels.suffix.lower() == ".json" else read_text(labels, hint=hint).splitlines()
    )
    if not isinstance(listed, list) or not all(isinstance(label, str) for label in listed):
        raise DataError("not a JSON list of texts", where=str(labels), hint='write ["wave", "clap"]')
    found = (text_field(label, "label", str(labels)) for label in listed)
    return tuple(label for label in found if label), str(labels)


def _placed(rows: Sequence[Row], store: Features, unit: str, faults: LineFaults) -> tuple[range, ...]:
    """The frames of every row; an end up to one frame beyond the recording is taken for its end."""
    placed = []
    rate = store.fps if unit == "seconds" else 1.0
    for row in rows:
        length = store.lengths[row.recording]
        if unit == "frames" and not (row.start.is_integer() and row.end.is_integer()):
            faults.at(row.line, f"frames {row.start:g} to {row.end:g} are not whole", "leave `unit` out for seconds")
        frames = frames_between(row.start, row.end, rate)
        if in_frames(row.end, rate) > length + 1 or frames.start >= length:
            faults.at(
                row.line,
                f"{row.start:g} to {row.end:g} {unit} reaches beyond recording '{row.recording}', "
                f"which has {length} frames" + (f" ({length / rate:g} s)" if unit == "seconds" else ""),
                "check `unit`, and the fps the features were packed with",
            )
        placed.append(range(frames.start, min(frames.stop, length)))
    return tuple(placed)


def _goals(rows: Sequence[Row], faults: LineFaults) -> tuple[LabelSpace | None, dict[str, int]]:
    """The space of goals, and the goal of each recording that has one."""
    texts: dict[str, str] = {}
    for row in rows:
        if row.goal and texts.setdefault(row.recording, row.goal) != row.goal:
            faults.at(
                row.line,
                f"recording '{row.recording}' has goal {texts[row.recording]!r} and here {row.goal!r}",
                "a recording has one goal",
            )
    if not texts:
        return None, {}
    space = LabelSpace("goal", tuple(sorted(set(texts.values()))))
    return space, {recording: space.index(goal) for recording, goal in texts.items()}


def _note_empty_splits(path: Path, rows: Sequence[Row], faults: Faults) -> None:
    for split in NEEDED:
        if not any(row.split == split for row in rows):
            faults.add(
                f"split '{split}' is empty",
                where=str(path),
                hint=f"the file has {', '.join(sorted({row.split for row in rows})) or 'no usable row'}; "
                "there must be train and test, validation is optional",
            )


def _note_useless(
    options: Segments,
    path: Path,
    rows: Sequence[Row],
    goals: LabelSpace | None,
    goal: Mapping[str, int],
    faults: Faults,
) -> None:
    """Nothing can be learnt without two labels to tell apart, and the goals that are asked or promised."""
    stream = options.mode == "stream"
    if goals is None and "goal" in options.relations():
        faults.add("no row names a goal", where=str(path), hint="fill the column, or remove it")
    trained = [row for row in rows if row.split == "train"]
    for ask in options.asked if trained else ():
        named = (goal.get(row.recording) for row in trained) if ask == "goal" else (row.label for row in trained)
        kinds = {kind for kind in named if kind is not None} | ({clean(options.background)} if stream else set())
        if len(kinds) < 2:
            faults.add(
                f"the train split has {len(kinds)} {'goal' if ask == 'goal' else 'label'} only: nothing to tell apart",
                where=str(path),
                hint="check the column, and which rows are in the train split",
            )


def _note_clashes(rows: Sequence[Row], overlap: str, faults: LineFaults) -> None:
    """A frame has one label and a recording one split."""
    for places in _by_recording(rows).values():
        latest = rows[places[0]]
        for row in (rows[place] for place in places[1:]):
            if row.split != latest.split:
                faults.at(
                    row.line,
                    f"recording '{row.recording}' is in '{row.split}' and, line {latest.line}, in '{latest.split}'",
                    "a stream is in one split as a whole",
                )
            elif overlap == "error" and row.start < latest.end - TOUCHING:
                faults.at(
                    row.line,
                    f"{row.label!r} from {row.start:g} on overlaps {latest.label!r} of line {latest.line}",
                    "a frame of a stream has one label: mend the times, or set `overlap: last`",
                )
            latest = max(latest, row, key=lambda candidate: candidate.end)
