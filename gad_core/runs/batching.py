"""Which samples go into which update, as pure functions: every process and every resume sees the same plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gad_core.contracts.seeds import stable_seed

GROUPED = 32
"""Batches whose samples are sorted by length among themselves."""


def training_batches(lengths: Sequence[int], size: int, *, seed: int, epoch: int, group: bool) -> list[list[int]]:
    """Sample indices of every update of an epoch; each index once.

    With `group`, samples are shuffled, sorted by length within runs of `GROUPED` batches, and the batches shuffled.
    """
    draw = np.random.default_rng(stable_seed("batches", seed, epoch))
    order = draw.permutation(len(lengths))
    if group:
        length = np.asarray(lengths)
        runs = [order[first : first + GROUPED * size] for first in range(0, len(order), GROUPED * size)]
        order = np.concatenate([run[np.argsort(length[run], kind="stable")] for run in runs])
    batches = [order[first : first + size].tolist() for first in range(0, len(order), size)]
    if group:
        batches = [batches[index] for index in draw.permutation(len(batches))]
    return batches


def evaluation_batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Sample indices in batches of similar length, longest first, so that running out of memory shows at once."""
    order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    return [order[first : first + size] for first in range(0, len(order), size)]


def micro_batches(batch: Sequence[int], size: int) -> list[list[int]]:
    """The pieces of an update, `size` samples each but for the last one."""
    return [list(batch[first : first + size]) for first in range(0, len(batch), size)]


def micro_size(batch: int, micro: int | None, world: int) -> int:
    """Samples of a micro-batch: `micro`, or less where `batch` samples would not give every process one."""
    return min(micro or batch, -(-batch // world))
