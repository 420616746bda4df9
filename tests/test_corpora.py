"""What a corpus must have, and who says what selects a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gad_core.contracts.components import Corpus
from gad_core.contracts.values import LabelSpace, Predictions, Sample
from gad_core.data.corpora import ClipCorpus, Segment
from gad_core.data.features import ArrayFeatures


class Bare(Corpus):
    """Has its methods; `given` is what its constructor sets."""

    protocol, splits = "clips", ("train", "test")

    def __init__(self, **given: object) -> None:
        vars(self).update(given)

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        return []

    def score(self, predictions: Predictions) -> dict[str, float]:
        return {}


def test_a_corpus_that_lacks_something_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="Bare must set `spaces`, `prompts`, `features`, `headline`"):
        Bare()
    with pytest.raises(TypeError, match="must set `headline`"):
        Bare(spaces={}, prompts={}, features=None)
    assert Bare(spaces={}, prompts={}, features=None, headline="top1").protocol == "clips"


class ByClass(ClipCorpus):
    """Selects by another metric than `ClipCorpus` does."""

    headline = "mean_class_accuracy"


@pytest.mark.parametrize(("made", "headline"), [(ClipCorpus, "top1"), (ByClass, "mean_class_accuracy")])
def test_a_headline_of_the_class_holds(made: type[ClipCorpus], headline: str) -> None:
    segments = [Segment("a", range(0, 2), 0), Segment("a", range(2, 4), 1)]
    corpus = made(
        actions=LabelSpace("action", ("cut", "wash")),
        goals=None,
        features=ArrayFeatures({"a": np.zeros((4, 1, 2), np.float32)}, fps=1.0),
        segments={"train": segments, "test": segments},
    )
    assert corpus.headline == headline
