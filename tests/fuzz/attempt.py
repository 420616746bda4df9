"""One call of a command in a forked process, and what came of it.

A fork costs milliseconds where a start of Python with torch takes seconds, and whatever a damaged file does, kill the
process, fill the memory, leave a store open, ends with it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType

PROJECT = Path(__file__).resolve().parents[2]
OURS = (f"{PROJECT}/gad_core/", f"{PROJECT}/plugins/")
SECONDS = 10.0
"""A call that works longer, or waits longer, hangs."""
MEMORY = 2 * 2**30
"""Bytes that a call may take beyond what Python, torch and the plugins take."""
PROGRAMS = {"gad": "gad_core.cli", "gad_oad": "gad_oad.__main__"}
"""The module of each command line; its `main` is called."""


@dataclass(frozen=True)
class Call:
    """A command line: one of `PROGRAMS` and its words."""

    program: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Ending:
    """How a call ended; `seconds` of processor time, `memory` in bytes.

    `code` is None where a signal or the time limit ended it; `fault` is what escaped or killed it, `at` the innermost
    line of our code.
    """

    code: int | None
    output: str
    error: str
    seconds: float
    memory: int
    fault: str = ""
    at: str = ""


def run(call: Call, folder: Path, scratch: Path, until: Callable[[], bool] = lambda: False) -> Ending:
    """Runs a command in `folder`, its output in files of `scratch`. Killed when it hangs, or as soon as `until` holds;
    limited to `MEMORY` more than this process has."""
    before = _status("VmRSS")
    pid = os.fork()
    if pid == 0:
        _child(call, folder, scratch)
    clock, hung, wanted = Clock(pid), False, False
    while (ended := os.wait4(pid, os.WNOHANG))[0] == 0 and not (hung or wanted):
        hung, wanted = clock.hangs(), until()
        time.sleep(0.001)
    if ended[0] == 0:
        ended = _killed(pid)
    _end_group(pid)
    code, (fault, at) = os.waitstatus_to_exitcode(ended[1]), _told(scratch / "fault")
    if code < 0 and not wanted:
        fault = f"takes more than {SECONDS:g} s" if hung else signal.Signals(-code).name
        at = _innermost(_read(scratch / "stack"))
    memory = ended[2].ru_maxrss * 2**10 - before
    output, error = _read(scratch / "output"), _read(scratch / "error")
    seconds = ended[2].ru_utime + ended[2].ru_stime
    return Ending(code if code >= 0 else None, output, error, seconds, memory, fault, at)


class Clock:
    """Tells a process that hangs from one on a busy machine: it has worked for `SECONDS`, or waited for as long."""

    def __init__(self, pid: int) -> None:
        self.stat = Path(f"/proc/{pid}/stat")
        self.worked, self.moved = 0.0, time.monotonic()

    def hangs(self) -> bool:
        fields = self.stat.read_text().rpartition(")")[2].split()
        worked = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if worked > self.worked:
            self.worked, self.moved = worked, time.monotonic()
        return worked > SECONDS or time.monotonic() - self.moved > SECONDS


def _child(call: Call, folder: Path, scratch: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        _redirect(scratch)
        stack = (scratch / "stack").open("w")
        faulthandler.enable(stack)
        faulthandler.register(signal.SIGUSR1, stack)
        limit = _status("VmData") + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        os.chdir(folder)
        code = _called(call, scratch)
    finally:
        os._exit(code)


def _called(call: Call, scratch: Path) -> int:
    try:
        import_module(PROGRAMS[call.program]).main(list(call.words), prog_name=call.program)
        sys.stdout.flush()
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        fault = {"fault": type(error).__name__, "at": _last_of_ours(error.__traceback__)}
        (scratch / "fault").write_text(json.dumps(fault))
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return 0 if code is None else code if isinstance(code, int) else 1


def _redirect(scratch: Path) -> None:
    """Output of Python and of C libraries goes to files, as text that a UTF-8 terminal would be sent."""
    for name in ("fault", "stack"):
        (scratch / name).unlink(missing_ok=True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    for number, name, errors in ((1, "output", "strict"), (2, "error", "backslashreplace")):
        file = os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        stream = open(number, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, "stdout" if number == 1 else "stderr", stream)


def _killed(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """Ends the process, which says first where it is."""
    os.kill(pid, signal.SIGUSR1)
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return os.wait4(pid, 0)


def _end_group(pid: int) -> None:
    """Ends what the call has started and left behind."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _status(what: str) -> int:
    """Bytes that the kernel counts for this process: VmRSS, VmData."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 2**10


def _last_of_ours(trace: TracebackType | None) -> str:
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename.startswith(OURS)]
    return _place(frames[-1].filename, frames[-1].lineno, frames[-1].name) if frames else ""


def _innermost(stack: str) -> str:
    """The first line of our code in what `faulthandler` wrote, innermost first."""
    for line in stack.splitlines():
        if line.strip().startswith("File ") and any(ours in line for ours in OURS):
            _, name, rest = line.split('"', 2)
            number, function = rest.removeprefix(", line ").split(" in ")
            return _place(name, int(number), function)
    return ""


def _place(name: str, line: int | None, function: str) -> str:
    return f"{Path(name).relative_to(PROJECT)}:{line} {function}"


def _told(path: Path) -> tuple[str, str]:
    if not path.exists():
        return "", ""
    told = json.loads(path.read_text())
    return told["fault"], told["at"]


def _read(path: Path) -> str:
    return path.read_bytes().decode(errors="backslashreplace") if path.exists() else ""
