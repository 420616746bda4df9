"""COIN: step recognition, next-step forecasting and task recognition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from gad_core.plugin import Asks, Corpus, Dataset, FeatureStore, InputPath, hookimpl


class Coin(Dataset):
    """COIN as published: `COIN.json` and one feature store. Asks for the step (current), the next step (next) and the
    task (goal), jointly. See docs/coin.md.
    """

    name: ClassVar[str] = "coin"

    features: InputPath = Field(description="feature store; the paper's has 2 fps and 10 tokens a frame")
    annotations: InputPath = Field(description="COIN.json")
    asked: Asks = Field(("current", "next", "goal"), alias="asks", description="step, next step, task")
    separators: bool = Field(True, description="a comma between two frames")
    supervise_separators: bool = Field(True, description="also train to write what follows each frame")
    max_frames: PositiveInt | None = Field(1200, description="longer clips are sampled evenly; null never")
    variant: Literal["corrected", "reference"] = Field(
        "corrected",
        description="reference, as in the paper's code: of a place between two frames a long clip shows the earlier "
        "one, and free decoding compares what was written with its leading blank",
    )
    missing: Literal["error", "skip"] = Field("error", description="videos that the store lacks")

    def asks(self) -> frozenset[str]:
        return frozenset(self.asked)

    def relations(self) -> frozenset[str]:
        return frozenset({"current", "previous", "next", "past", "goal"})

    def files(self) -> Mapping[Path, str]:
        return {
            self.features: "feature store, a recording for every video, named by its id",
            self.annotations: 'COIN.json: {"database": {"<video>": {"class", "subset", "duration", "annotation"}}}',
        }

    def open(self) -> Corpus:
        from gad_coin.corpus import make_corpus

        return make_corpus(self, FeatureStore(self.features))


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [Coin]
