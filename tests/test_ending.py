"""A command ends with a message and a code of its own, whatever the system says; a traceback is a bug of ours."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.table import Table

from gad_core.cli import main
from gad_core.cli.ending import CommandGroup, of_system
from gad_core.errors import GadError, visible
from gad_core.report.console import PlainConsole

MAINS = (["gad_core.cli"], ["gad_oad"], ["gad_smollm2"])


def gad(*words: str, module: str = "gad_core.cli", **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def raising(error: BaseException) -> CommandGroup:
    @click.group(cls=CommandGroup)
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise error

    return group


SAID = {
    "no right": (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied", "rights"),
    "no such file": (FileNotFoundError(errno.ENOENT, "No such file or directory", "a"), "a: No such file", "spelling"),
    "a folder": (IsADirectoryError(errno.EISDIR, "Is a directory", ".t", None, "out"), "out: Is a directory", "a file"),
    "a file": (NotADirectoryError(errno.ENOTDIR, "Not a directory", b"a/b"), "a/b: Not a directory", "where a folder"),
    "full": (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", "free some space"),
    "read-only": (OSError(errno.EROFS, "Read-only file system", "x"), "x: Read-only file system", "--runs"),
    "long name": (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "x: File name too long", "shorten"),
    "words alone": (OSError("cannot connect"), "cannot connect", ""),
    "safetensors": (ValueError("I/O error: No space left on device (os error 28)"), os.strerror(28), "free some space"),
    "torch.save": (RuntimeError("unexpected pos 64 vs 0"), "could not be written to its end", "free some space"),
    "memory": (MemoryError("Unable to allocate 18 TiB"), "not enough memory: Unable to allocate 18 TiB", "smaller"),
    "torch's memory": (RuntimeError("can't allocate memory: you tried 9 bytes"), "not enough memory", "smaller"),
    "text": (UnicodeEncodeError("utf-8", "a\ud800b", 1, 2, "no"), "cannot be written as utf-8: 'a\\ud800b'", "replace"),
    "ours": (GadError("is odd", where="x.csv:3", hint="mend it"), "x.csv:3: is odd", "mend it"),
}


@pytest.mark.parametrize(("error", "message", "hint"), SAID.values(), ids=SAID)
def test_what_the_system_says_is_a_message(error: Exception, message: str, hint: str) -> None:
    ended = CliRunner().invoke(raising(error), ["fail"])
    assert ended.exit_code == 2
    assert message in ended.output and hint in ended.output and "Traceback" not in ended.output


@pytest.mark.parametrize("error", [ValueError("bug"), RuntimeError("bug"), KeyError("bug"), RecursionError("bug")])
def test_a_bug_of_ours_stays_one(error: Exception) -> None:
    assert of_system(error) is None
    ended = CliRunner().invoke(raising(error), ["fail"])
    assert ended.exit_code == 1 and ended.exception is error


@pytest.mark.parametrize("module", [module for (module,) in MAINS])
def test_a_standard_output_that_takes_nothing(module: str) -> None:
    with open("/dev/full", "wb") as full:
        ended = gad("--help", module=module, stdout=full)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"standard output: No space left on device\n")
    assert ended.stderr.count(b"\n") == 2


@pytest.mark.parametrize("words", [["plugins"], ["schema"], ["check", "registry.yaml"], ["--help"]])
def test_a_closed_standard_output(words: list[str]) -> None:
    project = Path(__file__).resolve().parents[1]
    ended = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "gad_core.cli", *words],
        stderr=subprocess.PIPE, cwd=project, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stderr.startswith(b"standard output: is closed\n")


@pytest.mark.parametrize("words", [["schema"], ["plugins"], ["--help"]])
def test_a_reader_that_went_away_is_no_fault(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = gad(*words, stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_console_of_another_encoding_shows_what_it_can(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "日本.yaml").write_text("version: 1\nheads: {é日: {use: gad}}\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = gad("check", "日本.yaml", cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert ended.returncode == 0, ended.stderr
    assert b"\\u65e5\\u672c.yaml is right" in ended.stdout


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated")]
)
def test_a_signal_ends_with_one_line(number: signal.Signals, code: int, word: bytes) -> None:
    script = (
        "import sys, click, time\nfrom gad_core.cli.ending import CommandGroup\n"
        "@click.group(cls=CommandGroup)\ndef main(): pass\n"
        "@main.command()\ndef wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "main(['wait'])"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said == word + b": run the same command again to go on\n"


def test_a_thread_that_is_left_over_is_named() -> None:
    script = (
        "import threading, time, click\nimport gad_core.cli.ending as ending\nending.PATIENCE = 0.1\n"
        "@click.group(cls=ending.CommandGroup)\ndef main(): pass\n"
        "@main.command()\ndef go(): threading.Thread(target=time.sleep, args=(1,), name='knitter').start()\n"
        "main(['go'])"
    )
    ended = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, timeout=30, check=False)
    assert ended.returncode == 0 and ended.stderr == b"done; still waiting for knitter to end: Ctrl-C ends this\n"


STEERING = {
    "escape": ("\x1b]0;T\x07", "\\x1b]0;T\\x07"),
    "C1": ("\x9b2J", "\\x9b2J"),
    "carriage return": ("a\rb", "a\\rb"),
    "backspace": ("a\bb", "a\\x08b"),
    "bidi": ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
    "tags": ("a\U000e0041", "a\\U000e0041"),
    "line separator": ("a\u2028b", "a\\u2028b"),
    "lone surrogate": ("a\ud800", "a\\ud800"),
    "ordinary": ("naïve 日本 🙂 می‌خواهم\n\t[bold]x[/bold]", "naïve 日本 🙂 می‌خواهم\n\t[bold]x[/bold]"),
}


@pytest.mark.parametrize(("text", "shown"), STEERING.values(), ids=STEERING)
def test_what_steers_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert str(GadError(text, where=text, hint=text)) == f"{shown}: {shown}\n     = {shown}"
    console = PlainConsole(width=200, file=io.StringIO(), force_terminal=True, color_system=None)
    table = Table(text)
    table.add_row(text)
    for printed in (text, table):
        console.print(printed)
    console.rule(text)
    assert isinstance(console.file, io.StringIO)
    found = console.file.getvalue()
    if not set(text) & set("\x07\b\r"):  # these three rich takes away itself
        assert found.count(shown.splitlines()[0]) == 4
    assert not set(found) & set("\x1b\x9b\r\b\u202e\u2066\U000e0041\u2028\ud800\x07")


OPTIONS = [
    "run x.yaml --seed -1", "run x.yaml --seed 5 --seed 5", f"run x.yaml --seed {2**63}",
    f"run x.yaml --seed {'9' * 5000}",
    "predict r f --start nan", "predict r f --start -1", "predict r f --start inf", "predict r f --end nan",
    "predict r f --stream --window 0", "predict r f --top 0", "predict r f --top -1", f"predict r f --window {10**30}",
    "evaluate r --batch 0", "evaluate r --batch -3", "stream r f --frames 0", "stream r f --device toaster",
    "bench --threads 0", "bench --seconds 0", "bench --seconds nan", "bench --seconds inf", "bench --layers -1",
    "bench --lora 0", "bench --classes 1", "bench --frames 0", "bench --tokens -2",
    "features pack a b --fps 0", "features pack a b --fps nan", "features pack a b --fps inf",
    "features pack a b --fps 1 --tokens 0",
]  # fmt: skip


@pytest.mark.parametrize("words", OPTIONS, ids=lambda words: words[:40])
def test_a_number_out_of_bounds_is_refused(words: str) -> None:
    ended = CliRunner().invoke(main, words.split())
    assert ended.exit_code == 2 and "Invalid value for '--" in ended.output


@pytest.mark.parametrize("words", [("score", "a", "\x1b]0;title\x07"), ("stream", "a", "b", "--device", "\x1b[2J")])
def test_what_was_typed_is_shown_as_it_is(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 2
    assert "\\x1b" in done.output and "\x1b" not in done.output and "Usage: " in done.output
