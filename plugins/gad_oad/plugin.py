"""Online action detection: features, `data_info.json` and one array of targets a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, field_validator, model_validator

from gad_core.plugin import (
    STREAM_QUESTION,
    ConcatenatedFeatures,
    Corpus,
    Dataset,
    FeatureStore,
    InputPath,
    WindowOptions,
    hookimpl,
)
from gad_oad.presets import PRESETS, Preset


class OnlineActionDetection(WindowOptions, Dataset):
    """Online action detection in the layout of the field: `data_info.json` names classes and recordings,
    `target_perframe/<recording>.npy` says what every frame shows, one- or multi-hot; features are one or several
    feature stores, side by side. A `preset` sets what a benchmark has fixed. See docs/oad.md.
    """

    name: ClassVar[str] = "oad"

    preset: Preset | None = Field(None, description="benchmark whose values are taken where none are given here")
    features: tuple[InputPath, ...] = Field(min_length=1, description="feature store, or several to concatenate")
    data_info: InputPath = Field(description="data_info.json: class_names, session sets, fps")
    targets: InputPath = Field(description="folder of <recording>.npy, [frames, classes] or class indices [frames]")
    section: str | None = Field(None, description="entry of data_info.json, where it describes several datasets")
    splits: dict[str, str] = Field(
        {"train": "train_session_set", "test": "test_session_set"}, description="list of data_info.json for each split"
    )
    fps: PositiveFloat | None = Field(None, description="frames a second; those of data_info.json if null")
    background: str = Field("background", min_length=1, description="class that means no action; case does not matter")
    ignored: tuple[str, ...] = Field((), description="classes whose frames are left out of the scores")
    discarded: tuple[str, ...] = Field((), description="recordings of the session sets that are not used")
    missing: Literal["error", "skip"] = Field("error", description="recordings without features or targets")
    tolerance: NonNegativeInt = Field(
        0, description="frames by which features and targets may differ in length; the longer is cut"
    )
    variant: Literal["corrected", "reference"] = Field(
        "corrected", description="reference: windows, order of `past` and metrics as in the paper's code"
    )
    smoothed: bool = Field(False, description="five-frame maximum over the scores before mAP and cAP (THUMOS'14)")
    question: str = Field(STREAM_QUESTION, min_length=1, description="what is asked")

    @model_validator(mode="before")
    @classmethod
    def _as_the_benchmark(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        preset = given.get("preset")
        values = PRESETS[preset] if isinstance(preset, str) and preset in PRESETS else {}
        # Behind a validator like this one pydantic no longer takes a list of JSON for a tuple.
        listed = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        return {**values, **listed}

    @field_validator("features", mode="before")
    @classmethod
    def _one_is_enough(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str | Path) else given

    @field_validator("splits")
    @classmethod
    def _train_and_test(cls, splits: dict[str, str]) -> dict[str, str]:
        if not {"train", "test"} <= splits.keys():
            raise ValueError("`splits` names a list for train and one for test")
        return splits

    def asks(self) -> frozenset[str]:
        return frozenset({"current"})

    def relations(self) -> frozenset[str]:
        return frozenset({"current", "previous", "next", "past"})

    def files(self) -> Mapping[Path, str]:
        return {
            **dict.fromkeys(self.features, "feature store, a recording for every name of the session sets"),
            self.data_info: f"class_names, {', '.join(self.splits.values())}, fps",
            self.targets: "folder of <recording>.npy: [frames, classes] of 0 and 1, or class indices [frames]",
        }

    def open(self) -> Corpus:
        from gad_oad.corpus import make_corpus

        stores = [FeatureStore(path) for path in self.features]
        return make_corpus(self, stores[0] if len(stores) == 1 else ConcatenatedFeatures(stores))


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [OnlineActionDetection]
