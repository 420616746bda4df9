"""Samples become sequences: a trunk (prompt and frames) and branches that hang on it at a frame.

A branch sees the prompt, the frames up to where it hangs, and itself; the trunk and other branches never see it. The
position of a token is its trunk position plus its depth in the branch. Sequences are padded on the right: with one
branch at the end of each trunk the attention is plain causal, and no mask is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gad_core.contracts.batch import TRUNK, Batch
from gad_core.contracts.components import AuxiliaryTask, Features, Head, TextTokenizer
from gad_core.contracts.values import Band, Codebook, LabelRef, LabelSpace, Layout, Prompt, Query, Sample, Slot, Stage
from gad_core.errors import DataError


@dataclass(frozen=True)
class Ending:
    """How a written answer ends: any of `tokens` follows it, and nothing follows a label in `unclosed`.

    Without `tokens` (another label may follow at once) a code is its own end, so no code may open another.
    """

    tokens: tuple[int, ...]
    unclosed: frozenset[LabelRef] = frozenset()


@dataclass(frozen=True)
class Writing:
    """What a head that speaks needs beyond its layout: the codes, the auxiliary labels to write."""

    codebook: Codebook
    auxiliary: tuple[AuxiliaryTask, ...] = ()


@dataclass(frozen=True)
class _Trunk:
    """Prompt and frames of a sequence, a column a token; `frame_ends` are the columns behind each frame.

    With a band the prompt is repeated before every frame at which it leaps (`Band.leap`): a token sees the prompt that
    has its own `sink` number, and frames and separators from column `since` on. Without a band there is one prompt, and
    `since` is 0.
    """

    frame_ends: np.ndarray
    tokens: np.ndarray
    slots: np.ndarray
    positions: np.ndarray
    sink: np.ndarray
    since: np.ndarray


@dataclass(frozen=True)
class _Branch:
    """What hangs on a query's frame. `supervised` are the tokens to be predicted, `reads` the one that is read."""

    tokens: tuple[int, ...]
    slots: tuple[int, ...]
    supervised: tuple[int, ...]
    reads: int | None
    supervises_frames: bool


class _Row:
    """One sample while it is laid out; plain lists behind a numpy trunk."""

    def __init__(self, trunk: _Trunk, banded: bool) -> None:
        self.trunk, self.banded = trunk, banded
        self.tokens: list[int] = []
        self.slots: list[int] = []
        self.node: list[int] = []
        self.limit: list[int] = []
        self.positions: list[int] = []
        self.sink: list[int] = []
        self.since: list[int] = []
        self.readouts: list[int] = []
        self.supervised: list[tuple[int, int, int]] = []  # column that predicts, id, query
        self.branches = 0

    @property
    def length(self) -> int:
        return len(self.trunk.tokens) + len(self.tokens)

    @property
    def plain(self) -> bool:
        end = len(self.trunk.tokens)
        return not self.banded and self.branches <= 1 and all(limit == end for limit in self.limit)

    def hang(self, limit: int, tokens: Sequence[int], slots: Sequence[int]) -> int:
        """Appends a branch that sees `limit` trunk tokens; returns the column of its first token."""
        first = self.length
        self.branches += 1
        self.tokens += tokens
        self.slots += slots
        self.node += [self.branches] * len(tokens)
        self.limit += [limit] * len(tokens)
        position = int(self.trunk.positions[limit - 1]) + 1
        self.positions += range(position, position + len(tokens))
        self.sink += [int(self.trunk.sink[limit - 1])] * len(tokens)
        self.since += [int(self.trunk.since[limit - 1])] * len(tokens)
        return first


