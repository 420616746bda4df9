"""Several processes do together what one does alone, or say why not, and never take themselves for one each."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from gad_core.errors import TrainingError
from gad_core.records.results import load_predictions
from gad_core.registry.training_options import Training
from gad_core.runs.batching import micro_batches, micro_size
from gad_core.runs.processes import make_accelerator, peers_told, processes_asked

DOCS = Path(__file__).resolve().parents[1] / "docs"
REGISTRY = """\
version: 1
backbones: {tiny: {use: llama-tiny, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 16, vocabulary: 400,
            lora: {rank: 2, alpha: 4, dropout: DROPOUT}}}
labels: {text: {use: text}}
heads: {gad: {use: gad, dropout: DROPOUT}}
auxiliaries: {goal: {use: goal}}
datasets: {kitchen: {use: kitchen, train: 6, test: 3, asks: [current, goal]}}
training: {quick: {epochs: 1, batch: 8, learning_rate: 1e-3, evaluate_every: 1, keep: best, TRAINING}}
experiments:
  kitchen-gad: {dataset: kitchen, backbone: tiny, head: gad, labels: text, auxiliary: goal, training: quick}
"""
MODULES = {
    "torchrun": "torch.distributed.run",
    "accelerate": "accelerate.commands.accelerate_cli",
    "gad": "gad_core.cli",
}
"""The modules behind the commands: a test's environment has no scripts on its path."""


def documented() -> list[str]:
    """The commands of first-run.md that start several processes."""
    text = (DOCS / "first-run.md").read_text()
    return re.findall(r"^(?:torchrun|accelerate launch) .*$", text, flags=re.M)


def command(line: str) -> list[str]:
    script, *words = shlex.split(line)
    return [sys.executable, "-m", MODULES[script], *words]


