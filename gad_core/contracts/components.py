"""The five contracts a plugin fulfils, and what they hand to the core.

A component is a frozen pydantic model: its fields are the options of the registry file, its docstring their
documentation. `build()` and `open()` do the heavy imports, so listing and checking never import torch.
"""

from __future__ import annotations

from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SerializationInfo, ValidationInfo

from gad_core.contracts.probabilities import Scoring
from gad_core.contracts.values import (
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

if TYPE_CHECKING:
    import numpy as np

    from gad_core.contracts.modules import HeadModule, Transformer

PLUGIN_API = 1
"""Version of these contracts. A plugin module may state the one it was written for as `PLUGIN_API = 1`."""


def _beside_registry(path: Path, info: ValidationInfo) -> Path:
    root = (info.context or {}).get("root")
    path = path.expanduser()
    return path if root is None or path.is_absolute() else Path(root) / path


def _written(path: Path | str, info: SerializationInfo) -> str:
    write = (info.context or {}).get("path", str)
    return str(write(Path(path))) if Path(path).is_absolute() else str(path)


WrittenPath = PlainSerializer(_written, return_type=str, when_used="json")
"""Marks an option that may name a file: where options are written down, its absolute path is written as the reader
needs it (`Component.options`), so that a project or a run can be moved."""

InputPath = Annotated[Path, AfterValidator(_beside_registry), WrittenPath]
"""A file or folder option; a relative one is taken from the folder of the registry file."""


class Component(BaseModel, ABC):
    """What a plugin offers: options with their documentation, and a way to build the thing itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False, allow_inf_nan=False)

    name: ClassVar[str]
    """What `use:` says in a registry file."""

    def options(self, path: Callable[[Path], str] = str) -> dict[str, object]:
        """The options as plain JSON values, defaults included; `path` says how an absolute input path is written."""
        return self.model_dump(mode="json", by_alias=True, context={"path": path})

    def files(self) -> Mapping[Path, str]:
        """The files and folders it reads, and what each holds. A run is repeated when their content changes."""
        return {}


# ---------------------------------------------------------------------------------------------------- backbone


@runtime_checkable
class TextTokenizer(Protocol):
    """Text to token ids and back, without adding special tokens."""

    vocabulary: int
    """Rows of the embedding matrix: every id is below it."""
    bos: int | None
    eos: int
    special: frozenset[int]
    """Ids that never stand for text, rows without a token among them."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class Backbone(Component):
    """A causal language model; nothing multimodal in it."""

    @abstractmethod
    def text(self, texts: Sequence[str]) -> TextTokenizer:
        """The tokenizer, without weights. `texts` is all a run will write, for backbones that make their vocabulary
        from it; a pretrained one ignores it. Raises `BackboneError` when the files are missing."""

    @abstractmethod
    def build(self, text: TextTokenizer, seed: int) -> Transformer:
        """The model with its weights on the CPU, not adapted yet. Random weights come from `seed` alone."""


# ---------------------------------------------------------------------------------------------- label tokenizer


class LabelTokenizer(Component):
    """How labels are written: a pure function from label texts to token ids."""

    @abstractmethod
    def codebook(
        self,
        spaces: Sequence[LabelSpace],
        text: TextTokenizer,
        *,
        lead: str = " ",
        avoid: frozenset[int] = frozenset(),
        seed: int = 0,
    ) -> Codebook:
        """The codes of every label of `spaces`; `lead` is the text in front of each. Random draws come from `seed`
        alone and hit neither special ids nor `avoid` (the ids between labels). Raises `CodebookError` when labels
        collide or the vocabulary is too small."""


# --------------------------------------------------------------------------------------------------------- head


class Head(Component):
    """How an answer is read out of the language model."""

    @abstractmethod
    def layout(self, stage: Stage) -> Layout:
        """The branches hung on each query. The core derives from it what the head needs:
        it *speaks* if a training branch holds an ANSWER, it *classifies* if it hangs a CLS or needs no CUE to
        predict."""

    @abstractmethod
    def build(self, hidden_size: int, targets: Mapping[str, LabelSpace]) -> HeadModule:
        """The trainable part. `targets` names the class layers to make: one for each asked label space (keyed by its
        name) and one for each classified auxiliary (keyed `auxiliary/<relation>`); empty unless it classifies."""

    @property
    def speaks(self) -> bool:
        """Whether training writes the answer with the language model."""
        return any(Slot.ANSWER in branch for branch in self.layout(Stage.TRAIN))

    @property
    def classifies(self) -> bool:
        """Whether the answer is read from class layers: at [CLS], or at the last frame where nothing is written."""
        reads_cls = any(Slot.CLS in branch for branch in self.layout(Stage.TRAIN))
        return reads_cls or not any(Slot.CUE in branch for branch in self.layout(Stage.PREDICT))

    @property
    def scoring(self) -> Scoring:
        """What its scores say about probability; a softmax tells it unless a head says otherwise."""
        return "logits"


# ----------------------------------------------------------------------------------------------- auxiliary task


class AuxiliaryTask(Component):
    """What else is learnt in training: a pure function from a query to labels.

    As `written` the labels are generated behind the answer; as `classified` a second linear layer predicts the first
    of them from the read-out (the paper's "prev disc").
    """

    form: Literal["written", "classified"] = Field("written", description="generated as text, or a second class layer")

    @abstractmethod
    def needs(self) -> frozenset[str]:
        """The relations a dataset must supply."""

    @abstractmethod
    def refs(self, query: Query) -> tuple[LabelRef, ...]:
        """The labels to write or classify for one query, in order; may be empty."""


# ------------------------------------------------------------------------------------------------------ dataset


class Features(Protocol):
    """Where frame features come from: one array [T, K, D] a recording (frames, tokens a frame, width)."""

    tokens: int
    width: int
    fps: float
    lengths: Mapping[str, int]
    """Frames of each recording."""

    def read(self, recording: str, frames: range | np.ndarray) -> np.ndarray:
        """The features of some frames, (len(frames), K, D). Raises `FeatureError` for an unknown recording or a frame
        outside it."""


class _Complete(ABCMeta):
    """Makes no object that lacks one of the attributes that its class requires."""

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        made = super().__call__(*arguments, **options)
        missing = [name for name in made.required if not hasattr(made, name)]
        if missing:
            raise TypeError(f"{cls.__name__} must set {', '.join(f'`{name}`' for name in missing)}")
        return made


class Corpus(metaclass=_Complete):
    """An opened dataset. A class, or its constructor, must set what is `required`; otherwise making a corpus raises
    `TypeError`, which names what is missing."""

    required: ClassVar[tuple[str, ...]] = ("spaces", "prompts", "features", "protocol", "splits", "headline")

    spaces: Mapping[str, LabelSpace]
    """The label space of every relation the corpus supplies."""
    prompts: Mapping[str, Prompt]
    """The prompt of every asked relation."""
    features: Features
    protocol: str
    """What is measured: `clips`, `window`, `dense`. Written beside every score."""
    splits: tuple[str, ...]
    """The splits that have samples; `train` and `test` at least."""
    headline: str
    """The metric that selects the best checkpoint unless the registry says otherwise; higher is better."""
    scale: Scale | None = None
    """How the model is to scale the features; as they are unless given (`measure_scale`)."""
    usage: Mapping[str, str] = {}
    """What was used of what was named, for the report: `{"recordings": "557 of 579"}`."""
    synthetic: bool = False
    """Whether the data are made up: reports then warn that scores say nothing about real video."""

    @abstractmethod
    def samples(self, split: str, epoch: int = 0, seed: int = 0) -> Sequence[Sample]:
        """The samples of a split. Only `train` may change with the epoch, by draws that depend on
        (seed, epoch, recording) alone. Raises `DataError` for an unknown or empty split."""

    @abstractmethod
    def score(self, predictions: Predictions) -> dict[str, float]:
        """The metrics, by name; percent where the field uses percent, NaN where a metric is undefined."""

    def resampled(self, predictions: Predictions, times: np.ndarray) -> Mapping[str, np.ndarray] | None:
        """The metrics of draws of the test set's recordings, (B,) each; `times` (B, R) is how often a draw has each
        recording, in the order in which `predictions` first name them. Comparisons tell by them what differs.

        None unless overridden: every draw is then scored by itself, where answers do not follow one another in time. A
        metric may be left out: it is then never marked as the best.
        """
        return None


class Dataset(Component):
    """Asks questions about clips and scores the answers."""

    @abstractmethod
    def asks(self) -> frozenset[str]:
        """The relations whose labels are to be predicted."""

    @abstractmethod
    def relations(self) -> frozenset[str]:
        """Every relation the samples carry, the asked ones included."""

    @abstractmethod
    def open(self) -> Corpus:
        """Reads the annotations and opens the features; no torch. Raises `DataError` and `FeatureError`, of everything
        that is wrong at once (`gad_core.errors.Faults`)."""

    def files(self) -> Mapping[Path, str]:
        """The files and folders it reads, and what each holds: a run starts only when all are there, and is repeated
        when their content changes; messages show them as the tree that is expected."""
        return {}


KINDS: dict[str, type[Component]] = {
    "backbone": Backbone,
    "labels": LabelTokenizer,
    "head": Head,
    "auxiliary": AuxiliaryTask,
    "dataset": Dataset,
}
"""The five kinds, by the slot they fill in an experiment."""
