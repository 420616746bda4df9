"""The user's own data: a feature store and one file that says what happens when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from gad_core.plugin import Ask, ClipOrStreamOptions, Corpus, Dataset, FeatureStore, InputPath, hookimpl


class Segments(ClipOrStreamOptions, Dataset):
    """Your own data: a feature store made by `gad features pack`, and one CSV or JSON file with a row for every
    action: recording, start, end, label, split and, if known, goal.

    As `clips` each row is a sample. As a `stream` the whole recording is: every frame is asked about, and what no row
    covers is background. See docs/own-data.md for columns, units and rounding.
    """

    name: ClassVar[str] = "segments"

    features: InputPath = Field(description="feature store")
    annotations: InputPath = Field(description="CSV, TSV or JSON file of segments")
    unit: Literal["seconds", "frames"] = Field("seconds", description="of start and end; in frames, end is exclusive")
    fps: PositiveFloat | None = Field(None, description="frames a second the store must have; not checked if null")
    labels: tuple[str, ...] | InputPath | None = Field(
        None,
        description="the classes in their order, as a list or a file (one a line, or a JSON list); "
        "null takes the labels of the file, sorted",
    )
    missing: Literal["error", "skip"] = Field("error", description="what to do about recordings the store lacks")
    standardize: bool = Field(False, description="scale features to zero mean and unit deviation over the train split")
    questions: dict[Ask, str] = Field(
        default_factory=dict, description="question texts, where the default should not do"
    )
    max_frames: PositiveInt | None = Field(
        None, description="clips: longer ones are thinned evenly to so many frames; null never"
    )
    background: str = Field("background", min_length=1, description="stream: label of frames without an action")
    overlap: Literal["error", "last"] = Field(
        "error", description="stream: two segments at one time are an error, or the one that starts last has the frames"
    )

    def relations(self) -> frozenset[str]:
        from gad_segments.annotations import has_goals

        goal = {"goal"} if "goal" in self.asked or has_goals(self.annotations) else set()
        return frozenset({"current", "previous", "next", "past"} | goal)

    def files(self) -> Mapping[Path, str]:
        listed = {self.labels: "the classes, one a line, or a JSON list"} if isinstance(self.labels, Path) else {}
        return {
            self.features: "feature store, a recording for every name of the annotations",
            self.annotations: "rows of recording, start, end, label, split and, if known, goal",
            **listed,
        }

    def open(self) -> Corpus:
        from gad_segments.corpus import make_corpus

        return make_corpus(self, FeatureStore(self.features))


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [Segments]
