"""A dataset in memory: labels that can be learnt from a few frames, with every relation the built-in tasks need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from gad_core.contracts.components import Corpus, Dataset
from gad_core.contracts.values import Clip, LabelRef, LabelSpace, Predictions, Prompt, Query, Sample
from gad_core.data.features import ArrayFeatures
from gad_core.errors import DataError

VERBS, NOUNS = ("cut", "wash", "take"), ("tomato", "onion", "sharp knife")
ACTIONS = LabelSpace("action", ("background", *(f"{verb} {noun}" for verb in VERBS for noun in NOUNS)), background=0)
GOALS = LabelSpace("goal", ("make salad", "make soup"))


class MemoryCorpus(Corpus):
    """Clips of noisy prototypes; the label of a query is that of its last frame."""

    def __init__(self, options: Memory) -> None:
        self.options = options
        self.spaces = {"current": ACTIONS, "previous": ACTIONS, "next": ACTIONS, "past": ACTIONS, "goal": GOALS}
        question = "What is the {} action?\n"
        self.prompts = {
            asked: Prompt(question.format(asked), close_background=False) for asked in sorted(options.asked)
        }
        self.protocol, self.splits, self.headline = "clips", ("train", "test"), "top1"
        draw = np.random.default_rng(options.seed)
        prototypes = draw.normal(size=(len(ACTIONS), options.tokens, options.width)).astype(np.float32)
        self.frame_labels = {
            f"{split}-{number}": draw.integers(0, len(ACTIONS), size=6).repeat(3)
            for split, count in (("train", options.train), ("test", options.test))
            for number in range(count)
        }
        self.features = ArrayFeatures(
            {
                name: prototypes[labels]
                + 0.1 * draw.normal(size=(len(labels), options.tokens, options.width)).astype("f4")
                for name, labels in self.frame_labels.items()
            },
            fps=1.0,
        )

    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        if split not in self.splits:
            raise DataError(f"no split {split!r}", hint=f"the splits are {', '.join(self.splits)}")
        return [
            self._sample(name, start, asked)
            for asked in sorted(self.options.asked)
            for name in self.frame_labels
            if name.startswith(split)
            for start in range(0, 18 - 5, 4)
        ]

    def _sample(self, name: str, start: int, asked: str) -> Sample:
        labels = self.frame_labels[name]
        ats = (3, 6) if self.options.dense else (6,)
        queries = []
        for at in ats:
            current = int(labels[start + at - 1])
            before = [int(label) for label in labels[: start + at] if label not in (0, current)]
            after = [int(label) for label in labels[start + at :] if label not in (0, current)] or [current]
            relations: dict[str, tuple[LabelRef, ...]] = {
                "current": (LabelRef("action", current),),
                "next": (LabelRef("action", after[0]),),
                "goal": (LabelRef("goal", int(labels[0]) % 2),),
            }
            if before:
                past = tuple(LabelRef("action", label) for label in dict.fromkeys(before[::-1]))
                relations |= {"previous": past[:1], "past": past}
            queries.append(Query(at, relations, weight=0.5 if current == 0 else 1.0))
        return Sample(f"{name}/{start}/{asked}", Clip(name, range(start, start + 6)), asked, tuple(queries))

    def score(self, predictions: Predictions) -> dict[str, float]:
        return {"top1": 100.0 * float((predictions.predicted == predictions.truth).mean())}


class Memory(Dataset):
    """Random prototypes in memory: for the tests of other components. Synthetic; its scores mean nothing."""

    name: ClassVar[str] = "memory"
    asked: tuple[Literal["current", "next", "goal"], ...] = Field(
        ("current",), alias="asks", min_length=1, description="what is to be predicted"
    )
    dense: bool = Field(False, description="two queries a clip instead of one")
    seed: int = Field(0, description="of the prototypes and the recordings")
    train: PositiveInt = Field(6, description="recordings to train on")
    test: PositiveInt = Field(3, description="recordings to score")
    width: PositiveInt = Field(8, description="values a frame token")
    tokens: PositiveInt = Field(1, description="tokens a frame")

    def asks(self) -> frozenset[str]:
        return frozenset(self.asked)

    def relations(self) -> frozenset[str]:
        return frozenset({"current", "previous", "next", "past", "goal"})

    def open(self) -> MemoryCorpus:
        return MemoryCorpus(self)
