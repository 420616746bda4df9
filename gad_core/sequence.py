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

from gad_core.batch import TRUNK, Batch
from gad_core.contracts import AuxiliaryTask, Features, Head, TextTokenizer
from gad_core.errors import DataError
from gad_core.values import Codebook, LabelRef, LabelSpace, Layout, Prompt, Query, Sample, Slot, Stage


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


class _Row:
    """One sample while it is laid out; plain lists and a numpy trunk."""

    def __init__(self, tokens: np.ndarray, slots: np.ndarray, frame_ends: np.ndarray) -> None:
        self.trunk_tokens, self.trunk_slots, self.frame_ends = tokens, slots, frame_ends
        self.tokens: list[int] = []
        self.slots: list[int] = []
        self.node: list[int] = []
        self.limit: list[int] = []
        self.positions: list[int] = []
        self.readouts: list[int] = []
        self.supervised: list[tuple[int, int, int]] = []  # column that predicts, id, query
        self.branches = 0

    @property
    def length(self) -> int:
        return len(self.trunk_tokens) + len(self.tokens)

    @property
    def plain(self) -> bool:
        end = len(self.trunk_tokens)
        return self.branches <= 1 and all(limit == end for limit in self.limit)

    def hang(self, limit: int, tokens: Sequence[int], slots: Sequence[int]) -> int:
        """Appends a branch that sees `limit` trunk tokens; returns the column of its first token."""
        first = self.length
        self.branches += 1
        self.tokens += tokens
        self.slots += slots
        self.node += [self.branches] * len(tokens)
        self.limit += [limit] * len(tokens)
        self.positions += range(limit, limit + len(tokens))
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
        self._make_caches()

    def _make_caches(self) -> None:
        """What a sequence is made of comes back with every sample: it is tokenised once a process."""
        self._encode = lru_cache(maxsize=None)(lambda piece: tuple(self.text.encode(piece)))
        self._trunk = lru_cache(maxsize=512)(self._make_trunk)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_encode", "_trunk")}

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
        return Batch(
            **_padded(rows, width),
            features=torch.from_numpy(_frames(samples, features)),
            plain=all(row.plain for row in rows),
            rows=torch.tensor([index for index, _ in queries]),
            readout=torch.tensor([column for row in rows for column in row.readouts]),
            weights=torch.tensor([query.weight for _, query in queries], dtype=torch.float32),
            spaces=tuple(self.spaces[samples[index].asks].name for index, _ in queries),
            targets=self._targets([(samples[index].asks, query) for index, query in queries], stage),
            source=torch.from_numpy(supervised[:, 0].copy()),
            target=torch.from_numpy(supervised[:, 1].copy()),
            owner=torch.from_numpy(supervised[:, 2].copy()),
        )

    def length(self, sample: Sample, tokens_a_frame: int) -> int:
        """Tokens of a sample's trunk: what batches are grouped by."""
        return len(self._trunk(sample.asks, len(sample.clip), tokens_a_frame)[0])

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

    def _make_trunk(self, relation: str, frames: int, tokens: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        prompt = self.prompts[relation]
        opening = ([] if self.text.bos is None else [self.text.bos]) + list(self._encode(prompt.before))
        separator = list(self._encode(prompt.separator)) if prompt.separator else []
        frame_tokens = np.tile([0] * tokens + separator, frames)[: frames * (tokens + len(separator)) - len(separator)]
        frame_slots = np.tile([Slot.FRAMES] * tokens + [Slot.SEPARATOR] * len(separator), frames)[: len(frame_tokens)]
        ends = len(opening) + tokens + np.arange(frames) * (tokens + len(separator))
        return (
            np.concatenate([np.array(opening, dtype=np.int64), frame_tokens.astype(np.int64)]),
            np.concatenate([np.full(len(opening), Slot.PROMPT, dtype=np.int8), frame_slots.astype(np.int8)]),
            ends,
        )

    def _row(self, sample: Sample, tokens_a_frame: int, stage: Stage) -> _Row:
        row = _Row(*self._trunk(sample.asks, len(sample.clip), tokens_a_frame))
        for number, query in enumerate(sample.queries):
            if not 1 <= query.at <= len(sample.clip):
                raise DataError(f"sample {sample.uid!r}: query at frame {query.at} of {len(sample.clip)}")
            limit = int(row.frame_ends[query.at - 1])
            readout = limit - 1
            for branch in self.layouts[stage]:
                readout = self._hang(row, sample, number, branch, stage, limit, readout)
            row.readouts.append(readout)
        return row

    def _hang(
        self, row: _Row, sample: Sample, number: int, branch: tuple[Slot, ...], stage: Stage, limit: int, readout: int
    ) -> int:
        """Hangs one branch of a query, notes what it supervises, and returns where the query is read."""
        prompt, query = self.prompts[sample.asks], sample.queries[number]
        tokens: list[int] = list(self._encode(prompt.after)) if prompt.after else []
        slots: list[int] = [Slot.AFTER] * len(tokens)
        for slot in branch:
            piece = self._piece(slot, prompt, query, sample.asks, opens=len(slots) > 0 and slots[-1] == Slot.AFTER)
            tokens += piece
            slots += [slot] * len(piece)
        first = row.hang(limit, tokens, slots)
        if Slot.ANSWER in branch:
            self._supervise(row, number, first, limit, tokens, slots, prompt)
        if Slot.CLS in branch:
            return first + slots.index(Slot.CLS)
        return first + len(slots) - 1 if stage is Stage.PREDICT and Slot.CUE in branch else readout

    def _piece(self, slot: Slot, prompt: Prompt, query: Query, asks: str, *, opens: bool) -> Sequence[int]:
        """The tokens of one slot; `opens` tells that the slot stands directly behind the branch's opening text."""
        if slot is Slot.CLS:
            return (0,)
        if slot is Slot.CUE:
            return self._encode(prompt.cue_after(prompt.after) if opens else prompt.cue)
        answer, written = query.first(asks), self._written(query, asks)
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

    def _written(self, query: Query, asks: str) -> list[LabelRef]:
        """The auxiliary labels of a query: each once, and never the answer again."""
        assert self.writing is not None
        known = {query.first(asks)}
        refs = [ref for task in self.writing.auxiliary for ref in task.refs(query)]
        return [ref for ref in refs if not (ref in known or known.add(ref))]  # type: ignore[func-returns-value]

    def _supervise(
        self, row: _Row, number: int, first: int, limit: int, tokens: list[int], slots: list[int], prompt: Prompt
    ) -> None:
        """Everything from the cue on is predicted from the token before it; frames and opening text on request."""
        spoken = {Slot.CUE, Slot.ANSWER, Slot.AUXILIARY, Slot.EOS}
        if prompt.supervise_frames:
            spoken.add(Slot.AFTER)
            between = np.flatnonzero(row.trunk_slots[:limit] == Slot.SEPARATOR)
            row.supervised += [(int(place) - 1, int(row.trunk_tokens[place]), number) for place in between]
        for depth, (token, slot) in enumerate(zip(tokens, slots, strict=True)):
            if slot in spoken:
                row.supervised.append((first + depth - 1 if depth else limit - 1, token, number))

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
    """The per-token columns of some rows, padded on the right to `width`."""
    shape = (len(rows), width)
    tokens, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    slots = np.full(shape, Slot.PAD, dtype=np.int8)
    node, limit = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    for index, row in enumerate(rows):
        end, length = len(row.trunk_tokens), row.length
        tokens[index, :end], tokens[index, end:length] = row.trunk_tokens, row.tokens
        slots[index, :end], slots[index, end:length] = row.trunk_slots, row.slots
        positions[index, :end], positions[index, end:length] = np.arange(end), row.positions
        node[index, :end], node[index, end:length] = TRUNK, row.node
        limit[index, :end], limit[index, end:length] = end, row.limit
    columns = {"tokens": tokens, "slots": slots, "positions": positions, "node": node, "limit": limit}
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def _frames(samples: Sequence[Sample], features: Features) -> np.ndarray:
    """The frame tokens of some samples in reading order, (N, D)."""
    clips = [features.read(sample.clip.recording, sample.clip.frames) for sample in samples]
    return np.concatenate([clip.reshape(-1, features.width) for clip in clips])