class Assembler:
    """Makes batches out of samples for one composition of head, labels, auxiliary tasks and dataset."""

    def __init__(
        self,
        *,
        head: Head,
        text: TextTokenizer,
        spaces: Mapping[str, LabelSpace],
        prompts: Mapping[str, Prompt],
        writing: Writing | None = None,
        classified: tuple[AuxiliaryTask, ...] = (),
    ) -> None:
        self.text, self.spaces, self.prompts = text, dict(spaces), dict(prompts)
        self.writing, self.classified = writing, classified
        self.layouts: dict[Stage, Layout] = {stage: head.layout(stage) for stage in Stage}
        opens_cue = any(Slot.CUE in branch for branch in self.layouts[Stage.PREDICT])
        self.thins = head.speaks and head.classifies and not opens_cue
        """Whether a query may go without its text: the class is read from what prediction lays out as well."""
        said = {Slot.ANSWER, Slot.AUXILIARY, Slot.EOS}
        self._says = {stage: any(said & set(branch) for branch in layout) for stage, layout in self.layouts.items()}
        self._make_caches()

    def _make_caches(self) -> None:
        """What a sequence is made of comes back with every sample: it is tokenised once a process."""
        self._encode = lru_cache(maxsize=None)(lambda piece: tuple(self.text.encode(piece)))
        self._trunk = lru_cache(maxsize=512)(self._make_trunk)
        self._branches = lru_cache(maxsize=4096)(self._make_branches)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_encode", "_trunk", "_branches")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._make_caches()

    # ------------------------------------------------------------------------------------------------ batches

    def __call__(self, samples: Sequence[Sample], features: Features, stage: Stage) -> Batch:
        """The batch of some samples, on the CPU."""
        rows = [self._row(sample, features.tokens, stage) for sample in samples]
        width = max(row.length for row in rows)
        queries = [(index, query) for index, sample in enumerate(samples) for query in sample.queries]
        first_query = np.cumsum([0] + [len(sample.queries) for sample in samples])
        supervised = np.array(
            [(index * width + column, token, first_query[index] + query)
             for index, row in enumerate(rows) for column, token, query in row.supervised],
            dtype=np.int64,
        ).reshape(-1, 3)  # fmt: skip
        shared = _shared_frames(samples, features) if stage is Stage.PREDICT else None
        frames, shown = shared or (_frames(samples, features), None)
        return Batch(
            **_padded(rows, width),
            features=torch.from_numpy(frames),
            shown=None if shown is None else torch.from_numpy(shown),
            plain=all(row.plain for row in rows),
            rows=torch.tensor([index for index, _ in queries]),
            readout=torch.tensor([column for row in rows for column in row.readouts]),
            weights=torch.tensor([query.weight for _, query in queries], dtype=torch.float32),
            texts=torch.tensor([query.text if self.thins else 1.0 for _, query in queries], dtype=torch.float32),
            spaces=tuple(self.spaces[samples[index].asks].name for index, _ in queries),
            targets=self._targets([(samples[index].asks, query) for index, query in queries], stage),
            source=torch.from_numpy(supervised[:, 0].copy()),
            target=torch.from_numpy(supervised[:, 1].copy()),
            owner=torch.from_numpy(supervised[:, 2].copy()),
            read=torch.from_numpy(_read_columns(rows, width)),
        )

    def length(self, sample: Sample, tokens_a_frame: int) -> int:
        """Tokens of a sample's trunk: what batches are grouped by."""
        return len(self._trunk(sample.asks, len(sample.clip), tokens_a_frame, sample.band).tokens)

    def ending(self, relation: str) -> Ending:
        """How a written answer to a relation ends."""
        prompt, space = self.prompts[relation], self.spaces[relation]
        follows = bool(self.writing and self.writing.auxiliary)
        joiner = self._encode(prompt.joiner) if prompt.joiner else ()
        unclosed = (
            frozenset({LabelRef(space.name, space.background)})
            if space.background is not None and not prompt.close_background
            else frozenset()
        )
        if follows and not joiner:
            return Ending((), unclosed)
        return Ending((self.text.eos, *joiner[:1]) if follows else (self.text.eos,), unclosed)

    # --------------------------------------------------------------------------------------------------- rows

    def _make_trunk(self, relation: str, frames: int, tokens: int, band: Band | None) -> _Trunk:
        prompt = self.prompts[relation]
        bos = () if self.text.bos is None else (self.text.bos,)
        opening = (*bos, *self._encode(prompt.before))
        separator = self._encode(prompt.separator) if prompt.separator else ()
        unit = len(separator) + tokens  # positions from one frame to the next
        columns: list[tuple[int, int, int, int, int]] = []  # token, slot, position, sink, since
        firsts: list[int] = []  # column of every frame's first token
        leap = sink = -1
        for frame in range(frames):
            between, before = separator if frame else (), leap
            leap = band.leap(frame) if band else 0
            if leap != before:
                sink, since = sink + 1, len(columns) if band else 0
                columns += [
                    (token, Slot.PROMPT, place, sink, since) for place, token in enumerate(opening, leap * unit)
                ]
            firsts.append(len(columns) + len(between))
            since = firsts[max(0, frame + 1 - band.frames)] if band else 0
            shown = [(token, Slot.SEPARATOR) for token in between] + [(0, Slot.FRAMES)] * tokens
            first = len(opening) + frame * unit - len(between)  # position
            columns += [(token, slot, place, sink, since) for place, (token, slot) in enumerate(shown, first)]
        return _Trunk(np.array(firsts) + tokens, *np.array(columns, dtype=np.int64).reshape(-1, 5).T)

    def _row(self, sample: Sample, tokens_a_frame: int, stage: Stage) -> _Row:
        trunk = self._trunk(sample.asks, len(sample.clip), tokens_a_frame, sample.band)
        row = _Row(trunk, sample.band is not None)
        for number, query in enumerate(sample.queries):
            if not 1 <= query.at <= len(sample.clip):
                raise DataError(f"sample {sample.uid!r}: query at frame {query.at} of {len(sample.clip)}")
            limit = int(trunk.frame_ends[query.at - 1])
            readout = limit - 1
            shown = stage if query.text > 0 or not self.thins else Stage.PREDICT
            for branch in self._branches(sample.asks, shown, *self._said(query, sample.asks, shown)):
                first = row.hang(limit, branch.tokens, branch.slots)
                readout = readout if branch.reads is None else first + branch.reads
                if branch.supervises_frames:
                    between = np.flatnonzero(trunk.slots[:limit] == Slot.SEPARATOR)
                    row.supervised += [(int(place) - 1, int(trunk.tokens[place]), number) for place in between]
                row.supervised += [
                    (first + depth - 1 if depth else limit - 1, branch.tokens[depth], number)
                    for depth in branch.supervised
                ]
            row.readouts.append(readout)
        return row

    def _said(self, query: Query, asks: str, stage: Stage) -> tuple[LabelRef | None, tuple[LabelRef, ...]]:
        """What the branches of a query say: its answer, and its auxiliary labels, each once and never the answer."""
        if self.writing is None or not self._says[stage]:
            return None, ()
        answer = query.first(asks)
        refs = dict.fromkeys(ref for task in self.writing.auxiliary for ref in task.refs(query))
        return answer, tuple(ref for ref in refs if ref != answer)

    def _make_branches(
        self, asks: str, stage: Stage, answer: LabelRef | None, written: tuple[LabelRef, ...]
    ) -> tuple[_Branch, ...]:
        return tuple(self._make_branch(branch, asks, stage, answer, written) for branch in self.layouts[stage])

    def _make_branch(
        self,
        branch: tuple[Slot, ...],
        asks: str,
        stage: Stage,
        answer: LabelRef | None,
        written: tuple[LabelRef, ...],
    ) -> _Branch:
        prompt = self.prompts[asks]
        tokens: list[int] = list(self._encode(prompt.after)) if prompt.after else []
        slots: list[Slot] = [Slot.AFTER] * len(tokens)
        for slot in branch:
            opens = len(slots) > 0 and slots[-1] is Slot.AFTER
            piece = self._piece(slot, prompt, asks, answer, written, opens=opens)
            tokens += piece
            slots += [slot] * len(piece)
        reads = len(slots) - 1 if stage is Stage.PREDICT and Slot.CUE in branch else None
        spoken = {Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS} | (
            {Slot.AFTER} if prompt.supervise_frames else set()
        )
        supervised = [depth for depth, slot in enumerate(slots) if slot in spoken] if Slot.ANSWER in branch else []
        return _Branch(
            tuple(tokens), tuple(slots), tuple(supervised),
            reads=slots.index(Slot.CLS) if Slot.CLS in branch else reads,
            supervises_frames=Slot.ANSWER in branch and prompt.supervise_frames,
        )  # fmt: skip

    def _piece(
        self,
        slot: Slot,
        prompt: Prompt,
        asks: str,
        answer: LabelRef | None,
        written: tuple[LabelRef, ...],
        *,
        opens: bool,
    ) -> Sequence[int]:
        """The tokens of one slot; `opens` tells that the slot stands directly behind the branch's opening text."""
        if slot is Slot.CLS:
            return (0,)
        if slot is Slot.CUE:
            return self._encode(prompt.cue_after(prompt.after) if opens else prompt.cue)
        if slot is Slot.ANSWER:
            return self._code(answer)
        joiner = self._encode(prompt.joiner) if prompt.joiner else ()
        if slot is Slot.AUXILIARY:
            return [token for ref in written for token in (*joiner, *self._code(ref))]
        alone = answer is not None and answer.index == self.spaces[asks].background and not written
        return () if alone and not prompt.close_background else (self.text.eos,)

    def _code(self, ref: LabelRef | None) -> tuple[int, ...]:
        assert self.writing is not None and ref is not None
        return self.writing.codebook.code(ref)

    # ------------------------------------------------------------------------------------------------- targets

    def _targets(self, queries: Sequence[tuple[str, Query]], stage: Stage) -> dict[str, tuple[Tensor, Tensor]]:
        """The class layers' work: asked labels by space, classified auxiliaries in training."""
        wanted: dict[str, list[tuple[int, int]]] = {}
        for index, (asks, query) in enumerate(queries):
            ref = query.first(asks)
            wanted.setdefault(self.spaces[asks].name, []).append((index, -1 if ref is None else ref.index))
            for task in self.classified if stage is Stage.TRAIN else ():
                layer = f"auxiliary/{task.name}"
                refs = task.refs(query)[:1]
                wanted.setdefault(layer, []).extend((index, ref.index) for ref in refs)
        pairs = {layer: torch.tensor(rows, dtype=torch.int64).reshape(-1, 2) for layer, rows in wanted.items()}
        return {layer: (pair[:, 0], pair[:, 1]) for layer, pair in pairs.items()}


