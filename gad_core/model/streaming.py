"""Answers while the frames come in: push a frame's features, get its scores.

`window` looks at the window offline evaluation looks at and gives the same answers, at the cost of a window a frame.
`cached` keeps keys and values of what it has seen: a frame costs its own tokens and one branch that is dropped again.
Every frame sees the prompt and the latest frames (a band), and what those saw before them reaches further back: it is
another measurement than a window, equal to the banded forward pass over the whole recording (`Band`), which
training can use as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from gad_core.contracts.batch import Batch
from gad_core.contracts.modules import Transformer
from gad_core.contracts.values import Band, Clip, Query, Sample, Slot, Stage
from gad_core.errors import FeatureError, RegistryError
from gad_core.model.action_model import ActionModel
from gad_core.model.language import LanguageModel

Mode = Literal["window", "cached"]


def open_stream(
    model: ActionModel,
    mode: Mode,
    band: Band,
    *,
    tokens: int,
    streams: int = 1,
    asks: str | None = None,
    compile: bool = False,
) -> Stream:
    """A stream of `streams` recordings in step; `tokens` a frame, `asks` the relation that is asked.

    With `compile` the step of a `cached` stream is one graph made by torch.compile, on a GPU one CUDA graph, which
    takes up to half a minute at the first frame: for GPUs, where a step is bound by the launches of its kernels.
    Raises `RegistryError` where the head writes its answer, or its backbone has no cache to keep, in `cached` mode, and
    where a `window` stream is to be compiled.
    """
    asked = asks or next(iter(model.assembler.prompts))
    if mode == "cached":
        return CachedStream(model, band, tokens=tokens, streams=streams, asks=asked, compile=compile)
    if compile:
        raise RegistryError("mode 'window' has no step to compile", hint="compile mode 'cached'")
    return WindowStream(model, band, tokens=tokens, streams=streams, asks=asked)


def cacheable(model: ActionModel) -> bool:
    """Whether a model can answer in `cached` mode."""
    ring = type(model.transformer).make_ring is not Transformer.make_ring
    return ring and not _writes(model)


def _writes(model: ActionModel) -> bool:
    """Whether prediction lays out more than one place to read: text to write behind a cue."""
    layout = model.assembler.layouts[Stage.PREDICT]
    return len(layout) > 1 or any(Slot.CUE in branch for branch in layout)


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite: minimum and maximum tell, 20 × sooner than `isfinite` of every value."""
    low, high = values.aminmax()
    return bool(low.isfinite() & high.isfinite())


class Stream(ABC):
    """Several recordings in step. A context: inside it the adapters are merged into the weights.

    `push` takes the features of one frame of every recording; `restart` begins some of them anew.
    """

    def __init__(self, model: ActionModel, band: Band, *, tokens: int, streams: int, asks: str) -> None:
        self.model, self.band, self.tokens, self.streams, self.asks = model, band, tokens, streams, asks
        self.device = model.connector.mean.device
        self.seen = np.zeros(streams, dtype=np.int64)
        """Frames each recording has shown since it began."""
        self._merged = ExitStack()

    def __enter__(self) -> Self:
        self.model.eval()
        self._merged.enter_context(self.model.transformer.merged())
        return self

    def __exit__(self, *raised: object) -> None:
        self._merged.close()

    @torch.no_grad()
    def push(self, features: np.ndarray | Tensor) -> Tensor:
        """The scores (streams, C) at the next frame; `features` is (streams, K, D), or (K, D) or (D,) of one stream.

        Raises `FeatureError` for NaN and infinite values, which a cache would not get rid of; the frame is not taken.
        """
        given = features if isinstance(features, Tensor) else torch.from_numpy(np.array(features))
        if not all_finite(given):
            raise FeatureError("a frame with NaN or infinite values was pushed", hint="leave it out, or repair it")
        rows = given.to(self.device).reshape(self.streams * self.tokens, -1)
        frames = self.model.connector(rows).view(self.streams, self.tokens, -1)
        self.seen += 1
        return self._answer(frames).float()

    @abstractmethod
    def _answer(self, frames: Tensor) -> Tensor:
        """Scores (streams, C) once `frames` (streams, K, H) are there."""

    @abstractmethod
    def restart(self, streams: Sequence[int] | None = None) -> None:
        """Forgets all that some of the recordings, or all of them, have shown."""

    def _sample(self, frames: int) -> Sample:
        return Sample("", Clip("", range(frames)), self.asks, (Query(frames, {}),))

    def _batch(self, lengths: Sequence[int]) -> Batch:
        """The prediction batch of clips of some lengths, without their features."""
        batch = self.model.assembler([self._sample(n) for n in lengths], _Nothing(self.tokens), Stage.PREDICT)
        return batch.to(self.device)


