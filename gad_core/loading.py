"""A finished run as a model to use: `gad_core.load("runs/my-experiment/0")`."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from gad_core.action_model import ActionModel
from gad_core.checkpoint import load_weights, read_labels, same_codes, same_labels
from gad_core.composition import compose
from gad_core.contracts import Features
from gad_core.errors import CheckpointError, FeatureError, RegistryError
from gad_core.evaluation import predict_samples
from gad_core.experiment import Experiment
from gad_core.feeding import Feed
from gad_core.registry import rebuild
from gad_core.registry.source import value_of
from gad_core.results import load_results
from gad_core.streaming import Mode, Stream, open_stream
from gad_core.values import Band, Clip, LabelSpace, Predictions, Query, Sample, Stage
from gad_core.windows import WindowOptions


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

    def predict(self, samples: Sequence[Sample], features: Features, *, batch: int = 16) -> Predictions:
        """The answers to every query of some samples. Raises `FeatureError` when the features have another shape."""
        self.require_shape(features)
        accelerator = Accelerator(cpu=self.device.type == "cpu")
        return predict_samples(
            self.model, samples, Feed(features, self.device), accelerator=accelerator, batch=batch
        ).predictions

    def readouts(self, samples: Sequence[Sample], features: Features, *, batch: int = 16) -> np.ndarray:
        """The hidden state at which each query of some samples is read, (Q, H) float32, in their order.

        What a class layer sees: for t-SNE and the like. Raises `FeatureError` when the features have another shape.
        """
        self.require_shape(features)
        found = []
        with torch.no_grad(), self.model.transformer.merged():
            for first in range(0, len(samples), batch):
                made = self.model.assembler(samples[first : first + batch], features, Stage.PREDICT).to(self.device)
                found.append(self.model.states(made).flatten(0, 1)[made.places].float().cpu().numpy())
        return np.concatenate(found)

    def require_shape(self, features: Features) -> None:
        """Raises `FeatureError` when features have another shape than those the model was trained on."""
        if (features.tokens, features.width) != (self.tokens, self.width):
            raise FeatureError(
                f"{features.tokens} tokens a frame of width {features.width}, the model was trained on "
                f"{self.tokens} of width {self.width}",
                hint="use features of the same extractor",
            )

    def stream(
        self,
        mode: Mode = "cached",
        *,
        streams: int = 1,
        frames: int | None = None,
        asks: str | None = None,
        compile: bool = False,
    ) -> Stream:
        """Answers while frames come in: `with loaded.stream() as stream: scores = stream.push(features)`.

        `frames` are what an answer sees, as many as a window of the dataset unless given; `compile` is for long streams
        on a GPU (`open_stream`). Raises `RegistryError` where the dataset has no windows, and where the head cannot be
        cached.
        """
        return open_stream(
            self.model, mode, self._band(frames), tokens=self.tokens, streams=streams, asks=asks, compile=compile
        )

    def _band(self, frames: int | None) -> Band:
        dataset = self.experiment.dataset
        if frames is not None:
            return Band(frames, frames)
        if not isinstance(dataset, WindowOptions):
            raise RegistryError(
                f"dataset '{dataset.name}' has no windows", hint="say how many frames an answer sees: frames, --frames"
            )
        return dataset.windows().band

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


def evaluate(path: Path, split: str, options: Sequence[str], *, batch: int = 32) -> tuple[str, dict[str, float]]:
    """The protocol and the metrics of a finished run on a split of its dataset.

    `options` are `dataset.<option>=<value>` or `head.<option>=<value>`, values in YAML. Raises `CheckpointError` when
    the dataset's labels are no longer those the model was trained for.
    """
    loaded = load(path, override=options)
    corpus = loaded.experiment.dataset.open()
    same_labels(loaded.spaces, corpus.spaces, path)
    predictions = loaded.predict(corpus.samples(split), corpus.features, batch=batch)
    return corpus.protocol, corpus.score(predictions)


def require_recordings(features: Features, recordings: Sequence[str]) -> None:
    """Raises `FeatureError` when the features lack one of the recordings."""
    unknown = [recording for recording in recordings if recording not in features.lengths]
    if unknown:
        raise FeatureError(f"no recording {', '.join(map(repr, unknown[:3]))}", hint="see `gad features info`")


def clip_samples(
    loaded: Loaded,
    features: Features,
    recordings: Sequence[str],
    asks: str | None,
    start: float | None,
    end: float | None,
    window: int | None,
) -> list[Sample]:
    """The clip from `start` to `end` seconds of each recording, or with `window` one clip that ends at every frame."""
    asked = asks or next(iter(loaded.model.assembler.prompts))
    if asked not in loaded.model.assembler.prompts:
        trained = ", ".join(loaded.model.assembler.prompts)
        raise CheckpointError(f"the model was not trained to answer {asked!r}", hint=f"it answers {trained}")
    require_recordings(features, recordings)
    samples = []
    for recording in recordings or sorted(features.lengths):
        length = features.lengths[recording]
        first = 0 if start is None else max(0, round(start * features.fps))
        stop = length if end is None else min(length, round(end * features.fps))
        if first >= stop:
            hint = f"it has {length} frames at {features.fps:g} a second"
            raise FeatureError(f"no frame between {start} s and {end} s", where=recording, hint=hint)
        spans = [(first, stop)] if window is None else [(max(0, t - window), t) for t in range(first + 1, stop + 1)]
        samples += [loaded.clip(recording, range(*span), asked) for span in spans]
    return samples


def streamed(
    loaded: Loaded,
    features: Features,
    recordings: Sequence[str],
    mode: Mode,
    frames: int | None,
    latencies: list[float],
    *,
    compile: bool = False,
) -> Iterator[str]:
    """Lines of CSV, a header first: recording, seconds of the frame, label, score; each as soon as it is known.

    The seconds each answer took are appended to `latencies`.
    """
    yield "recording,time,label,score"
    asked = next(iter(loaded.model.assembler.prompts))
    labels = loaded.spaces[asked].labels
    with loaded.stream(mode, frames=frames, asks=asked, compile=compile) as stream:
        for recording in recordings or sorted(features.lengths):
            stream.restart()
            for frame in range(features.lengths[recording]):
                started = time.perf_counter()
                scores = stream.push(features.read(recording, range(frame, frame + 1)))[0, : len(labels)].cpu()
                latencies.append(time.perf_counter() - started)
                best = int(scores.argmax())
                yield f"{_quoted(recording)},{frame / features.fps:.3f},{_quoted(labels[best])},{scores[best]:.4f}"


def answers(loaded: Loaded, features: Features, samples: Sequence[Sample], top: int) -> Iterator[str]:
    """Lines of CSV, a header first: recording, seconds of the clip's first frame and of its end, label, score."""
    yield "recording,start,end,label,score"
    predictions = loaded.predict(samples, features)
    for sample, scores in zip(samples, predictions.scores, strict=True):
        labels, frames = loaded.spaces[sample.asks].labels, sample.clip.frames
        for index in np.argsort(-scores[: len(labels)], kind="stable")[:top]:
            span = f"{frames[0] / features.fps:.3f},{(frames[-1] + 1) / features.fps:.3f}"
            yield f"{_quoted(sample.clip.recording)},{span},{_quoted(labels[index])},{scores[index]:.4f}"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n') else cell
