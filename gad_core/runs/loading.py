"""A finished run as a model to use: `gad_core.load("runs/my-experiment/0")`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gad_core.contracts.components import Features
from gad_core.contracts.probabilities import probabilities
from gad_core.contracts.values import Band, Clip, LabelSpace, Predictions, Query, Sample, Stage
from gad_core.data.windows import WindowOptions, Windows
from gad_core.errors import FeatureError, RegistryError
from gad_core.model.action_model import ActionModel
from gad_core.model.composition import compose
from gad_core.model.streaming import Mode, Stream, open_stream
from gad_core.records.results import load_results
from gad_core.registry import rebuild
from gad_core.registry.experiment import Experiment
from gad_core.registry.source import value_of
from gad_core.runs.checkpoint import load_weights, read_labels, same_codes, same_labels
from gad_core.runs.evaluation import predict_samples
from gad_core.runs.feeding import Feed


@dataclass(frozen=True)
class Loaded:
    """A trained model with its labels; needs neither the dataset nor its annotations."""

    experiment: Experiment
    seed: int
    model: ActionModel
    spaces: Mapping[str, LabelSpace]
    width: int
    tokens: int
    fps: float
    device: torch.device

    def predict(
        self, samples: Sequence[Sample], features: Features, *, batch: int = 16, any_fps: bool = False
    ) -> Predictions:
        """The answers to every query of some samples. Raises `FeatureError` when the features have another shape or,
        without `any_fps`, another rate."""
        self.require_features(features, any_fps=any_fps)
        return predict_samples(self.model, samples, Feed(features, self.device), batch=batch).predictions

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The probability of each label, from the scores (N, C) of predictions that ask one relation, or of a stream.

        Rows add up to 1 where the head scores every label. NaN where it says no probability: of labels that `trie` did
        not choose, and everywhere under `free` (`gad_core.contracts.probabilities`).
        """
        return probabilities(scores, self.experiment.head.scoring)

    def readouts(
        self, samples: Sequence[Sample], features: Features, *, batch: int = 16, any_fps: bool = False
    ) -> np.ndarray:
        """The hidden state at which each query of some samples is read, (Q, H) float32, in their order.

        What a class layer sees: for t-SNE and the like. Raises `FeatureError` as `predict` does.
        """
        self.require_features(features, any_fps=any_fps)
        found = []
        with torch.no_grad(), self.model.transformer.merged():
            for first in range(0, len(samples), batch):
                made = self.model.assembler(samples[first : first + batch], features, Stage.PREDICT).to(self.device)
                found.append(self.model.states(made).flatten(0, 1)[made.places].float().cpu().numpy())
        return np.concatenate(found)

    def require_features(self, features: Features, *, any_fps: bool = False) -> None:
        """Raises `FeatureError` when features have another shape than those the model was trained on, or another rate:
        by more than 1 %, and without `any_fps`."""
        if (features.tokens, features.width) != (self.tokens, self.width):
            raise FeatureError(
                f"{features.tokens} tokens a frame of width {features.width}, the model was trained on "
                f"{self.tokens} of width {self.width}",
                hint="use features of the same extractor",
            )
        if not any_fps:
            self._require_rate(features.fps)

    def _require_rate(self, fps: float) -> None:
        if not math.isclose(fps, self.fps, rel_tol=0.01):
            raise FeatureError(
                f"the model was trained on {self.fps:g} frames a second, these are {fps:g}",
                hint=f"extract features at {self.fps:g} a second, or go on with `--any-fps` (in Python `any_fps=True`)",
            )

    @property
    def windows(self) -> Windows | None:
        """The windows the model was trained on, None if it was trained on clips."""
        dataset = self.experiment.dataset
        return dataset.windows() if isinstance(dataset, WindowOptions) and dataset.streams else None

    def stream(
        self,
        mode: Mode = "cached",
        *,
        streams: int = 1,
        frames: int | None = None,
        asks: str | None = None,
        fps: float | None = None,
        compile: bool = False,
    ) -> Stream:
        """Answers while frames come in: `with loaded.stream() as stream: scores = stream.push(features)`.

        `frames` are what an answer sees, as many as a window of the dataset unless given; `fps` is the rate at which
        they will come; `compile` is for long streams on a GPU (`open_stream`). Raises `RegistryError` where the model
        was trained on clips and `frames` is not given, and where the head cannot be cached; `FeatureError` where `fps`
        is given and not the one the model was trained on.
        """
        if fps is not None:
            self._require_rate(fps)
        return open_stream(
            self.model, mode, self.band(frames), tokens=self.tokens, streams=streams, asks=asks, compile=compile
        )

    def band(self, frames: int | None = None) -> Band:
        """What an answer of a stream sees: the latest `frames`, as many as the windows the model was trained on unless
        given. Raises `RegistryError` where it was trained on clips."""
        if frames is not None:
            return Band(frames, frames)
        if self.windows is None:
            raise RegistryError(
                f"the model was trained on clips ('{self.experiment.dataset.name}') and has no windows",
                hint="say how many frames an answer sees: `gad predict --window`, `gad stream --frames`",
            )
        return self.windows.band

    def clip(self, recording: str, frames: range | np.ndarray, asks: str = "current") -> Sample:
        """One question about some frames, asked at the last of them."""
        uid = f"{recording}:{frames[0]}-{frames[-1]}:{asks}"
        return Sample(uid, Clip(recording, frames), asks, (Query(len(frames), {}),))