class WindowStream(Stream):
    """The window protocol as frames come in."""

    def __init__(self, model: ActionModel, band: Band, *, tokens: int, streams: int, asks: str) -> None:
        super().__init__(model, band, tokens=tokens, streams=streams, asks=asks)
        width = model.transformer.hidden_size
        self._frames = torch.zeros(streams, band.frames, tokens, width, device=self.device)  # the latest one last
        self._full: Batch | None = None

    def _answer(self, frames: Tensor) -> Tensor:
        self._frames = torch.cat([self._frames[:, 1:], frames[:, None].to(self._frames.dtype)], dim=1)
        lengths = np.minimum(self.seen, self.band.frames).tolist()
        shown = torch.cat([row[-length:].flatten(0, 1) for row, length in zip(self._frames, lengths, strict=True)])
        return self.model.predict(self._window(lengths), shown)

    def _window(self, lengths: list[int]) -> Batch:
        """The batch of windows of some lengths; full windows are all alike."""
        if min(lengths) < self.band.frames:
            return self._batch(lengths)
        if self._full is None:
            self._full = self._batch(lengths)
        return self._full

    def restart(self, streams: Sequence[int] | None = None) -> None:
        self.seen[list(range(self.streams) if streams is None else streams)] = 0


class CachedStream(Stream):
    """The band as a ring of keys and values, the prompt's in front of it, those of a frame's branch behind it.

    The places of the cache are the same for all recordings, and so are the positions of frames: attention depends on
    distances alone. The prompt is read again, nearer, when a recording has left it `step` frames further behind than a
    full window does, so that it is never further away than that.
    """

    def __init__(
        self, model: ActionModel, band: Band, *, tokens: int, streams: int, asks: str, compile: bool = False
    ) -> None:
        super().__init__(model, band, tokens=tokens, streams=streams, asks=asks)
        if _writes(model):
            raise RegistryError(
                "a cached stream reads one place behind each frame, and this head writes its answer",
                hint="use mode 'window', or a head that classifies without writing",
            )
        self._latest: list[Tensor] = []  # frames behind the connector, as far as the band reaches
        self._prepare()
        self._ring = model.transformer.make_ring(self._size)
        self._forward: Callable[..., Tensor] = model.transformer
        if compile:  # the shapes of a step never change
            self._forward = torch.compile(model.transformer.forward, mode="reduce-overhead", dynamic=False)
        self.restart()

    def _prepare(self) -> None:
        """What every step shares: tokens of prompt, separator and branch, the places they have in the cache."""
        model, batch = self.model, self._batch([2])
        slots = batch.slots[0]
        prompt = slots == Slot.PROMPT
        branch = batch.node[0] > 0
        self._prompt = int(prompt.sum())
        self._separator = int((slots == Slot.SEPARATOR).sum())
        self._branch = int(branch.sum())
        self._unit = self.tokens + self._separator  # tokens a frame adds to the trunk
        embedded = model.text_embeddings(batch.tokens, batch.slots)[0]
        self._prompt_vectors = embedded[prompt]
        self._separator_vectors = embedded[slots == Slot.SEPARATOR]
        self._branch_vectors = embedded[branch]
        self._size = self._prompt + self.band.frames * self._unit + self._branch
        step = self._unit + self._branch
        reads = int(batch.readout[0]) - int(branch.nonzero()[0]) if self._branch else -1
        one = self._batch([1] * self.streams)
        self._one = replace(
            one,
            tokens=torch.zeros(self.streams, step, dtype=torch.int64, device=self.device),
            readout=torch.full((self.streams,), self._unit + reads, device=self.device),
        )
        self._inner = torch.ones(1, step, step, dtype=torch.bool, device=self.device).tril()  # of one another
        self._full: dict[int, Tensor] = {}
        self._age = torch.arange(self.band.frames, device=self.device)

    def restart(self, streams: Sequence[int] | None = None) -> None:
        if streams is None or len(set(streams)) == self.streams:
            self._now = -1  # the frame that is there, on the common clock
            self._began = np.zeros(self.streams, dtype=np.int64)  # each recording's first frame on it
            self._near = np.full(self.streams, -1, dtype=np.int64)  # where on it the prompt stands before
            self._latest = []
        rows = list(range(self.streams) if streams is None else streams)
        self.seen[rows] = 0
        self._begin(np.asarray(rows))

    def _answer(self, frames: Tensor) -> Tensor:
        if self._position(self._now + 1) + self._unit + self._branch > self.model.transformer.positions:
            self._start_over()
        self._latest = [*self._latest[-self.band.frames + 1 :], frames]
        return self._step(frames)

    def _start_over(self) -> None:
        """Reads the latest frames again from position 0: the model knows no position beyond the last one."""
        seen, latest = self.seen, self._latest
        kept = np.minimum(seen - 1, len(latest))
        self.restart()
        for number, frames in enumerate(latest):
            self._begin(np.flatnonzero(kept == len(latest) - number))
            self._step(frames)
        self._begin(np.flatnonzero(kept == 0))
        self.seen, self._latest = seen, latest

    def _begin(self, rows: np.ndarray) -> None:
        """Lets some recordings begin at the next frame of the common clock."""
        self._began[rows], self._near[rows] = self._now + 1, -1

    def _position(self, frame: int) -> int:
        """Position of the first token of a frame on the common clock."""
        return self._prompt + frame * self._unit

    def _step(self, frames: Tensor) -> Tensor:
        self._now += 1
        self._bring_prompts_near()
        first = self._position(self._now) - self._separator
        step = self._unit + self._branch
        vectors = torch.cat(
            [
                self._separator_vectors.expand(self.streams, -1, -1),
                frames.to(self._prompt_vectors.dtype),
                self._branch_vectors.expand(self.streams, -1, -1),
            ],
            dim=1,
        )
        positions = torch.arange(first, first + step, device=self.device).expand(self.streams, -1)
        place = self._prompt + (self._now % self.band.frames) * self._unit
        places = torch.cat([
            torch.arange(place, place + self._unit, device=self.device),
            torch.arange(self._size - self._branch, self._size, device=self.device),
        ])  # fmt: skip
        self._ring.at(places)
        states = self._forward(vectors, self._mask(places), positions, self._ring)
        return self.model.head.predict(states, self._one, LanguageModel(self.model, self._one))

    def _mask(self, places: Tensor) -> Tensor:
        """What the tokens of a step see of the cache, (streams, 1, n, size) bool.

        Once every recording fills the band, that depends on the place in the ring alone.
        """
        shown = np.minimum(self._now + 1 - self._began, self.band.frames)
        place = self._now % self.band.frames
        if shown.min() < self.band.frames:
            return self._seen(torch.as_tensor(shown, device=self.device), places)
        if place not in self._full:
            self._full[place] = self._seen(torch.as_tensor(shown, device=self.device), places)
        return self._full[place]

    def _seen(self, shown: Tensor, places: Tensor) -> Tensor:
        """The mask where each recording has `shown` (streams,) frames in the ring."""
        age = (self._now - self._age) % self.band.frames  # of the frame at each place of the ring
        frames = age < shown[:, None]  # (streams, W)
        separators = age < shown[:, None] - 1  # the first frame that is seen has none before it
        parts = [separators[..., None].expand(-1, -1, self._separator), frames[..., None].expand(-1, -1, self.tokens)]
        band = torch.cat(parts, dim=2).flatten(1)
        prompt = band.new_ones(self.streams, self._prompt)
        seen = torch.cat([prompt, band, band.new_zeros(self.streams, self._branch)], dim=1)
        mask = seen[:, None].repeat(1, len(places), 1)
        own = self._inner.repeat(self.streams, 1, 1)
        own[shown == 1, :, : self._separator] = False
        own[shown == 1, : self._separator, :1] = True  # no row may be empty; nobody sees these
        mask[:, :, places] = own
        return mask[:, None]

    def _bring_prompts_near(self) -> None:
        """Reads the prompt of those recordings that have moved on by a step."""
        leaps = [self.band.leap(int(frame)) for frame in self._now - self._began]
        near = self._began + np.array(leaps)
        rows = np.flatnonzero(near != self._near)
        if not len(rows):
            return
        self._near[rows] = near[rows]
        index = torch.arange(self._prompt, device=self.device)
        shift = torch.as_tensor(near[rows] * self._unit, device=self.device)
        mask = torch.zeros(self._prompt, self._size, dtype=torch.bool, device=self.device)
        mask[:, : self._prompt] = index[:, None] >= index
        self._ring.at(index, rows=None if len(rows) == self.streams else torch.as_tensor(rows, device=self.device))
        vectors = self._prompt_vectors.expand(len(rows), -1, -1)
        self.model.transformer(vectors, mask.expand(len(rows), 1, -1, -1), shift[:, None] + index, self._ring)


class _Nothing:
    """Features that are not needed: the stream has them already."""

    width, fps = 1, 1.0

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.lengths: Mapping[str, int] = {}

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """Zeros (T, K, 1)."""
        return np.zeros((len(frames), self.tokens, 1), dtype=np.float32)
