"""From samples to batches on the device: frames are read as batches need them, or lie on the device from the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gad_core.contracts.batch import Batch
from gad_core.contracts.components import Features
from gad_core.contracts.values import Sample, Stage
from gad_core.data.features.memory import ArrayFeatures
from gad_core.errors import FeatureError
from gad_core.model.sequence import Assembler
from gad_core.model.streaming import all_finite

ROOM = 0.25
"""Share of a GPU's free memory that features may take by themselves; the rest is for training."""
AT_ONCE = 4096
"""Frames read at once when recordings move to the device."""


class Feed:
    """The features of a run, on their way to a device.

    With a `table` (tokens of all recordings, D) on the device, `source` gives the rows of frame tokens in it instead of
    their values: a batch is assembled from either, and no value of a resident feature passes the host again.
    """

    def __init__(self, features: Features, device: torch.device, table: Tensor | None = None) -> None:
        self.source, self.device, self.table = features, device, table

    @property
    def tokens(self) -> int:
        """Tokens a frame."""
        return self.source.tokens

    def batches(
        self, plan: Sequence[Sequence[int]], samples: Sequence[Sample], assembler: Assembler, stage: Stage, workers: int
    ) -> Iterator[Batch]:
        """The batches of a plan of sample numbers, in its order, on the device; `workers` processes assemble them (0:
        this one). Raises `FeatureError` for NaN and infinite features."""
        assembled = _Assembled(plan, samples, self.source, assembler, stage).stream(workers)
        for numbers, batch in zip(plan, assembled, strict=True):
            delivered = self.deliver(batch)
            if not all_finite(delivered.features):
                recordings = sorted({samples[number].clip.recording for number in numbers})
                raise FeatureError(
                    f"NaN or infinite features in one of the recordings {', '.join(recordings)}",
                    hint="`gad features verify` finds the frames; repair or leave out the recordings",
                )
            yield delivered

    def deliver(self, batch: Batch) -> Batch:
        """A batch assembled from `source`, with the values of its frame tokens, on the device."""
        batch = batch.to(self.device)
        return batch if self.table is None else replace(batch, features=self.table[batch.features[:, 0]])

    def clip(self, recording: str, frames: range | np.ndarray) -> Tensor:
        """Some frames of a recording, (T, K, D) on the device."""
        read = torch.from_numpy(np.array(self.source.read(recording, frames))).to(self.device)
        return read if self.table is None else self.table[read[..., 0]]


def make_feed(features: Features, device: torch.device, resident: bool | Literal["auto"] = False) -> Feed:
    """Where batches get their frames; `auto` keeps all recordings on a GPU that has four times their room."""
    if resident == "auto":
        resident = device.type == "cuda" and table_bytes(features) <= ROOM * torch.cuda.mem_get_info(device)[0]
    return _resident(features, device) if resident else Feed(features, device)


def table_bytes(features: Features) -> int:
    """What all recordings take as they are stored."""
    frames = sum(features.lengths.values())
    return frames * features.tokens * features.width * _stored(features).dtype.itemsize


def _stored(features: Features) -> np.ndarray:
    """A frame of the first recording: all are stored in its type."""
    first = next(iter(features.lengths))
    return features.read(first, range(min(1, features.lengths[first])))


def _resident(features: Features, device: torch.device) -> Feed:
    """A feed whose table holds every recording, as it is stored."""
    rows = sum(features.lengths.values()) * features.tokens
    stored = torch.from_numpy(np.array(_stored(features))).dtype
    table, numbers, first = torch.empty(rows, features.width, dtype=stored, device=device), {}, 0
    for recording, length in features.lengths.items():
        numbers[recording] = first + np.arange(length * features.tokens).reshape(length, features.tokens, 1)
        for start in range(0, length, AT_ONCE):
            frames = features.read(recording, range(start, min(length, start + AT_ONCE)))
            read = torch.from_numpy(np.array(frames)).flatten(0, 1)
            table[first : first + len(read)] = read
            first += len(read)
    return Feed(ArrayFeatures(numbers, features.fps), device, table)


class _Assembled(torch.utils.data.Dataset[Batch]):
    """Assembled batches by number; what worker processes run."""

    def __init__(
        self,
        plan: Sequence[Sequence[int]],
        samples: Sequence[Sample],
        source: Features,
        assembler: Assembler,
        stage: Stage,
    ) -> None:
        self.plan, self.samples, self.source = plan, samples, source
        self.assembler, self.stage = assembler, stage

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        return self.assembler([self.samples[number] for number in self.plan[index]], self.source, self.stage)

    def stream(self, workers: int) -> Iterator[Batch]:
        """The batches in order, made by `workers` processes (0: this one)."""
        if workers == 0:
            return (self[index] for index in range(len(self)))
        return iter(
            torch.utils.data.DataLoader(
                self, batch_size=None, num_workers=workers, prefetch_factor=4, pin_memory=torch.cuda.is_available()
            )
        )