def _padded(rows: Sequence[_Row], width: int) -> dict[str, Tensor]:
    """The per-token columns of some rows, padded on the right to `width`; those of bands where a row has one."""
    shape = (len(rows), width)
    tokens, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    slots = np.full(shape, Slot.PAD, dtype=np.int8)
    node, limit = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    sink, since = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    for index, row in enumerate(rows):
        trunk, end, length = row.trunk, len(row.trunk.tokens), row.length
        tokens[index, :end], tokens[index, end:length] = trunk.tokens, row.tokens
        slots[index, :end], slots[index, end:length] = trunk.slots, row.slots
        positions[index, :end], positions[index, end:length] = trunk.positions, row.positions
        node[index, :end], node[index, end:length] = TRUNK, row.node
        limit[index, :end], limit[index, end:length] = end, row.limit
        sink[index, :end], sink[index, end:length] = trunk.sink, row.sink
        since[index, :end], since[index, end:length] = trunk.since, row.since
    columns = {"tokens": tokens, "slots": slots, "positions": positions, "node": node, "limit": limit}
    if any(row.banded for row in rows):
        columns |= {"sink": sink, "since": since}
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def _read_columns(rows: Sequence[_Row], width: int) -> np.ndarray:
    """The columns (B, R) whose states are read; rows with fewer than others are filled up with columns nobody reads."""
    read = np.zeros((len(rows), width), dtype=bool)
    for index, row in enumerate(rows):
        read[index, row.readouts] = True
        read[index, [column for column, _, _ in row.supervised]] = True
    return np.argsort(~read, axis=1, kind="stable")[:, : read.sum(axis=1).max()]


