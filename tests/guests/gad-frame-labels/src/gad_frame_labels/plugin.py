"""The dataset `frame-labels`. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from gad_core.plugin import Corpus, Dataset, InputPath, WindowOptions, hookimpl

PLUGIN_API = 1


class FrameLabels(WindowOptions, Dataset):
    """Breakfast, 50Salads, GTEA: a text file of labels for every video, one label a frame, asked online."""

    name: ClassVar[str] = "frame-labels"
    root: InputPath = Field(description="folder of mapping.txt, groundTruth/ and splits/")
    features: InputPath = Field(description="feature store, made by `python -m gad_frame_labels`")
    split: PositiveInt = Field(1, description="number of the split: splits/train.split<n>.bundle and its test")
    background: str | None = Field(
        None, min_length=1, description="class that means no action; `background` or `SIL` if null and there is one"
    )
    tolerance: NonNegativeInt = Field(
        0, description="frames by which labels may be more than the features; the surplus is cut"
    )

    def asks(self) -> frozenset[str]:
        return frozenset({"current"})

    def relations(self) -> frozenset[str]:
        return frozenset({"current", "previous", "next", "past"})

    def files(self) -> Mapping[Path, str]:
        return {
            self.features: "feature store, a recording for each video",
            self.root / "mapping.txt": "a line `<index> <label>` for each class",
            self.root / "groundTruth": "<video>.txt, a label a line",
            self.bundle("train"): "names of the videos to train on",
            self.bundle("test"): "names of the videos to score",
        }

    def bundle(self, split: str) -> Path:
        """The file that lists the videos of a split."""
        return self.root / "splits" / f"{split}.split{self.split}.bundle"

    def open(self) -> Corpus:
        from gad_frame_labels.corpus import open_frame_labels

        return open_frame_labels(self)


@hookimpl
def gad_datasets() -> list[type[Dataset]]:
    return [FrameLabels]
