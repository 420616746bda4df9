"""The values that flow through gad: labels, samples, slots, codes. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np

from gad_core.errors import CodebookError, DataError
from gad_core.files.fields import composed, text_field


@dataclass(frozen=True)
class LabelSpace:
    """A closed set of labels.

    `labels[i]` is the name of class `i`; `written[i]` is the text a language model reads and writes for it (the
    names themselves unless given). `background` is the class that means "no action"; `ignored` classes are left out
    of the scores. Raises `DataError` on empty or repeated labels.
    """

    name: str
    labels: tuple[str, ...]
    written: tuple[str, ...] = ()
    background: int | None = None
    ignored: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            raise DataError(f"label space '{self.name}' has no labels", hint="name the classes, or look for their rows")
        odd = next((label for label in self.labels if not text_field(label, f"a label of space '{self.name}'")), None)
        if odd is not None:
            raise DataError(f"label space '{self.name}' has an empty label, {odd!r}", hint="name every class")
        repeated = sorted(label for label, count in Counter(map(composed, self.labels)).items() if count > 1)
        if repeated:
            raise DataError(
                f"label space '{self.name}' repeats {', '.join(map(repr, repeated[:5]))}",
                hint="labels are told apart by their text: merge the classes or rename them",
            )
        if not self.written:
            object.__setattr__(self, "written", self.labels)
        if len(self.written) != len(self.labels):
            raise DataError(f"label space '{self.name}': {len(self.labels)} labels, {len(self.written)} written forms")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """The class of a label; raises `DataError` when the space has no such label."""
        try:
            return self.labels.index(label)
        except ValueError:
            raise DataError(f"label {label!r} is not in label space '{self.name}'") from None


@dataclass(frozen=True)
class LabelRef:
    """Class `index` of the label space named `space`."""

    space: str
    index: int


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames of one recording that a sample shows, oldest first: indices into the recording's features."""

    recording: str
    frames: range | np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Query:
    """One question about a clip, asked when `at` of its frames are visible (1 ≤ at ≤ len(clip)).

    `relations` maps a relation (`current`, `previous`, `next`, `past`, `goal`, …) to the labels that stand in it, the
    most telling first; a relation that does not hold is absent. `weight` multiplies the classification loss, `text` the
    generation loss of a head that also classifies: with 0 such a head writes no text here.
    """

    at: int
    relations: Mapping[str, tuple[LabelRef, ...]]
    weight: float = 1.0
    text: float = 1.0

    def first(self, relation: str) -> LabelRef | None:
        """The first label of a relation, or None."""
        refs = self.relations.get(relation, ())
        return refs[0] if refs else None


@dataclass(frozen=True, slots=True)
class Band:
    """A frame of a long clip sees the prompt and the latest `frames` frames, itself included, no others.

    The prompt follows in leaps of `step` frames, so that it is never further away than `frames + step`.
    """

    frames: int
    step: int

    def leap(self, frame: int) -> int:
        """How many frames the prompt has moved on when frame `frame` sees it."""
        return max(0, frame + 1 - self.frames) // self.step * self.step


@dataclass(frozen=True, slots=True)
class Sample:
    """A clip and the queries asked about it; `asks` names the relation that is to be predicted. With a `band` a frame
    sees only so far back.

    `uid` is unique in a split, the same in every epoch and on every machine.
    """

    uid: str
    clip: Clip
    asks: str
    queries: tuple[Query, ...]
    band: Band | None = None


@dataclass(frozen=True)
class Prompt:
    """The texts around the frames.

    `before` and `separator` (between two frames) belong to the trunk; `after` opens every branch; `cue` stands
    before an answer, on a line of its own: its leading newline is dropped where the text before it already ended one.
    `lead` stands before every label that is written, `joiner` between two of them.
    `supervise_frames` also trains the model to write `separator` and `after` behind each frame (COIN, as the authors).
    `keep_lead`: free decoding leaves the leading blank of what was written when it looks for the nearest label (COIN,
    as the authors).
    `close_background`: whether an EOS follows a background answer with nothing behind it (not in the authors' OAD
    code, where `background` is one token that needs no end).
    """

    before: str
    separator: str = ""
    after: str = ""
    cue: str = "\nAssistant:"
    lead: str = " "
    joiner: str = ","
    supervise_frames: bool = False
    close_background: bool = True
    keep_lead: bool = False

    def cue_after(self, text: str) -> str:
        """The cue as it is written behind `text`."""
        return self.cue[1:] if self.cue.startswith("\n") and text.endswith("\n") else self.cue


@dataclass(frozen=True)
class Scale:
    """The model reads features as (x - mean) / deviation, each (D,) float32.

    It is the model's, not the features': it stays with a checkpoint, whatever features are given to it later.
    """

    mean: np.ndarray
    deviation: np.ndarray


