"""What is wrong with a store, and whether it holds what a dataset names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gad_core.contracts.components import Corpus
from gad_core.data.features.store import FeatureStore
from gad_core.errors import FeatureError


@dataclass(frozen=True)
class Fault:
    """A recording and what is wrong with it."""

    recording: str
    message: str


def faults(store: FeatureStore, report: Callable[[int, int, str], None] = lambda *_: None) -> list[Fault]:
    """Damaged recordings and those with NaN or infinite values, all of them."""
    found = []
    for number, recording in enumerate(store.lengths, start=1):
        try:
            if not store.intact(recording):
                found.append(Fault(recording, "its bytes are not those that were written (checksum)"))
            finite = np.isfinite(store.array(recording)).all(axis=(1, 2))
            if not finite.all():
                message = f"NaN or infinite in {int((~finite).sum())} frames, the first at {int(finite.argmin())}"
                found.append(Fault(recording, message))
        except FeatureError as error:
            found.append(Fault(recording, error.message))
        report(number, len(store.lengths), recording)
    return found


@dataclass(frozen=True)
class Coverage:
    """How the recordings that a dataset uses lie in its features."""

    named: int
    missing: tuple[str, ...]
    surplus: tuple[str, ...]

    @property
    def used(self) -> int:
        """Named recordings that are there."""
        return self.named - len(self.missing)


def coverage(corpus: Corpus) -> Coverage:
    """Which recordings the samples of every split name, against those the features hold."""
    named = dict.fromkeys(sample.clip.recording for split in corpus.splits for sample in corpus.samples(split))
    held = corpus.features.lengths
    return Coverage(
        named=len(named),
        missing=tuple(name for name in named if name not in held),
        surplus=tuple(name for name in held if name not in named),
    )
