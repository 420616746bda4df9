"""The light door: everything a plugin imports to describe itself and to read data. Importing it loads no torch.

Import it at the top of any module of a plugin. What needs torch is behind the other door, `gad_core.nn`: import that
one inside `build()`, or in a module that `build()` imports. The test kit is `gad_core.testing`. Code outside gad
imports from these three and from no other module.

What is promised: the names in `__all__`, their signatures and their public fields stay as long as `PLUGIN_API` is the
same number. Names may be added, and so may fields and parameters with a default. A name that begins with an underscore,
and every module behind the doors, may change at any time. `tests/plugin_api_1.txt` lists the whole promise.

Each name is documented where it is defined; `help(gad_core.plugin.Head)` and docs/hooks.md show it.
"""

from __future__ import annotations

from gad_core.cli.ending import CommandGroup
from gad_core.cli.say import say
from gad_core.cli.types import RATE
from gad_core.contracts.components import (
    PLUGIN_API,
    AuxiliaryTask,
    Backbone,
    Component,
    Corpus,
    Dataset,
    Features,
    Head,
    InputPath,
    LabelTokenizer,
    TextTokenizer,
    WrittenPath,
)
from gad_core.contracts.hooks import hookimpl
from gad_core.contracts.probabilities import Scoring
from gad_core.contracts.seeds import stable_seed
from gad_core.contracts.values import (
    Band,
    Clip,
    Codebook,
    LabelRef,
    LabelSpace,
    Layout,
    Predictions,
    Prompt,
    Query,
    Sample,
    Scale,
    Slot,
    Stage,
)
from gad_core.data.corpora import (
    CLIP_QUESTIONS,
    STREAM_QUESTION,
    ClipCorpus,
    FrameLabels,
    Segment,
    StreamCorpus,
)
from gad_core.data.features.memory import ArrayFeatures, ConcatenatedFeatures
from gad_core.data.features.pack import Packing, pack
from gad_core.data.features.sources import find_sources
from gad_core.data.features.store import FeatureStore
from gad_core.data.relations import Relations, StreamRelations, segment_relations
from gad_core.data.scaling import measure_scale
from gad_core.data.times import Rounding, frames_between, in_frames
from gad_core.data.windows import Ask, Asks, ClipOrStreamOptions, Plan, WindowOptions, Windows, blocks, every_end
from gad_core.errors import (
    BackboneError,
    CodebookError,
    DataError,
    Faults,
    FeatureError,
    GadError,
)
from gad_core.files.arrays import load_array
from gad_core.files.fields import FASTEST, clean, composed, seconds_field, shown, text_field, time_field
from gad_core.files.matching import absent, no_file_name
from gad_core.files.reading import damaged, once_each, read_json, read_text, reading, require_file
from gad_core.files.writing import sweep, write_json, writing
from gad_core.huggingface.lora_options import Lora
from gad_core.metrics.clips import ClipScore, clip_metrics
from gad_core.metrics.rates import Variant
from gad_core.metrics.stream import StreamScore, Track, stream_metrics

__all__ = [  # noqa: RUF022 - in the order in which a plugin is written
    # A plugin module: the marker of hooks, and the version of the promise.
    "PLUGIN_API",
    "hookimpl",
    # Components: what a hook offers. Subclass one; its fields are the options of the registry file.
    "AuxiliaryTask",
    "Backbone",
    "Component",
    "Dataset",
    "Head",
    "LabelTokenizer",
    # Types of options.
    "Ask",
    "Asks",
    "ClipOrStreamOptions",
    "InputPath",
    "Lora",
    "Rounding",
    "Scoring",
    "Variant",
    "WindowOptions",
    "WrittenPath",
    # What components hand over: an opened dataset, its features, a tokenizer.
    "Corpus",
    "Features",
    "TextTokenizer",
    # Values: frozen, they go between all of these.
    "Band",
    "Clip",
    "Codebook",
    "LabelRef",
    "LabelSpace",
    "Layout",
    "Predictions",
    "Prompt",
    "Query",
    "Sample",
    "Scale",
    "Slot",
    "Stage",
    # Corpora: the work of most datasets, once their files are read into segments or frame labels.
    "CLIP_QUESTIONS",
    "STREAM_QUESTION",
    "ClipCorpus",
    "FrameLabels",
    "Segment",
    "StreamCorpus",
    # Windows, seconds to frames, and what stands before and after an action.
    "Plan",
    "Relations",
    "StreamRelations",
    "Windows",
    "blocks",
    "every_end",
    "frames_between",
    "in_frames",
    "segment_relations",
    "stable_seed",
    # Features: the store, arrays in memory, packing, and the scale of the train split.
    "ArrayFeatures",
    "ConcatenatedFeatures",
    "FeatureStore",
    "Packing",
    "find_sources",
    "measure_scale",
    "pack",
    # Metrics: what the scores of a dataset are made of, and the same as one call.
    "ClipScore",
    "StreamScore",
    "Track",
    "clip_metrics",
    "stream_metrics",
    # Errors: raise them for what a user can mend. `Faults` gathers all that is wrong with a file.
    "BackboneError",
    "CodebookError",
    "DataError",
    "Faults",
    "FeatureError",
    "GadError",
    # Reading files of others: regular ones only, damage located, texts and times in one spelling.
    "FASTEST",
    "absent",
    "clean",
    "composed",
    "damaged",
    "load_array",
    "no_file_name",
    "once_each",
    "read_json",
    "read_text",
    "reading",
    "require_file",
    "seconds_field",
    "shown",
    "text_field",
    "time_field",
    # Writing files that are whole or not there.
    "sweep",
    "write_json",
    "writing",
    # Commands of a plugin (`python -m my_plugin`): they end as those of gad do, with a message and exit code 2.
    "CommandGroup",
    "RATE",
    "say",
]
