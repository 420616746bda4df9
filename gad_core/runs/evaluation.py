"""Predictions of a model on samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from gad_core.contracts.values import Predictions, Sample, Stage
from gad_core.model.action_model import ActionModel
from gad_core.model.streaming import cacheable, open_stream
from gad_core.runs.batching import evaluation_batches
from gad_core.runs.feeding import Feed


@dataclass(frozen=True)
class Evaluation:
    """Predictions with the time they took; one query is one answer."""

    predictions: Predictions
    seconds: float

    @property
    def answers_per_second(self) -> float:
        """Queries answered a second, reading and assembling included."""
        return len(self.predictions) / max(self.seconds, 1e-9)


def predict_samples(
    model: ActionModel,
    samples: Sequence[Sample],
    feed: Feed,
    *,
    accelerator: Accelerator | None = None,
    batch: int,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """The answers to every query of some samples, in their order.

    The processes of an `accelerator` share the work, and all have all answers; without one this process does it all.
    """
    assembler = model.assembler
    lengths = [assembler.length(sample, feed.tokens) for sample in samples]
    plan = evaluation_batches(lengths, batch)
    if accelerator:
        plan = plan[accelerator.process_index :: accelerator.num_processes]
    training = model.training
    model.eval()
    start = time.perf_counter()
    with model.transformer.merged():
        autocast = accelerator.autocast if accelerator else nullcontext
        found = list(_answers(model, plan, samples, feed, autocast, workers, progress))
    gathered = dict(gather_object(found)) if accelerator and accelerator.num_processes > 1 else dict(found)
    seconds = time.perf_counter() - start
    model.train(training)
    return Evaluation(_table(model, samples, gathered), seconds)


def _answers(
    model: ActionModel,
    plan: Sequence[Sequence[int]],
    samples: Sequence[Sample],
    feed: Feed,
    autocast: Callable[[], AbstractContextManager[object]],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, np.ndarray]]:
    """The samples of a plan with the scores (queries, C) of each."""
    if all(sample.band and len(sample.queries) == len(sample.clip) for sample in samples) and cacheable(model):
        for number, indices in enumerate(plan):
            with autocast():
                yield from zip(indices, _in_step(model, [samples[index] for index in indices], feed), strict=True)
            if progress:
                progress(number + 1, len(plan))
        return
    batches = feed.batches(plan, samples, model.assembler, Stage.PREDICT, workers)
    for number, (indices, made) in enumerate(zip(plan, batches, strict=True)):
        with autocast():
            scores = model.predict(made).float().cpu().numpy()
        counts = [len(samples[index].queries) for index in indices]
        yield from zip(indices, np.split(scores, np.cumsum(counts)[:-1]), strict=True)
        if progress:
            progress(number + 1, len(plan))


def _in_step(model: ActionModel, samples: Sequence[Sample], feed: Feed) -> list[np.ndarray]:
    """The scores (frames, C) at every frame of whole recordings, which go through a cached stream side by side.

    The same as a banded forward pass over each of them, without its memory, which grows with the square of the length.
    """
    band, lengths = samples[0].band, [len(sample.clip) for sample in samples]
    assert band is not None
    clips = [feed.clip(sample.clip.recording, sample.clip.frames) for sample in samples]
    stream = open_stream(model, "cached", band, tokens=feed.tokens, streams=len(samples), asks=samples[0].asks)
    scores = []
    for frame in range(max(lengths)):  # one that has ended shows its last frame again, and is not listened to
        shown = torch.stack([clip[min(frame, len(clip) - 1)] for clip in clips])
        scores.append(stream.push(shown).cpu().numpy())
    return [np.stack([found[row] for found in scores[:length]]) for row, length in enumerate(lengths)]


def _table(model: ActionModel, samples: Sequence[Sample], scores: dict[int, np.ndarray]) -> Predictions:
    """One row a query, in sample order."""
    spaces = model.assembler.spaces
    widest = max(len(spaces[sample.asks]) for sample in samples)
    queries = [(index, sample, query) for index, sample in enumerate(samples) for query in sample.queries]
    table = np.full((len(queries), widest), -np.inf, dtype=np.float32)
    row = 0
    for index in range(len(samples)):
        part = scores[index]
        table[row : row + len(part), : part.shape[1]] = part[:, :widest]
        row += len(part)
    truths = [query.first(sample.asks) for _, sample, query in queries]
    return Predictions(
        uids=tuple(sample.uid for _, sample, _ in queries),
        recordings=tuple(sample.clip.recording for _, sample, _ in queries),
        asks=tuple(sample.asks for _, sample, _ in queries),
        frames=np.array([sample.clip.frames[query.at - 1] for _, sample, query in queries], dtype=np.int64),
        truth=np.array([-1 if truth is None else truth.index for truth in truths], dtype=np.int64),
        scores=table,
    )
