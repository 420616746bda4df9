"""The kitchen: synthetic recordings of cooking, made by a generator, for demos and tests."""

from __future__ import annotations

from typing import ClassVar

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from gad_core.plugin import ClipOrStreamOptions, Corpus, Dataset, hookimpl


class Kitchen(ClipOrStreamOptions, Dataset):
    """Synthetic data: somebody makes tea, soup or a sandwich, step by step. Its scores say that the software works and
    nothing about videos.

    Labels are verb-noun pairs that share words ("cut tomato", "wash tomato"); steps follow the order of a recipe, with
    variations; a frame shows mostly the verb or mostly the noun under noise, so that one frame does not tell.
    """

    name: ClassVar[str] = "kitchen"

    seed: NonNegativeInt = Field(0, description="of the generator; other data for another number")
    train: PositiveInt = Field(60, description="recordings to train on")
    test: PositiveInt = Field(30, description="recordings to score")
    fps: PositiveFloat = Field(4.0, description="frames a second")
    width: int = Field(32, ge=4, description="values a frame token")
    tokens: PositiveInt = Field(1, description="tokens a frame")
    noise: NonNegativeFloat = Field(1.5, description="standard deviation of the noise; that of a prototype is 1")
    long: NonNegativeInt = Field(48, description="stream: older frames a window shows")
    short: PositiveInt = Field(16, description="stream: recent frames of a window, where `past` actions stand")

    def relations(self) -> frozenset[str]:
        return frozenset({"current", "previous", "next", "past", "goal"})

    def open(self) -> Corpus:
        from gad_kitchen.recordings import open_kitchen

        return open_kitchen(self)


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [Kitchen]
