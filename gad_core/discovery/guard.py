"""All that is done with the code of a plugin happens in here: what it raises, prints or turns over stays its own.

A plugin is somebody's code in our process, so this guards against mistakes, not against malice: what it does to the
environment variables, to the filters of warnings and to the modules of others is not undone, and a crash of the
interpreter ends the command (`python -X importtime -m gad_core.cli plugins` shows what was imported last).
"""

from __future__ import annotations

import builtins
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import Any

from gad_core.errors import visible

PATIENCE = 5.0
"""Seconds after which it is said whose code is being waited for."""


@contextmanager
def guarded(who: str, failed: Callable[[str], None]) -> Iterator[None]:
    """Runs what touches a plugin's code; `who` is its name for the user.

    Whatever the block raises, `SystemExit` and a `KeyboardInterrupt` of the plugin's own included, ends the block alone
    and is told to `failed`, as `ValueError: its words`. A Ctrl-C or SIGTERM of the user goes through.
    """
    problem = ""
    with ExitStack() as stack:
        for keep in (_output_kept, _process_kept):
            stack.enter_context(keep())
        stack.enter_context(_announced(who))
        came = stack.enter_context(_signals_noted())
        try:
            yield
        except BaseException as error:
            problem = told(error)
    if came:
        signal.raise_signal(came[0])  # whatever the plugin made of it
    if problem:
        failed(problem)


def told(error: BaseException) -> str:
    """An error in one line, whatever a guest's error class does."""
    try:
        return " ".join(f"{type(error).__name__}: {error}".split())
    except BaseException as fault:
        return f"{type(error).__name__}: (an error that cannot be printed: {type(fault).__name__})"


@contextmanager
def _announced(who: str) -> Iterator[None]:
    """Says on the standard error whose code is being waited for, when it takes long."""

    def announce() -> None:
        with suppress(OSError):
            os.write(2, visible(f"still busy with {who}: Ctrl-C ends this\n").encode())

    timer = threading.Timer(PATIENCE, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _output_kept() -> Iterator[None]:
    """What is printed while inside goes to the standard error, C and child processes included: it is no part of what a
    command prints."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError):  # a process without these streams has nothing to spoil
            _flush()
            kept = os.dup(1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            stack.callback(_flush)
            os.dup2(2, 1)
        yield


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()


@contextmanager
def _process_kept() -> Iterator[None]:
    """What is built in, the working directory, the streams, the hook for exceptions and the root logger are as before
    when the block ends, and `os._exit` raises while inside."""
    root, owner, leave, native = logging.getLogger(), os.getpid(), os._exit, dict(vars(builtins))
    streams, hook, handlers, level = (sys.stdin, sys.stderr), sys.excepthook, list(root.handlers), root.level
    folder = _working_folder()

    def refuse(status: int) -> Any:
        if os.getpid() != owner:  # a child that was forked off ends as it likes
            leave(status)
        raise RuntimeError(f"os._exit({status}) was called")

    setattr(os, "_exit", refuse)  # noqa: B010
    try:
        yield
    finally:
        setattr(os, "_exit", leave)  # noqa: B010
        vars(builtins).update(native)
        (sys.stdin, sys.stderr), sys.excepthook, root.handlers = streams, hook, handlers
        root.setLevel(level)
        if folder is not None and folder != _working_folder():
            os.chdir(folder)


def _working_folder() -> str | None:
    """The working directory; None where somebody removed it."""
    try:
        return os.getcwd()
    except OSError:
        return None


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """The signals of the user that came while inside: they do what they always do. What the block does to them, and an
    alarm that it sets, is undone."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    kept = {number: handler for number, handler in kept.items() if handler is not None}
    rings = signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        handler = kept[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in kept.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        if hasattr(signal, "setitimer") and not rings:
            signal.setitimer(signal.ITIMER_REAL, 0)
