"""From the field's layout to a corpus: windows, relations and scores of frames that may show several actions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gad_core.plugin import (
    DataError,
    Faults,
    Features,
    FrameLabels,
    LabelRef,
    LabelSpace,
    Plan,
    Predictions,
    Relations,
    StreamCorpus,
    StreamRelations,
    StreamScore,
    Track,
    Windows,
    absent,
    clean,
    stable_seed,
)
from gad_oad.layout import DataInfo, Targets, label_space, read_info, read_targets, targets_of
from gad_oad.plugin import OnlineActionDetection


@dataclass(frozen=True)
class ReferenceWindows(Windows):
    """The training windows of the paper's code (REFERENCE: oddity 3).

    The phase is drawn below `short`, not below the stride, windows end *before* every stride-th frame, and a
    recording's last frame is never asked about unless it is the only one.
    """

    def training(self, length: int, *, seed: int, epoch: int, recording: str) -> Plan:
        """An epoch's windows of one recording."""
        if self.queries != "last":
            return super().training(length, seed=seed, epoch=epoch, recording=recording)
        draw = np.random.default_rng(stable_seed("windows", seed, epoch, recording))
        return reference_plan(length, self.stride, int(draw.integers(self.short)))


def reference_plan(length: int, stride: int, phase: int) -> Plan:
    """The windows of the paper's code from a given phase; none where the phase is beyond the recording."""
    ends = np.maximum(np.arange(phase, length, stride) - 1, 0)
    return ends, np.ones(len(ends), dtype=np.int64)


class SeveralRelations(StreamRelations):
    """The relations at the frames of a recording, some of which show several actions: `current` holds all of them, the
    main one first. The other relations follow the main classes."""

    def __init__(self, targets: Targets, space: LabelSpace, short: int, *, first_seen: bool) -> None:
        super().__init__(targets.main, space, short, first_seen=first_seen)
        self._several = targets.several

    def at(self, frame: int) -> Relations:
        """The relations at one frame."""
        found = super().at(frame)
        if frame not in self._several:
            return found
        return {**found, "current": tuple(LabelRef(self._space, label) for label in self._several[frame])}


class OadCorpus(StreamCorpus):
    """Recordings whose frames may show several actions; scored on the main one, mAP and cAP on all of them."""

    def __init__(
        self,
        options: OnlineActionDetection,
        space: LabelSpace,
        features: Features,
        recordings: Mapping[str, Mapping[str, Targets]],
        usage: Mapping[str, str],
    ) -> None:
        self._options = options
        self._targets = {name: targets for members in recordings.values() for name, targets in members.items()}
        windows = options.windows()
        reference = options.variant == "reference"
        super().__init__(
            actions=space,
            goals=None,
            features=features,
            recordings={
                split: [FrameLabels(name, targets.main) for name, targets in members.items()]
                for split, members in recordings.items()
            },
            windows=ReferenceWindows(**vars(windows)) if reference else windows,
            background_weight=options.background_weight,
            question=options.question,
            usage=usage,
        )
        self._relations = {
            name: SeveralRelations(targets, space, windows.short, first_seen=reference)
            for name, targets in self._targets.items()
        }
        self.prompts = {"current": replace(self.prompts["current"], close_background=False)}

    def _scored(self, predictions: Predictions) -> StreamScore:

        space = self.spaces["current"]
        score = StreamScore(
            labels=space.labels,
            fps=self.features.fps,
            background=space.background,
            ignored=space.ignored,
            variant=self._options.variant,
            smoothed=self._options.smoothed,
        )
        for recording, rows in predictions.by_recording():
            active = self._targets[recording].active(len(space))
            score.add(
                recording,
                Track(
                    rows.truth,
                    rows.predicted,
                    rows.scores[:, : len(space)],
                    None if active is None else active[rows.frames],
                ),
            )
        return score


def make_corpus(options: OnlineActionDetection, features: Features) -> OadCorpus:
    """The corpus of some options; raises `DataError` of everything that does not fit."""
    faults = Faults()
    info = read_info(options.data_info, options.section, options.splits, faults)
    _note_other_rate(options, info, features, faults)
    space = label_space(info.classes, options.background, options.ignored, str(options.data_info))
    recordings, usage = read_recordings(options, info, space, features, faults)
    faults.raise_any()
    return OadCorpus(options, space, features, recordings, usage)