def load(path: str | Path, *, device: str | torch.device | None = None, override: Sequence[str] = ()) -> Loaded:
    """Loads the kept checkpoint of a finished run folder.

    The backbone's base weights come from where the experiment takes them; they are not in the checkpoint. Raises
    `CheckpointError` when the folder holds no finished run or its weights do not fit.
    """
    folder = Path(path)
    results = load_results(folder)
    checkpoint = results.require_checkpoint(folder)
    labels = read_labels(checkpoint)
    experiment = rebuild(_overridden(results.components, override), results.experiment, root=folder.resolve())
    model = compose(experiment, spaces=labels.spaces, prompts=labels.prompts, width=labels.width, seed=results.seed)
    same_codes(labels, model.assembler.writing.codebook if model.assembler.writing else None, checkpoint)
    load_weights(model, checkpoint)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return Loaded(
        experiment=experiment, seed=results.seed, model=model.to(place).eval(), spaces=labels.spaces,
        width=labels.width, tokens=labels.tokens, fps=labels.fps, device=place,
    )  # fmt: skip


def _overridden(components: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """Resolved components with some options of the dataset or the head set to other values."""
    changed = copy.deepcopy(dict(components))
    for option in options:
        name, equals, value = option.partition("=")
        slot, _, key = name.partition(".")
        if not equals or slot not in ("dataset", "head") or key not in changed[slot]:
            raise RegistryError(
                f"cannot set {option!r}", hint="write dataset.<option>=<value> or head.<option>=<value>"
            )
        changed[slot][key] = value_of(value, name)
    return changed


def evaluate(
    path: Path, split: str, options: Sequence[str], *, batch: int = 32, any_fps: bool = False
) -> tuple[str, dict[str, float]]:
    """The protocol and the metrics of a finished run on a split of its dataset.

    `options` are `dataset.<option>=<value>` or `head.<option>=<value>`, values in YAML. Raises `CheckpointError` when
    the dataset's labels are no longer those the model was trained for.
    """
    loaded = load(path, override=options)
    corpus = loaded.experiment.dataset.open()
    same_labels(loaded.spaces, corpus.spaces, path)
    predictions = loaded.predict(corpus.samples(split), corpus.features, batch=batch, any_fps=any_fps)
    return corpus.protocol, corpus.score(predictions)
