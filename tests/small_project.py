"""A user's project in a folder: feature files, a store, annotations and a registry; it trains in a second."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from gad_core.cli import main

LABELS = ("cut tomato", "cut onion", "wash tomato")
REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400}}
labels: {text: {use: text}}
heads:
  generative: {use: generative}
  discriminative: {use: discriminative}
  gad: {use: gad}
auxiliaries: {previous: {use: previous}}
datasets:
  mine: {use: segments, features: mine.lmdb, annotations: mine.csv, fps: 2, DATASET}
training: {quick: {epochs: 1, batch: 4, learning_rate: 1e-2, TRAINING}}
experiments:
  generative: {dataset: mine, backbone: tiny, head: generative, labels: text, training: quick}
  discriminative: {dataset: mine, backbone: tiny, head: discriminative, training: quick}
  gad: {dataset: mine, backbone: tiny, head: gad, labels: text, auxiliary: previous, training: quick}
"""


@dataclass
class Project:
    """Recordings of 20 frames at 2 frames a second; rows are (recording, start, end, label, split)."""

    root: Path
    rows: list[tuple[object, ...]] = field(default_factory=list)
    width: int = 5

    def __post_init__(self) -> None:
        for number in range(4):
            split = "train" if number < 2 else "test"
            self.write_features(f"r{number}", self.features(number))
            self.rows += [(f"r{number}", 3 * n, 3 * n + 3, label, split) for n, label in enumerate(LABELS)]

    def features(self, seed: int, frames: int = 20) -> np.ndarray:
        """Random features [frames, width]."""
        return np.random.default_rng(seed).normal(size=(frames, self.width)).astype(np.float32)

    def write_features(self, name: str, array: np.ndarray) -> None:
        """One feature file."""
        (self.root / "raw").mkdir(exist_ok=True)
        np.save(self.root / "raw" / f"{name}.npy", array)

    def write(
        self, *, dataset: str = "mode: clips", training: str = "evaluate_every: null", registry: str = REGISTRY
    ) -> None:
        """Annotations and registry as they stand."""
        with (self.root / "mine.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("recording", "start", "end", "label", "split"), *self.rows])
        text = registry.replace("DATASET", dataset).replace("TRAINING", training)
        (self.root / "registry.yaml").write_text(text)

    def pack(self, *options: str) -> Result:
        """`gad features pack`."""
        return self.gad("features", "pack", "raw", "mine.lmdb", "--fps", "2", "--dtype", "float32", *options)

    def ready(self, **texts: str) -> Project:
        """Packs and writes everything."""
        assert self.pack().exit_code == 0
        self.write(**texts)
        return self

    def gad(self, *arguments: str) -> Result:
        """Runs the command line in this process; paths that exist here are taken from the project."""
        words: Sequence[str] = [str(self.root / word) if self._is_path(word) else word for word in arguments]
        return CliRunner().invoke(main, words)

    def _is_path(self, word: str) -> bool:
        return word.endswith((".lmdb", ".yaml", ".csv")) or word in ("raw", "runs") or word.startswith("runs/")

    def refused(self, *arguments: str) -> str:
        """The message of a command that must be refused: exit code 2 and no traceback."""
        result = self.gad(*arguments)
        assert result.exit_code == 2, (result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result.output
