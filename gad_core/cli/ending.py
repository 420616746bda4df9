"""How a command ends: well, or with one message and an exit code, whatever went wrong on the way.

What the operating system refuses is as much the user's to mend as a misspelt option, so it is told the same way: where,
what, and what to do. Every command group of ours is a `CommandGroup`.
"""

from __future__ import annotations

import errno
import faulthandler
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

import click

from gad_core.discovery.guard import PATIENCE
from gad_core.errors import GadError, visible

REFUSED = 2
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
NO_READER = 128 + 13
"""What a shell says of a program that wrote to a pipe which nobody reads: SIGPIPE, which Windows lacks, is 13."""

HINTS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or name another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change the rights of it, or name another place"),
    errno.EROFS: "name a place that may be written, for example with --runs or --out",
    errno.ENOTDIR: "a file is where a folder should be: move it, or name another place",
    errno.EEXIST: "move what is there, or name another place",
    errno.EISDIR: "name a file",
    errno.ENOENT: "look at the spelling of the path",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "a link leads back to itself: mend it",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "close other programs, or raise the limit: `ulimit -n`"),
    errno.ENOMEM: "make batches or inputs smaller",
    errno.EIO: "the disk or the network does not answer: look at the system's log",
    errno.ESTALE: "the network drive was mounted anew: run the command again",
}
"""What to do about what the system says."""
SYSTEM = re.compile(r"\(os error (\d+)\)")
"""How libraries written in Rust (safetensors, tokenizers) tell an error of the system."""
CUT_SHORT = ("unexpected pos", "PytorchStreamWriter failed")
"""How `torch.save` tells that it could not write on."""
NO_ROOM = ("can't allocate memory", "not enough memory")
"""How torch tells that the memory of the machine is too small."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: as Ctrl-C, by somebody else's hand."""


class CommandGroup(click.Group):
    """A group of commands that end with a message instead of a traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        with _terminable(), _announced(), told():
            _prepare_streams()
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with told():  # before click makes a code of its own of what it knows, here and below
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with told():
            return super().invoke(ctx)


@contextmanager
def told() -> Iterator[None]:
    """Prints what the block raises as a message and ends the process: 2 where something can be mended, 130 after Ctrl-C
    and 143 after SIGTERM, 141 without a word where nobody reads on. A bug of ours goes through as it is."""
    try:
        yield
    except click.ClickException as error:  # click would print what was typed as it is
        said = io.StringIO()
        error.show(said)
        _end(error.exit_code, visible(said.getvalue().rstrip("\n")))
    except GadError as error:
        _end(REFUSED, str(error))
    except KeyboardInterrupt as error:
        stopped = isinstance(error, Terminated)
        word = "terminated" if stopped else "interrupted"
        _end(TERMINATED if stopped else INTERRUPTED, f"{word}: run the same command again to go on")
    except Exception as error:
        if _of_console(error):
            _drop(sys.stdout)
            if isinstance(error, BrokenPipeError):
                _end(NO_READER)
        refused = of_system(error)
        if refused is None:
            raise
        _end(REFUSED, str(refused))


def of_system(error: Exception) -> GadError | None:
    """What the operating system, or a library in its name, refuses, in words for the user; None for anything else."""
    if isinstance(error, OSError):
        return _of_os(error)
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_ROOM):
        return GadError(f"there is not enough memory: {error}".rstrip(": "), hint=HINTS[errno.ENOMEM])
    if isinstance(error, UnicodeEncodeError):
        part = error.object[max(0, error.start - 20) : error.end + 20]
        return GadError(f"a text cannot be written as {error.encoding}: {part!r}", hint="replace the odd character")
    number = SYSTEM.search(str(error))
    if number:
        return _of_os(OSError(int(number[1]), os.strerror(int(number[1]))))
    if isinstance(error, RuntimeError) and any(words in str(error) for words in CUT_SHORT):
        return GadError("a file could not be written to its end", hint=HINTS[errno.ENOSPC])
    return None


def _of_os(error: OSError) -> GadError:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = names[-1] if names else "standard output" if _of_console(error) else None  # of a renaming, where it led
    said = error.strerror or str(error) or type(error).__name__
    return GadError(said, where=where, hint=HINTS.get(error.errno or 0))


def _of_console(error: Exception) -> bool:
    """Whether an error of the system came up while something was printed: the streams do not say their names."""
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].partition(".")[0] in ("click", "rich")


def _end(code: int, message: str | None = None) -> NoReturn:
    """Ends the process with a message where anybody can be told."""
    try:
        if message is not None:
            click.echo(message, err=True)
    except OSError:
        _drop(sys.stderr)
    raise SystemExit(code)


def _drop(stream: TextIO) -> None:
    """Has a stream go nowhere: what it still holds cannot be written, and Python would complain of that at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_streams() -> None:
    """Streams show what their encoding lacks as `\\xe9`, and no file that is opened later takes the place of a closed
    one. Raises `GadError` where the standard output is closed: there is nowhere to put results."""
    closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if closed:
        raise GadError("is closed", where="standard output", hint="send it somewhere, for example `> /dev/null`")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if not faulthandler.is_enabled():
        with suppress(OSError, ValueError):
            faulthandler.enable(
                all_threads=False
            )  # a crash of the interpreter names the code that did it, a plugin for example


@contextmanager
def _terminable() -> Iterator[None]:
    """Has SIGTERM raise `Terminated` while inside; processes that are forked off die of it as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # whoever started this process has plans of its own
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _announced() -> Iterator[None]:
    """Says after a while for whose threads Python waits before it ends, such as one that a plugin started."""

    def announce() -> None:
        left = [thread.name for thread in _foreign_threads()]
        if left and not threading.main_thread().is_alive():
            with suppress(OSError):
                os.write(2, f"done; still waiting for {', '.join(left)} to end: Ctrl-C ends this\n".encode())

    try:
        yield
    finally:
        if _foreign_threads():
            timer = threading.Timer(PATIENCE, announce)
            timer.daemon = True
            timer.start()


def _foreign_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