class Slot(IntEnum):
    """What a token of a sequence stands for."""

    PAD = 0
    PROMPT = 1
    FRAMES = 2
    SEPARATOR = 3
    AFTER = 4
    CLS = 5
    CUE = 6
    ANSWER = 7
    AUXILIARY = 8
    EOS = 9


BRANCH_SLOTS = frozenset({Slot.CLS, Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS})
"""The slots a head may lay out; the core supplies the others."""

Layout = tuple[tuple[Slot, ...], ...]
"""The branches a head hangs on each query. `()` hangs none: the trunk's last visible frame is read."""


class Stage(Enum):
    """Training hangs everything a head learns from; prediction only what it reads."""

    TRAIN = "train"
    PREDICT = "predict"


@dataclass(frozen=True)
class Codebook:
    """How each label is written: `codes[space][i]` are the token ids of class `i`.

    Ids below `vocabulary` are the language model's own, ids from there on are new rows that the core trains.
    `match` maps any written ids back to a label. Raises `CodebookError` on empty or repeated codes within a space.
    """

    codes: Mapping[str, tuple[tuple[int, ...], ...]]
    vocabulary: int
    readable: bool = True
    """Whether a decoded code is the label's text; free decoding then compares texts, otherwise token ids."""

    _ends: Mapping[str, Mapping[tuple[int, ...], int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends: dict[str, dict[tuple[int, ...], int]] = {}
        for space, codes in self.codes.items():
            known = ends.setdefault(space, {})
            for index, code in enumerate(codes):
                if not code:
                    raise CodebookError(
                        f"label {index} of space '{space}' is written with no token at all",
                        hint="give the label a text that the tokenizer knows, or use 'unique-token'",
                    )
                if code in known:
                    raise CodebookError(
                        f"labels {known[code]} and {index} of space '{space}' are written alike: {list(code)}",
                        hint="give the labels different texts, or use 'unique-token'",
                    )
                known[code] = index
        object.__setattr__(self, "_ends", ends)

    @property
    def new_rows(self) -> int:
        """How many rows the codes need beyond the vocabulary."""
        top = max((token for codes in self.codes.values() for code in codes for token in code), default=-1)
        return max(0, top + 1 - self.vocabulary)

    def code(self, ref: LabelRef) -> tuple[int, ...]:
        """The token ids of a label."""
        return self.codes[ref.space][ref.index]

    def exact(self, space: str, ids: Sequence[int]) -> int | None:
        """The class that `ids` spell exactly, or None."""
        return self._ends[space].get(tuple(ids))

    def refuse(self, tokens: Sequence[int], what: str) -> None:
        """Raises `CodebookError` when a code contains one of `tokens`: it could not be read back."""
        barred = set(tokens)
        for space, codes in self.codes.items():
            for index, code in enumerate(codes):
                if barred & set(code):
                    raise CodebookError(
                        f"the code of label {index} of space '{space}' contains {what}",
                        hint="such a label cannot be told from its end: rename it, or use 'unique-token'",
                    )


@dataclass(frozen=True)
class Predictions:
    """What a model answered, one row a query, in corpus order.

    `scores` is (N, C) float32, padded with -inf where a query's label space has fewer than C classes; `truth` is
    (N,) int64 class indices, -1 where none is known; `frames` (N,) the last visible frame of each query.
    """

    uids: tuple[str, ...]
    recordings: tuple[str, ...]
    asks: tuple[str, ...]
    frames: np.ndarray
    truth: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def predicted(self) -> np.ndarray:
        """The best class of each query, (N,) int64; ties go to the lower index."""
        return self.scores.argmax(axis=1)

    def of(self, relation: str) -> Predictions:
        """The rows that ask one relation."""
        rows = np.flatnonzero(np.asarray(self.asks, dtype=object) == relation)
        return self.take(rows)

    def take(self, rows: np.ndarray) -> Predictions:
        """The given rows, in the given order."""
        return Predictions(
            uids=tuple(self.uids[row] for row in rows),
            recordings=tuple(self.recordings[row] for row in rows),
            asks=tuple(self.asks[row] for row in rows),
            frames=self.frames[rows],
            truth=self.truth[rows],
            scores=self.scores[rows],
        )

    def by_recording(self) -> Iterator[tuple[str, Predictions]]:
        """Each recording with its rows in frame order; recordings in order of first appearance."""
        rows: dict[str, list[int]] = {}
        for row, recording in enumerate(self.recordings):
            rows.setdefault(recording, []).append(row)
        for recording, members in rows.items():
            order = np.asarray(members)[np.argsort(self.frames[members], kind="stable")]
            yield recording, self.take(order)