def environment(**more: str) -> dict[str, str]:
    """As on a machine without GPUs, and without what a launcher would have set."""
    said = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_", "ACCELERATE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    return {**kept, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def project(folder: Path, *, dropout: float = 0.0, training: str = "micro_batch: 2") -> Path:
    folder.mkdir()
    text = REGISTRY.replace("DROPOUT", str(dropout)).replace("TRAINING", training)
    (folder / "registry.yaml").write_text(text)
    return folder


def start(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(line), cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=400, check=False
    )


def run_of(folder: Path) -> Path:
    return folder / "runs" / "kitchen-gad" / "0"


def processes(folder: Path) -> int:
    return int(json.loads((run_of(folder) / "results.json").read_text())["processes"])


def assert_equal(one: Path, other: Path) -> None:
    scores = [load_predictions(run_of(folder) / "predictions.npz") for folder in (one, other)]
    assert scores[0].uids == scores[1].uids
    assert len(set(scores[1].uids)) == len(scores[1].uids)
    np.testing.assert_allclose(scores[0].scores, scores[1].scores, rtol=1e-3, atol=1e-4)
    weights = [load_file(run_of(f) / "checkpoints" / "last" / "weights.safetensors") for f in (one, other)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-2, atol=1e-4, msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, with dropout, in micro-batches."""
    folder = project(tmp_path_factory.mktemp("alone") / "it", dropout=0.2)
    done = start("gad run registry.yaml kitchen-gad", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert processes(folder) == 1
    return folder


def test_the_documentation_shows_both_launchers() -> None:
    assert {line.split()[0] for line in documented()} == {"torchrun", "accelerate"}


@pytest.mark.parametrize("line", documented())
def test_the_commands_of_the_docs_start_two_processes_that_equal_one(alone: Path, tmp_path: Path, line: str) -> None:
    folder = project(tmp_path / "two", dropout=0.2)
    done = start(line, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert processes(folder) == 2
    assert_equal(alone, folder)
    assert done.stdout.count("8 samples on cpu") == 1, "the first process alone reports"


def test_without_dropout_three_processes_equal_one_however_a_batch_is_cut(tmp_path: Path) -> None:
    folders = [project(tmp_path / name, training="micro_batch: null") for name in ("one", "three")]
    lines = ["gad run registry.yaml", "torchrun --standalone --nproc-per-node 3 -m gad_core.cli run registry.yaml"]
    for folder, line in zip(folders, lines, strict=True):
        done = start(line, folder)
        assert done.returncode == 0, done.stderr[-3000:]
    assert [processes(folder) for folder in folders] == [1, 3]
    assert_equal(*folders)


# --------------------------------------------------------------------------------------------- what cannot be is said


def assert_refused(done: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    assert done.returncode != 0
    for word in words:
        assert done.stderr.count(word) == 1, (word, done.stderr)
    assert not list(folder.glob("runs/*/*/results.json"))


def test_accelerate_that_starts_one_process_instead_of_two_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "it")
    done = start("accelerate launch --num_processes 2 -m gad_core.cli run registry.yaml", folder)
    assert_refused(done, folder, "has started one", "--multi_gpu")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"WORLD_SIZE": "2"}, "nothing says which of them this is"),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, "nothing says which of them this is"),
        ({"WORLD_SIZE": "two"}, "not a number"),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, "has started one"),
    ],
)
def test_a_launcher_that_says_too_little_is_refused(
    said: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=words):
        processes_asked()


def test_a_launcher_of_one_process_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert processes_asked() == 1


@pytest.mark.parametrize(("gpus", "refused"), [(0, False), (1, True), (2, False)])
def test_more_processes_than_gpus_are_refused(gpus: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if refused:
        with pytest.raises(TrainingError, match="2 processes were launched on a machine with 1 GPU"):
            processes_asked()
    else:
        assert processes_asked() == 4


def test_what_all_processes_find_wrong_is_said_once(tmp_path: Path) -> None:
    folder = project(tmp_path / "it")
    done = start("torchrun --standalone --nproc-per-node 2 -m gad_core.cli run registry.yaml no-such", folder)
    assert_refused(done, folder, "has no experiment or sweep 'no-such'")
    assert re.search(r"exitcode\s*: 2", done.stderr), "a process ends as without a launcher"


def children(launcher: psutil.Process) -> list[psutil.Process]:
    """The processes that take part, the first one first."""
    found = [child for child in launcher.children() if "gad_core.cli" in child.cmdline()]
    return sorted(found, key=lambda child: int(child.environ()["RANK"]))


def test_a_process_that_is_killed_ends_the_others(tmp_path: Path) -> None:
    folder = project(tmp_path / "it", training="micro_batch: 2, phases: [{epochs: 10000}], log_every: 1")
    line = "torchrun --standalone --nproc-per-node 2 -m gad_core.cli run registry.yaml"
    with subprocess.Popen(command(line), cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True) as launcher:
        log = run_of(folder) / "log.jsonl"
        while launcher.poll() is None and (not log.exists() or log.read_text().count("\n") < 3):
            time.sleep(0.05)
        both = children(psutil.Process(launcher.pid))
        assert len(both) == 2
        both[1].send_signal(signal.SIGKILL)
        _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert not psutil.wait_procs(both, timeout=1)[1], "none is left"
    assert errors.count("Traceback") <= 1, errors  # the launcher's own
    assert "gad_core/runs/training.py" not in errors


def test_without_an_agent_the_survivor_says_that_another_has_ended(tmp_path: Path) -> None:
    """As under a launcher that ends nobody itself."""
    folder = project(tmp_path / "it", training="micro_batch: 2, phases: [{epochs: 10000}], log_every: 1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = []
    for rank in ("0", "1"):
        said = {"WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        both.append(
            subprocess.Popen(
                command("gad run registry.yaml"), cwd=folder, env=environment(**said), stderr=subprocess.PIPE, text=True
            )
        )
    log = run_of(folder) / "log.jsonl"
    while both[0].poll() is None and (not log.exists() or log.read_text().count("\n") < 3):
        time.sleep(0.05)
    both[1].kill()
    _, errors = both[0].communicate(timeout=60)
    both[1].communicate()
    assert both[0].returncode == 2
    assert errors.count("another process of this run has ended") == 1, errors
    assert "Traceback" not in errors


LOST = (
    torch.distributed.DistBackendError("NCCL error: remote process exited"),
    RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:1"),
)


@pytest.mark.parametrize("error", LOST, ids=["nccl", "gloo"])
def test_what_survivors_say_is_one_line(error: RuntimeError) -> None:
    with pytest.raises(TrainingError, match="another process of this run has ended"), peers_told():
        raise error


def test_an_error_of_our_own_is_not_taken_for_a_lost_process() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), peers_told():
        raise RuntimeError("shapes differ")


def test_experiments_of_one_command_may_differ_in_precision(tmp_path: Path) -> None:
    for precision, found in (("fp32", "no"), ("bf16", "bf16"), ("fp32", "no")):
        experiment = SimpleNamespace(training=Training(precision=precision))
        assert make_accelerator(experiment, tmp_path).mixed_precision == found  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ dealing micro-batches


def dealt(batch: Sequence[int], size: int, micro: int | None, world: int) -> list[list[list[int]]]:
    pieces = micro_batches(batch, micro_size(size, micro, world))
    return [pieces[rank::world] for rank in range(world)]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("micro", [None, 1, 2, 3, 12])
@pytest.mark.parametrize("length", [1, 7, 12])
def test_a_batch_is_dealt_whole_and_as_evenly_as_micro_batches_allow(
    length: int, micro: int | None, world: int
) -> None:
    batch = list(range(length))
    parts = dealt(batch, 12, micro, world)
    assert sorted(index for part in parts for piece in part for index in piece) == batch
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(0 < len(piece) <= min(micro or 12, -(-12 // world)) for part in parts for piece in part)


@pytest.mark.parametrize("world", [2, 3, 4, 6])
def test_micro_batches_do_not_depend_on_the_number_of_processes(world: int) -> None:
    for length in (12, 5):  # a whole batch and the last one of an epoch
        (one,) = dealt(range(length), 12, 2, 1)
        assert [one[rank::world] for rank in range(world)] == dealt(range(length), 12, 2, world)
