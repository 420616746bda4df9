"""What `gad bench` measures: offline evaluation, streams, training and reading, beside the naive scheme in the same
rounds."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import numpy as np
import torch

from gad_core.bench import naive
from gad_core.bench.measure import Step, Timing, in_turns
from gad_core.bench.workload import Workload, with_windows
from gad_core.contracts.components import Corpus, Features
from gad_core.contracts.values import Band, Sample, Slot, Stage
from gad_core.data.corpora import StreamCorpus
from gad_core.data.features import FeatureStore
from gad_core.errors import FeatureError
from gad_core.model.action_model import ActionModel
from gad_core.model.streaming import Mode, open_stream
from gad_core.runs.feeding import make_feed

BATCHES = {"window": 8, "dense": 4, "clips": 4, "training": 16, "dense training": 4, "clips training": 4}
"""Samples a step on a CPU; a GPU takes `ON_GPU` times as many."""
ON_GPU = 8
STREAMS = {"cpu": 16, "cuda": 64}
"""Recordings in step, where many are measured, by the kind of machine."""
THINNED = 8
"""Frames between two texts, where texts are thinned out."""
READ_AT_ONCE = 256
KINDS = ("evaluation", "stream", "training")


@dataclass(frozen=True)
class Row:
    """One line of the table; `p50_ms` and the like are of a step: a batch, or a frame of all streams."""

    workload: str
    head: str
    protocol: str
    implementation: str
    rate: float
    unit: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    peak_memory_mb: float
    ratio_to_naive: float | None
    fraction_of_matmul: float | None

    def as_dict(self) -> dict[str, str | float | None]:
        """The row as `--json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """One implementation of what is measured."""

    implementation: str
    protocol: str
    step: Step


@dataclass(frozen=True)
class Bench:
    """Where it is measured and how long, `seconds` for each row; `matmul` operations a second are the machine's.

    With `compile` ours runs compiled: the language model for batches, the step of a `cached` stream.
    """

    device: torch.device
    seconds: float
    matmul: float
    compile: bool = False

    def rows(self, workload: Workload, head: str, kind: str) -> Iterator[Row]:
        """The rows of one head and one of `KINDS`; none where a workload of clips is asked for streams."""
        model = workload.model(head).to(self.device).eval()
        if kind == "evaluation":
            yield from self._prediction(workload, head, model, self._evaluations, "answers/s")
        elif kind == "stream" and isinstance(workload.corpus, StreamCorpus):
            yield from self._prediction(workload, head, model, self._streams, "frames/s")
        elif kind == "training":
            model.train()
            cases = list(self._trainings(model, workload.training or workload.corpus))
            yield from self._measured(workload.name, head, cases, "labels/s")

    def _prediction(
        self,
        workload: Workload,
        head: str,
        model: ActionModel,
        cases: Callable[[ActionModel, Corpus], Iterator[Case]],
        unit: str,
    ) -> Iterator[Row]:
        """Ours on a copy of the model with merged adapters, the naive scheme on the model as it was trained."""
        memory = naive.InMemory(workload.corpus.features)
        official = self._naive(model, _again(workload.corpus.samples("test")), memory)
        fast = copy.deepcopy(model)
        with ExitStack() as stack, torch.no_grad():
            stack.enter_context(fast.transformer.merged())
            found = [Case("naive", workload.corpus.protocol, official), *cases(fast, workload.corpus)]
            yield from self._measured(workload.name, head, found, unit)

    def _naive(self, model: ActionModel, samples: Iterator[Sample], features: Features) -> Step:
        def step() -> int:
            return sum(1 for _ in naive.answers(model, [next(samples)], features, self.device))

        return step

    def _evaluations(self, model: ActionModel, corpus: Corpus) -> Iterator[Case]:
        if self.compile:
            model.transformer.compile(dynamic=True)
        yield Case("gad", corpus.protocol, self._answers(model, corpus))
        if isinstance(corpus, StreamCorpus) and corpus.protocol != "dense":
            yield Case("gad", "dense", self._answers(model, with_windows(corpus, protocol="dense")))

    def _answers(self, model: ActionModel, corpus: Corpus) -> Step:
        samples, size = _again(corpus.samples("test")), self._batch(corpus.protocol)
        feed = make_feed(corpus.features, self.device, resident="auto")

        def step() -> int:
            chosen = list(itertools.islice(samples, size))
            return len(model.predict(feed.deliver(model.assembler(chosen, feed.source, Stage.PREDICT))))

        return step

    def _streams(self, model: ActionModel, corpus: Corpus) -> Iterator[Case]:
        assert isinstance(corpus, StreamCorpus)
        band = Band(corpus.windows.long + corpus.windows.short, corpus.windows.short)
        writes = any(Slot.CUE in branch for branch in model.assembler.layouts[Stage.PREDICT])
        kinds: tuple[tuple[Mode, int], ...] = (("window", 1), ("cached", 1), ("cached", STREAMS[self.device.type]))
        for mode, count in kinds[: 1 if writes else None]:
            compiles = self.compile and mode == "cached"
            stream = open_stream(model, mode, band, tokens=corpus.features.tokens, streams=count, compile=compiles)
            step = _pushes(stream.push, naive.InMemory(corpus.features), count, warm=band.frames)
            yield Case("gad", f"{mode} stream × {count}", step)

    def _trainings(self, model: ActionModel, corpus: Corpus) -> Iterator[Case]:
        """A label a window as the paper trains, labels at all recent frames, and those with the text thinned out."""
        memory = naive.InMemory(corpus.features)
        feed = make_feed(corpus.features, self.device, resident="auto")
        fast = model
        if self.compile:
            fast = copy.deepcopy(model)
            fast.transformer.compile(dynamic=True)

        def ours(samples: list[Sample]) -> torch.Tensor:
            batch = feed.deliver(fast.assembler(samples, feed.source, Stage.TRAIN))
            return torch.stack(list(fast(batch).values())).sum()

        def official(samples: list[Sample]) -> torch.Tensor:
            return naive.loss(model, samples, memory, self.device)

        yield Case("naive", "training", self._trained(model, official, corpus, naive.trained_at_once(corpus)))
        size = self._batch("clips training" if corpus.protocol == "clips" else "training")
        yield Case("gad", "training", self._trained(fast, ours, corpus, size))
        if isinstance(corpus, StreamCorpus):
            size = self._batch("dense training")
            dense = with_windows(corpus, queries="dense")
            yield Case("gad", "dense training", self._trained(fast, ours, dense, size))
            if model.assembler.thins:
                thinned = with_windows(corpus, queries="dense", texts=THINNED)
                protocol = f"dense training, text at every {THINNED}th"
                yield Case("gad", protocol, self._trained(fast, ours, thinned, size))

    def _trained(
        self, model: ActionModel, loss: Callable[[list[Sample]], torch.Tensor], corpus: Corpus, size: int
    ) -> Step:
        """Forward and backward, without the optimizer's step."""
        samples = _again(corpus.samples("train"))
        parameters = [model.get_parameter(name) for name in model.trainable]

        def step() -> int:
            chosen = list(itertools.islice(samples, size))
            with torch.enable_grad():
                loss(chosen).backward()
            for parameter in parameters:
                parameter.grad = None
            return sum(len(sample.queries) for sample in chosen)

        return step

    def _measured(self, workload: str, head: str, cases: Sequence[Case], unit: str) -> Iterator[Row]:
        timings = in_turns([case.step for case in cases], self.seconds)
        reference = next(
            timing.rate for case, timing in zip(cases, timings, strict=True) if case.implementation == "naive"
        )
        for case, timing in zip(cases, timings, strict=True):
            yield self._row(workload, head, case, timing, unit, reference)

    def _row(self, workload: str, head: str, case: Case, timing: Timing, unit: str, reference: float) -> Row:
        return Row(
            workload=workload, head=head, protocol=case.protocol, implementation=case.implementation,
            rate=timing.rate, unit=unit,
            p50_ms=timing.percentile(50), p95_ms=timing.percentile(95), p99_ms=timing.percentile(99),
            peak_memory_mb=timing.memory_mb, ratio_to_naive=timing.rate / reference,
            fraction_of_matmul=timing.flops * timing.rate / self.matmul,
        )  # fmt: skip

    def _batch(self, kind: str) -> int:
        return BATCHES[kind] * (ON_GPU if self.device.type == "cuda" else 1)


def reading(store: FeatureStore, frames: int, seconds: float) -> Row:
    """Random windows of a store a second, copied out of the memory map; the milliseconds are of one window.

    Raises `FeatureError` when no recording is as long as a window.
    """
    draw = np.random.default_rng(0)
    names = [name for name, length in store.lengths.items() if length >= frames]
    if not names:
        longest = max(store.lengths.values(), default=0)
        message = f"has no recording of {frames} frames to read windows from: the longest has {longest}"
        raise FeatureError(message, where=str(store.path), hint="measure a store of longer recordings")

    def step() -> int:
        for _ in range(READ_AT_ONCE):
            name = names[int(draw.integers(len(names)))]
            first = int(draw.integers(store.lengths[name] - frames + 1))
            np.array(store.read(name, range(first, first + frames)))
        return READ_AT_ONCE

    (timing,) = in_turns([step], seconds)
    p50, p95, p99 = (timing.percentile(share) / READ_AT_ONCE for share in (50, 95, 99))
    shape = f"{frames} × {store.tokens} × {store.width} {store.dtype}"
    return Row(
        "reading", "–", shape, "gad", timing.rate, "windows/s", p50, p95, p99, timing.memory_mb, None, None
    )  # fmt: skip


def _again(samples: Sequence[Sample]) -> Iterator[Sample]:
    """The samples again and again, from where windows are full."""
    start = min(200, len(samples) // 4)
    return itertools.cycle(samples[index] for index in range(start, len(samples)))


def _pushes(push: Callable[[np.ndarray], object], features: Features, streams: int, *, warm: int) -> Step:
    """Pushes the next frame of every stream; windows are full before the first one counts."""
    recording, length = next(iter(features.lengths.items()))
    frames = itertools.cycle(features.read(recording, range(length)))

    def step() -> int:
        push(np.stack([next(frames)] * streams))
        return streams

    for _ in range(warm):
        step()
    return step