def _frames(samples: Sequence[Sample], features: Features) -> np.ndarray:
    """The frame tokens of some samples in reading order, (N, D)."""
    return _read([(sample.clip.recording, sample.clip.frames) for sample in samples], features)


def _shared_frames(samples: Sequence[Sample], features: Features) -> tuple[np.ndarray, np.ndarray] | None:
    """The frame tokens of some samples, each once (U, D), and which of them stands at each place (N,).

    Windows of one recording overlap: a frame is read, and goes through the connector, once a batch. None where that
    saves nothing.
    """
    total = sum(len(sample.clip) for sample in samples)
    wanted: dict[str, list[np.ndarray]] = {}
    for sample in samples:
        wanted.setdefault(sample.clip.recording, []).append(np.asarray(sample.clip.frames))
    once = {recording: np.unique(np.concatenate(clips)) for recording, clips in wanted.items()}
    if 2 * sum(map(len, once.values())) > total:
        return None
    first, firsts = 0, {}
    for recording, frames in once.items():
        firsts[recording], first = first, first + len(frames)
    places = [
        firsts[sample.clip.recording] + np.searchsorted(once[sample.clip.recording], np.asarray(sample.clip.frames))
        for sample in samples
    ]
    tokens = np.arange(features.tokens)
    shown = (np.concatenate(places)[:, None] * features.tokens + tokens).reshape(-1)
    return _read([(recording, _as_range(frames)) for recording, frames in once.items()], features), shown


def _as_range(frames: np.ndarray) -> range | np.ndarray:
    """Ascending frames as a range where they are one, which a store reads without a copy."""
    whole = range(int(frames[0]), int(frames[-1]) + 1)
    return whole if len(whole) == len(frames) else frames


def _read(clips: Sequence[tuple[str, range | np.ndarray]], features: Features) -> np.ndarray:
    """The frame tokens of some clips, (N, D)."""
    return np.concatenate([features.read(*clip).reshape(-1, features.width) for clip in clips])
