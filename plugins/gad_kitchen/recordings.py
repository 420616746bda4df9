"""Recordings of the kitchen: features and labels, a function of the options alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gad_core.plugin import (
    ClipCorpus,
    Corpus,
    FeatureError,
    FrameLabels,
    LabelSpace,
    Segment,
    StreamCorpus,
    stable_seed,
)
from gad_kitchen.plugin import Kitchen
from gad_kitchen.recipes import ACTIONS, GOALS, NOUNS, VERBS, cooked

STEP_FRAMES = (8, 24)
GAP_FRAMES = (2, 9)
"""Least and (exclusive) greatest length of a step, and of the idle time before it."""
SEEN = 0.15
"""How strong the part of an action shows that a frame is not about: frames show mostly the verb or mostly the noun."""
DRIFT = 0.08
"""Standard deviation of the slow change (light, camera) from one frame to the next, relative to a prototype."""

BACKGROUND = 0
IDLE = -1


@dataclass(frozen=True)
class Recording:
    """One synthetic recording; `steps` are (frames, class in `ACTIONS`)."""

    name: str
    goal: int
    steps: tuple[tuple[range, int], ...]
    features: np.ndarray  # (T, K, D) float32

    def labels(self) -> np.ndarray:
        """The class of every frame, (T,) int64, where 0 is the background and actions follow."""
        labels = np.full(len(self.features), BACKGROUND, dtype=np.int64)
        for frames, action in self.steps:
            labels[frames.start : frames.stop] = action + 1
        return labels


class KitchenFeatures:
    """The features of generated recordings, in memory; see `gad_core.contracts.components.Features`."""

    def __init__(self, recordings: Sequence[Recording], *, fps: float, tokens: int, width: int) -> None:
        self.fps, self.tokens, self.width = fps, tokens, width
        self._arrays = {recording.name: recording.features for recording in recordings}
        self.lengths: Mapping[str, int] = {name: len(array) for name, array in self._arrays.items()}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        if recording not in self._arrays:
            raise FeatureError(f"no recording '{recording}' in the kitchen")
        chosen = np.asarray(frames, dtype=np.int64)
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.lengths[recording]:
            raise FeatureError(f"recording '{recording}' has frames 0 to {self.lengths[recording] - 1}")
        return self._arrays[recording][chosen]


class Camera:
    """Turns actions into features: one prototype for every verb and noun, the same in all recordings of a seed."""

    def __init__(self, options: Kitchen) -> None:
        draw = np.random.default_rng(stable_seed("kitchen", options.seed))
        shape = (options.tokens, options.width)
        self._verbs = draw.standard_normal((len(VERBS), *shape)).astype(np.float32)
        self._nouns = draw.standard_normal((len(NOUNS), *shape)).astype(np.float32)
        self._noise = options.noise
        words = [action.split() for action in ACTIONS]
        self._verb = np.array([VERBS.index(verb) for verb, _ in words])
        self._noun = np.array([NOUNS.index(noun) for _, noun in words])

    def film(self, actions: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Features (T, K, D) of the actions (T,) of a recording; `IDLE` shows noise and drift alone."""
        about_verb = draw.random(len(actions)) < 0.5
        shown = (actions != IDLE).astype(np.float32)
        verb = (np.where(about_verb, 1.0, SEEN) * shown).astype(np.float32)[:, None, None]
        noun = (np.where(about_verb, SEEN, 1.0) * shown).astype(np.float32)[:, None, None]
        seen = verb * self._verbs[self._verb[actions]] + noun * self._nouns[self._noun[actions]]
        noise = self._noise * draw.standard_normal(seen.shape, dtype=np.float32)
        drift = DRIFT * np.cumsum(draw.standard_normal(seen.shape, dtype=np.float32), axis=0)
        return seen + noise + drift


def record(name: str, camera: Camera, draw: np.random.Generator) -> Recording:
    """One recording: a goal, its steps with idle time around each, and what the camera saw."""
    goal = int(draw.integers(len(GOALS)))
    steps, frame = [], 0
    for step in cooked(GOALS[goal], draw):
        start = frame + int(draw.integers(*GAP_FRAMES))
        frame = start + int(draw.integers(*STEP_FRAMES))
        steps.append((range(start, frame), ACTIONS.index(step)))
    actions = np.full(frame + int(draw.integers(*GAP_FRAMES)), IDLE)
    for frames, action in steps:
        actions[frames.start : frames.stop] = action
    return Recording(name, goal, tuple(steps), camera.film(actions, draw))


def open_kitchen(options: Kitchen) -> Corpus:
    """The corpus the options describe; equal options make equal corpora."""
    corpus = _make_corpus(options)
    corpus.synthetic = True
    return corpus


def _make_corpus(options: Kitchen) -> Corpus:
    camera = Camera(options)
    recordings = {
        split: [
            record(name, camera, np.random.default_rng(stable_seed("kitchen", options.seed, name)))
            for name in (f"{split}-{number:03d}" for number in range(count))
        ]
        for split, count in (("train", options.train), ("test", options.test))
    }
    everything = [recording for members in recordings.values() for recording in members]
    features = KitchenFeatures(everything, fps=options.fps, tokens=options.tokens, width=options.width)
    goals = LabelSpace("goal", GOALS)
    usage = {"data": "generated (kitchen)", "recordings": f"{len(everything)} of {len(everything)}"}
    if options.mode == "clips":
        return ClipCorpus(
            actions=LabelSpace("action", ACTIONS),
            goals=goals,
            features=features,
            segments={split: segments(members) for split, members in recordings.items()},
            asks=options.asked,
            usage=usage,
        )
    return StreamCorpus(
        actions=LabelSpace("action", ("background", *ACTIONS), background=BACKGROUND),
        goals=goals,
        features=features,
        recordings={
            split: [FrameLabels(found.name, found.labels(), found.goal) for found in members]
            for split, members in recordings.items()
        },
        windows=options.windows(),
        background_weight=options.background_weight,
        usage=usage,
    )


def segments(recordings: Sequence[Recording]) -> list[Segment]:
    """The steps of all recordings, in temporal order."""
    return [Segment(found.name, frames, action, found.goal) for found in recordings for frames, action in found.steps]
