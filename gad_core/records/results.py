"""The figures of a run, its log and its predictions, as they are kept in a run folder. No torch here."""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gad_core.contracts.values import Predictions
from gad_core.errors import CheckpointError
from gad_core.files.writing import plain, require_unchanged, seal_of, write_json, write_text, writing
from gad_core.records.identity import Code

RESULTS = "results.json"
RUN_AGAIN = "run the experiment again with `gad run`"
RESTORE = "restore the file, or run the experiment again with `gad run --force`"


def versions() -> dict[str, str]:
    """The versions of what decides a number; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    distributions = {"gad": "gad-framework", **{name: name for name in ("torch", "transformers", "peft", "accelerate")}}
    for name, distribution in {**distributions, "numpy": "numpy"}.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """The processor's model and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.processor() or platform.machine(), "cores": cores}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Timing(BaseModel):
    """How long a run took. A sample is a clip trained on, an answer a query of the test split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_seconds: float
    train_samples_per_second: float
    evaluation_seconds: float
    evaluation_answers_per_second: float


class Results(BaseModel):
    """The figures of one run: one experiment, one seed.

    `identity` is the key of what was run (`records.identity`), `inputs` the content of what it read, `code` where each
    component came from; `components` is the resolved experiment, paths as they are seen from the run folder.
    `selected_on` names the split and metric that chose the checkpoint, None where the last one is kept. A metric is
    None where it is undefined. `files` holds the SHA-256 of checkpoints and predictions, `pictures` the names of what
    is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    seed: int
    identity: str
    inputs: dict[str, str]
    code: dict[str, Code]
    components: dict[str, Any]
    description: str = ""
    protocol: str
    split: str
    selected_on: str | None = None
    headline: str
    metrics: dict[str, float | None]
    expected: dict[str, float] = Field(default_factory=dict)
    usage: dict[str, str] = Field(default_factory=dict)
    synthetic: bool = False
    timing: Timing
    trainable_parameters: int
    total_parameters: int
    peak_memory_mb: float
    updates: int
    processes: int = 1
    files: dict[str, str] = Field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    device: str | None = None
    machine: dict[str, str | int] = Field(default_factory=machine)
    versions: dict[str, str] = Field(default_factory=versions)
    finished: str = Field(default_factory=now)

    def uses(self, slot: str) -> str:
        """The name of the component in a slot, several joined by `+`, '' where the slot is empty."""
        entry = self.components.get(slot)
        entries = entry if isinstance(entry, list) else [entry] if entry else []
        return " + ".join(str(one["use"]) for one in entries)

    def require_files(self, folder: Path) -> None:
        """Raises `CheckpointError` when a file that these results vouch for is another now.

        One that is not there any more is no fault: weights are large, and a user may have removed them on purpose.
        """
        present = {name: known for name, known in self.files.items() if (folder / name).exists()}
        require_unchanged(folder, present, RESTORE)

    def require_checkpoint(self, folder: Path) -> Path:
        """The folder of the kept checkpoint; raises `CheckpointError` when its files are missing or others now."""
        kept = f"checkpoints/{'best' if self.selected_on else 'last'}"
        hashes = {name: known for name, known in self.files.items() if name.startswith(f"{kept}/")}
        require_unchanged(folder, hashes, RESTORE)
        return folder / kept


def write_results(results: Results, folder: Path) -> None:
    """Writes `results.json`, which says that a run is finished, with a seal that tells when it is edited."""
    values = plain(results.model_dump(mode="json"))
    write_json(folder / RESULTS, {**values, "seal": seal_of(values)})


def load_results(folder: Path) -> Results:
    """The results of a finished run folder; raises `CheckpointError` when there are none or they are damaged."""
    path = Path(folder) / RESULTS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.pop("seal", None) != seal_of(values):
            raise ValueError("it is not as it was written")
        return Results.model_validate(values)
    except FileNotFoundError as error:
        raise CheckpointError(
            "holds no finished run: it has no results.json",
            where=str(folder),
            hint="name a folder runs/<experiment>/<seed>",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise CheckpointError(f"is damaged: {first}", where=str(path), hint=RESTORE) from error


# ----------------------------------------------------------------------------------------------------------------- log


class Log:
    """`log.jsonl`: one JSON object a line, appended as training goes; only the process that `writes` touches it."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    def train(
        self,
        step: int,
        epoch: int,
        losses: Mapping[str, float],
        *,
        learning_rate: float,
        gradient_norm: float,
        samples_per_second: float,
    ) -> None:
        """One update."""
        self._append({
            "kind": "train", "step": step, "epoch": epoch, "losses": dict(losses), "learning_rate": learning_rate,
            "gradient_norm": gradient_norm, "samples_per_second": samples_per_second,
        })  # fmt: skip

    def evaluation(self, step: int, epoch: int, split: str, metrics: Mapping[str, float]) -> None:
        """One evaluation during training."""
        self._append({"kind": "evaluation", "step": step, "epoch": epoch, "split": split, "metrics": dict(metrics)})

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines, oldest first. A last line that a kill has torn is left out.

        Raises `CheckpointError` when a line before the last is damaged.
        """
        if not self.path.exists():
            return []
        texts = self.path.read_bytes().split(b"\n")
        whole = texts[:-1]  # what follows the last line end was never finished
        return [self._read(number, text) for number, text in enumerate(whole, start=1) if text.strip()]

    def cut(self, step: int) -> None:
        """Drops what was logged after `step`, and a torn last line: a resumed training writes it again."""
        if self.writes and self.path.exists():
            kept = [json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines() if line["step"] <= step]
            write_text(self.path, "".join(kept))

    def _append(self, line: Mapping[str, Any]) -> None:
        if self.writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(line), ensure_ascii=False, allow_nan=False) + "\n")

    def _read(self, number: int, text: bytes) -> dict[str, Any]:
        try:
            line = json.loads(text)
            line["step"], line["kind"]
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"is damaged: {error!r}", where=f"{self.path}:{number}", hint="remove the line, or run with --force"
            ) from error
        return line


# --------------------------------------------------------------------------------------------------------- predictions


def save_predictions(predictions: Predictions, path: Path, beside: Mapping[str, np.ndarray] | None = None) -> None:
    """Writes predictions, and other arrays `beside` them, compressed; scores are float32, texts are fixed-width unicode
    (no pickle)."""
    texts: dict[str, Any] = {
        key: np.array(getattr(predictions, key), dtype=np.str_) for key in ("uids", "recordings", "asks")
    }
    arrays = texts | {key: getattr(predictions, key) for key in ("frames", "truth")} | dict(beside or {})
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays, scores=predictions.scores.astype(np.float32))


def load_predictions(path: Path) -> Predictions:
    """Reads predictions; raises `CheckpointError` when the file is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            texts = {key: tuple(file[key].tolist()) for key in ("uids", "recordings", "asks")}
            return Predictions(**texts, frames=file["frames"], truth=file["truth"], scores=file["scores"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(path), hint=RUN_AGAIN) from error
