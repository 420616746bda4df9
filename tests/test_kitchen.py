"""The kitchen is deterministic, has the shapes it promises, and can be learnt, but not from one frame."""

from __future__ import annotations

import numpy as np
import pytest
from gad_kitchen.plugin import Kitchen
from gad_kitchen.recipes import ACTIONS, GOALS, RECIPES, cooked
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from gad_core.contracts.components import Corpus
from gad_core.errors import DataError, FeatureError


def table(corpus: Corpus, split: str, ask: str, *, last: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The mean frame (or the last one) of every clip, and its class."""
    samples = [sample for sample in corpus.samples(split) if sample.asks == ask]
    clips = [corpus.features.read(sample.clip.recording, sample.clip.frames) for sample in samples]
    frames = np.array([clip[-1].ravel() if last else clip.mean(axis=0).ravel() for clip in clips])
    return frames, np.array([sample.queries[0].relations[ask][0].index for sample in samples])


def accuracy(corpus: Corpus, ask: str, *, last: bool = False) -> float:
    probe = LogisticRegression(max_iter=1000).fit(*table(corpus, "train", ask, last=last))
    return float(probe.score(*table(corpus, "test", ask, last=last)))


def test_labels_share_words() -> None:
    words = [word for action in ACTIONS for word in action.split()]
    assert len(ACTIONS) >= 20
    assert all(len(action.split()) == 2 for action in ACTIONS)
    assert len(set(words)) < 0.6 * len(words)
    assert sum(action.endswith(" tomato") for action in ACTIONS) == 3


def test_equal_options_make_equal_data_and_other_seeds_other_data() -> None:
    one, two, other = (Kitchen(train=3, test=2, seed=seed).open() for seed in (0, 0, 1))
    assert one.samples("train") == two.samples("train")
    assert np.array_equal(one.features.read("train-000", range(9)), two.features.read("train-000", range(9)))
    assert one.samples("train") != other.samples("train")


def test_more_recordings_do_not_change_the_first() -> None:
    few, many = Kitchen(train=2, test=1).open(), Kitchen(train=5, test=3).open()
    assert np.array_equal(few.features.read("test-000", range(9)), many.features.read("test-000", range(9)))


def test_it_says_that_it_is_synthetic() -> None:
    assert Kitchen().open().synthetic
    assert "Synthetic" in (Kitchen.__doc__ or "")


@pytest.mark.parametrize(("tokens", "width"), [(1, 32), (3, 8)])
def test_features_have_the_promised_shape(tokens: int, width: int) -> None:
    features = Kitchen(train=2, test=1, tokens=tokens, width=width).open().features
    found = features.read("train-001", np.array([3, 1]))
    assert found.shape == (2, tokens, width)
    assert found.dtype == np.float32
    with pytest.raises(FeatureError):
        features.read("train-009", range(2))
    with pytest.raises(FeatureError):
        features.read("train-001", range(features.lengths["train-001"] + 1))
    with pytest.raises(FeatureError):
        features.read("train-001", np.array([-1]))


def test_recordings_are_as_long_as_documented() -> None:
    lengths = list(Kitchen().open().features.lengths.values())
    assert len(lengths) == 90
    assert 100 <= np.mean(lengths) <= 150


def test_recipes_vary_but_keep_an_order() -> None:
    draw = np.random.default_rng(0)
    for goal in GOALS:
        found = [tuple(cooked(goal, draw)) for _ in range(50)]
        assert len(set(found)) > 5
        assert all(len(steps) >= 2 and set(steps) <= set(RECIPES[goal]) for steps in found)


def test_clips_can_be_learnt_but_not_from_one_frame() -> None:
    corpus = Kitchen(asks=["current", "next", "goal"]).open()
    current, single, following = (
        accuracy(corpus, "current"),
        accuracy(corpus, "current", last=True),
        accuracy(corpus, "next"),
    )
    assert 0.70 < current < 0.97
    assert single < current - 0.3
    assert following > 3 / len(ACTIONS)


def test_a_stream_has_every_frame_and_all_relations() -> None:
    corpus = Kitchen(mode="stream", train=2, test=2).open()
    samples = list(corpus.samples("test"))
    assert len(samples) == sum(length for name, length in corpus.features.lengths.items() if name.startswith("test"))
    assert {relation for sample in samples for relation in sample.queries[0].relations} == Kitchen().relations()
    background = corpus.spaces["current"].background
    idle = np.mean([sample.queries[0].relations["current"][0].index == background for sample in samples])
    assert 0.1 < idle < 0.5
    assert corpus.spaces["current"].labels[0] == "background"


def test_other_questions_of_a_stream_and_unknown_splits_are_refused() -> None:
    with pytest.raises(ValidationError, match="a stream asks"):
        Kitchen(mode="stream", asks=["goal"])
    with pytest.raises(DataError, match="no split 'validation'"):
        Kitchen(train=2, test=1).open().samples("validation")
