"""The processes of a run: how many take part, on which device, and how they end together.

A launcher (`torchrun`, `accelerate launch`, `mpirun`) says how many there are in environment variables. As many take
part, or none: a process that takes itself for the only one would train everything again in the folder of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from gad_core.contracts.seeds import stable_seed
from gad_core.errors import GadError, TrainingError
from gad_core.registry.experiment import Experiment

T = TypeVar("T")
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Where launchers say how many processes there are, and which of them this one is; accelerate reads the same."""

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another: their parts of an evaluation, and what the first one writes, take minutes."""

LAUNCH = "start it as `torchrun --standalone --nproc-per-node N -m gad_core.cli run …`, which needs no GPU"


def make_accelerator(experiment: Experiment, root: Path) -> Accelerator:
    """The device, precision, processes and trackers of an experiment; `auto` is bf16 where a GPU has it.

    Without a GPU several processes are joined on the CPU. Raises `TrainingError` when a launcher asked for more
    processes than can take part.
    """
    asked = processes_asked()
    AcceleratorState._reset_state()  # experiments of one command may differ in precision; the processes stay joined
    accelerator = Accelerator(
        cpu=asked > 1 and not _joins_devices(),
        mixed_precision="bf16" if _takes_bf16(experiment) else "no",
        log_with=list(experiment.training.trackers) or None,
        project_dir=root / "trackers",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if accelerator.num_processes != asked:
        raise TrainingError(
            f"{asked} processes were launched and {accelerator.num_processes} would take part", hint=LAUNCH
        )
    return accelerator


def processes_asked() -> int:
    """How many processes the launcher of this one started, 1 without a launcher.

    Raises `TrainingError` where what it says cannot be: no number, no rank, more processes than GPUs, or
    `accelerate launch --num_processes N`, which starts a single process on a machine with fewer than two GPUs.
    """
    asked = _number(SIZES)
    if asked is None:
        if "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ:
            raise TrainingError(
                "`accelerate launch` was asked for several processes and has started one",
                where="accelerate launch",
                hint=f"add `--multi_gpu`, with or without GPUs, or {LAUNCH}; where one was wanted, unset MASTER_PORT",
            )
        return 1
    if asked > 1 and _number(RANKS) is None:
        raise TrainingError(f"{SIZES[0]} is {asked}, and nothing says which of them this is", hint=LAUNCH)
    here, devices = _number(("LOCAL_WORLD_SIZE",)) or 1, torch.cuda.device_count()
    if devices and here > devices and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        raise TrainingError(
            f"{here} processes were launched on a machine with {devices} GPU{'s' if devices > 1 else ''}",
            hint="start one process a GPU, or set ACCELERATE_USE_CPU=true to train on the CPU",
        )
    return asked


def _number(names: Sequence[str]) -> int | None:
    """The first of some environment variables that is set."""
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return None
    try:
        return int(os.environ[name])
    except ValueError as error:
        raise TrainingError(
            f"is {os.environ[name]!r}, not a number", where=name, hint="the launcher sets it; unset it without one"
        ) from error


def _joins_devices() -> bool:
    """Whether this machine has devices that several processes can share a training over."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return device is not None and device.type != "mps"


def _takes_bf16(experiment: Experiment) -> bool:
    precision = experiment.training.precision
    return precision == "bf16" or (precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported())


def agreed(accelerator: Accelerator, found: Callable[[], T]) -> T:
    """What the main process finds, in every process; what it raises too, so that nobody waits for the others."""
    if accelerator.num_processes == 1:
        return found()
    answer: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            answer[0] = found()
        except Exception as error:
            answer[1] = error
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


@contextmanager
def one_voice() -> Iterator[None]:
    """What all processes of a launch find wrong is said by one of them, and they end alike; in the end they part.

    Raises `TrainingError` where another process has ended, and `SystemExit` where it has been said.
    """
    try:
        with peers_told():
            yield
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except GadError as error:
        if not _first_to_say(str(error)):
            raise SystemExit(2) from error
        raise


@contextmanager
def peers_told() -> Iterator[None]:
    """Raises `TrainingError` where torch finds that another process has ended, or waited for it in vain."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        raise TrainingError(
            "another process of this run has ended, or does not answer",
            hint="what it said stands above, unless it was killed; run the same command again to go on",
        ) from error


def _first_to_say(text: str) -> bool:
    """Whether no other process of this launch has said the same; the store of torchrun's agent outlives them all."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    try:
        store = torch.distributed.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timedelta(seconds=5)
        )
        return store.add(f"said/{stable_seed(text, os.environ['TORCHELASTIC_RESTART_COUNT'])}", 1) == 1
    except torch.distributed.DistError:  # the agent is gone: better twice than never
        return True