def read_recordings(
    options: OnlineActionDetection, info: DataInfo, space: LabelSpace, features: Features, faults: Faults
) -> tuple[dict[str, dict[str, Targets]], dict[str, str]]:
    """The targets of every usable recording by split, and what was used of what is named.

    Rules: a recording of a session set that has no targets or no features is an error, or with `missing: skip` left
    out and counted; lengths that differ by up to `tolerance` frames are cut to the shorter and counted, by more are an
    error; a frame without a class is background and counted; whatever else is wrong is an error. `faults` notes all.
    """
    _refuse_other_names(options, info, features)
    recordings: dict[str, dict[str, Targets]] = {}
    discarded = {clean(name) for name in options.discarded}
    named = cut = empty = 0
    for split, members in info.sessions.items():
        found = recordings.setdefault(split, {})
        for name in members:
            if name in discarded:
                continue
            named += 1
            absent = _absent(options, features, name)
            if absent and options.missing == "error":
                faults.add(
                    f"recording '{name}' of {split} has no {absent}",
                    where=str(options.data_info),
                    hint="`missing: skip` leaves out recordings that are not there, `discarded` those it names",
                )
            if absent:
                continue
            with faults.gathered():
                targets = _fitting(options, space, features.lengths[name], name)
                found[name] = targets
                cut += targets.was_cut or len(targets.main) != features.lengths[name]
                empty += targets.empty
        if not found and not faults.found:
            faults.add(
                f"none of the {len(members)} recordings of split '{split}' can be used",
                where=str(options.data_info),
                hint="compare the names of its session sets, of the targets and of the features",
            )
    used = sum(map(len, recordings.values()))
    usage = {"recordings": f"{used} of {named}"}
    usage |= {
        f"{split} recordings": f"{len(found)} of {len(info.sessions[split])}" for split, found in recordings.items()
    }
    left = sum(name in discarded for members in info.sessions.values() for name in members)
    counted = {"discarded recordings": left, "recordings cut to the shorter": cut, "frames without a class": empty}
    return recordings, usage | {what: str(count) for what, count in counted.items() if count}


def _refuse_other_names(options: OnlineActionDetection, info: DataInfo, features: Features) -> None:
    """Raises `DataError` where the names of the session sets are those of no features, or of no targets, at all."""
    discarded = {clean(name) for name in options.discarded}
    named = {name: "" for members in info.sessions.values() for name in members if name not in discarded}
    if not named:
        return
    for held, holder in (
        (lambda name: name in features.lengths, "feature store"),
        (lambda name: targets_of(options.targets, name).is_file(), f"targets {options.targets}"),
    ):
        if not any(held(name) for name in named):
            there = features.lengths if holder == "feature store" else _stems(options.targets)
            message, hint = absent(named, named, there, holder)
            raise DataError(message, where=str(options.data_info), hint=hint)


def _stems(folder: Path) -> set[str]:
    return {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.npy")}


def _absent(options: OnlineActionDetection, features: Features, name: str) -> str:
    lacking = [] if targets_of(options.targets, name).is_file() else [f"targets {name}.npy in {options.targets}"]
    lacking += [] if name in features.lengths else ["features in the store"]
    return " and no ".join(lacking)


def _fitting(options: OnlineActionDetection, space: LabelSpace, length: int, name: str) -> Targets:
    path = targets_of(options.targets, name)
    targets = read_targets(path, len(space), space.background or 0, reference=options.variant == "reference")
    if abs(len(targets.main) - length) > options.tolerance or not length or not len(targets.main):
        raise DataError(
            f"{len(targets.main)} frames, but {length} in the features",
            where=str(path),
            hint="`tolerance` cuts small differences in length",
        )
    return targets.cut(min(length, len(targets.main))) if len(targets.main) != length else targets


def _note_other_rate(options: OnlineActionDetection, info: DataInfo, features: Features, faults: Faults) -> None:
    expected = options.fps or info.fps
    if expected is not None and not math.isclose(expected, features.fps, rel_tol=1e-4):
        faults.add(
            f"the features have {features.fps:g} frames a second, the targets {expected:g}",
            where=str(options.features[0]),
            hint="correct `fps`, or pack the features with the rate they were extracted at",
        )
