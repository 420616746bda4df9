"""What the benchmarks of online action detection have fixed: PAPER, tasks and data. Every value may be overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal["thumos14", "crosstask", "epic-kitchens-100", "ego4d-goalstep", "tvseries"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "thumos14": {
        "section": "THUMOS",
        "fps": 4.0,
        "short": 32,
        "stride": 32,
        "background_weight": 1.0,
        "ignored": ("Ambiguous",),
    },
    "crosstask": {"section": "CrossTask", "fps": 1.0, "short": 20, "stride": 20, "background_weight": 0.2},
    "epic-kitchens-100": {"section": "EK100", "fps": 4.0, "short": 20, "stride": 20, "background_weight": 0.5},
    "ego4d-goalstep": {
        "fps": 1.0,
        "short": 16,
        "stride": 16,
        "background_weight": 0.5,
        # The labels of the official test set are not public: the field tests on the validation set.
        "splits": {"train": "train_session_set", "test": "val_session_set"},
    },
    "tvseries": {"section": "TVSeries", "fps": 4.0, "short": 32, "stride": 32, "background_weight": 1.0},
}
"""The options a preset sets. Background is the class called so in every benchmark, `long` is 128 in all."""
