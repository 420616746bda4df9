"""Commands in forked processes that are killed at a chosen moment.

A moment is a place in the sequence of what a command does to the disk (opening a file to write, renaming, removing,
making folders), and of its updates and forward passes. The sequence is the same every time.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gad_core.data.features import pack
from gad_core.model.action_model import ActionModel

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
STAGES = ("training", "evaluation", "checkpointing", "results", "pictures")


def stage_of(path: str) -> str:
    """What a command is at when it touches a file of a run."""
    name = Path(path).name
    if name.endswith(".png"):
        return "pictures"
    if "resume-" in path or "checkpoints" in path or name.endswith((".safetensors", ".pt")):
        return "checkpointing"
    return "results"


class Moments:
    """Counts the moments of this process; at number `last` the process is killed. `told` is where its stages go."""

    def __init__(self, folder: Path, last: int | None, told: Path) -> None:
        self.folder, self.last, self.told = str(folder), last, told
        self.stages: list[str] = []

    def watch(self) -> None:
        sys.addaudithook(self._audited)
        for owner, name, stage in (
            (torch.optim.AdamW, "step", "training"),
            (ActionModel, "predict", "evaluation"),
            (pack, "_put", "packing"),  # LMDB writes by itself
        ):
            setattr(owner, name, self._counted(getattr(owner, name), stage))

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if opened or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            if path.startswith(self.folder) and not path.startswith(str(self.told)):
                self._moment(stage_of(path))

    def _counted(self, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._moment(stage)
            return method(*arguments, **named)

        return counted

    def _moment(self, stage: str) -> None:
        self.stages.append(stage)
        if len(self.stages) - 1 == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_fork(
    command: Callable[[Sequence[str]], object], arguments: Sequence[str], folder: Path, last: int | None
) -> int:
    """Runs a command in a forked process, killed at moment `last`; its exit code, negative for a signal.

    The stages of all moments are in `folder.moments` if the command ends. Output goes to `folder.output`.
    """
    told = folder.with_name(f"{folder.name}.moments")
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        output = os.open(folder.with_name(f"{folder.name}.output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        torch.set_num_threads(1)  # the threads of the parent are not here
        moments = Moments(folder, last, told)
        moments.watch()
        try:
            command(arguments)
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        told.write_text("\n".join(moments.stages))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
