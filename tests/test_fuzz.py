"""Damaged inputs end with 0, or with 2 and a message; and what must not be is noticed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import click
import lmdb
import numpy as np
import pytest
from fuzz import attempt
from fuzz.attempt import Call
from fuzz.cases import SPECIAL, Case, Order, kinds, orders
from fuzz.formats import BY_SUFFIX, damaged
from fuzz.lab import Lab
from fuzz.options import Command, odd_words
from fuzz.values import ESCAPES, OUTSIDE

TESTS = Path(__file__).resolve().parent
PLANTED = f"""\
import os, signal, sys, time

def main(words, prog_name):
    print("working")
    for word in words:
        exec(word)

def endless():
    while True: pass

ESCAPES, OUTSIDE = {ESCAPES!r}, {str(OUTSIDE)!r}
"""


def test_a_thousand_damaged_inputs(tmp_path: Path) -> None:
    words = ["--inputs", "1000", "--torch", "0.03", "--processes", "1", "--kept", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", *words],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout
    for kind in ("registries", "annotations", "score files", "stores", "feature files", "runs", "command options"):
        assert kind in done.stdout


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("sys.exit(3)", "exit code 3"),
        ("sys.exit('told')", "exit code 1"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS"),
        ("endless()", "takes more than"),
        ("time.sleep(60)", "takes more than"),
        ("print('Traceback (most recent call last)')", "Traceback"),
        ("print(ESCAPES)", "prints"),
        ("os.write(2, b'\\x9b')", ""),  # no text
        ("print('\\x9b', file=sys.stderr)", "prints"),
        ("open('../stray', 'w')", "stray"),
        ("open('../../stray', 'w')", "stray"),
        ("open(OUTSIDE, 'w')", OUTSIDE.name),
        ("bytes(2**30)", ""),
        ("bytes(2**32)", "MemoryError"),
        ("print('\\ud800')", "UnicodeEncodeError"),
        ("print('said'), sys.exit(2)", ""),
        ("pass", ""),
    ],
)
def test_what_must_not_be_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, finding: str
) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(attempt.PROGRAMS, "planted", "planted")
    monkeypatch.setattr(attempt, "SECONDS", 1.0)
    lab = Lab(tmp_path / "lab")
    tried = lab.attempt(Case("", "", Call("planted", (statement,)), (), {}))
    assert (tried.finding is None) if not finding else (tried.finding and finding in tried.finding.key[0])
    assert lab.attempt(Case("", "", Call("planted", ("pass",)), (), {})).finding is None, "nothing is left behind"


def test_a_whole_input_must_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(attempt.PROGRAMS, "planted", "planted")
    call = Call("planted", ("print('said'), sys.exit(2)",))
    tried = Lab(tmp_path / "lab").attempt(Case("", "", call, (), {}, whole=True))
    assert tried.finding is not None
    assert "nothing is damaged" in tried.finding.what


def test_where_it_happened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(attempt.PROGRAMS, "planted", "planted")
    monkeypatch.setattr(attempt, "PROJECT", tmp_path)
    monkeypatch.setattr(attempt, "OURS", (f"{tmp_path}/",))
    monkeypatch.setattr(attempt, "SECONDS", 1.0)
    lab = Lab(tmp_path / "lab")
    for statement, place in (("1 / 0", "planted.py:6 main"), ("endless()", "planted.py:9 endless")):
        tried = lab.attempt(Case("", "", Call("planted", (statement,)), (), {}))
        assert tried.finding is not None
        assert tried.finding.at == place


def whole_file(suffix: str) -> bytes:
    """A small file that can be read as what its ending says."""
    file = io.BytesIO()
    if suffix == ".npy":
        np.save(file, np.ones((3, 2)))
    elif suffix in (".npz", ".zip", ".pt"):
        np.savez(file, a=np.ones((3, 2)), b=np.array("x"))
    elif suffix == ".safetensors":
        file.write((32).to_bytes(8, "little") + b'{"a": {"dtype": "F32"}}'.ljust(32))
    elif suffix == ".lmdb":
        with tempfile.NamedTemporaryFile() as place, lmdb.open(place.name, subdir=False, lock=False) as store:
            with store.begin(write=True) as transaction:
                transaction.put(b"\0header", b'{"a": 1}')
            return Path(place.name).read_bytes()
    else:
        file.write(b'{"a": [1, 2, {"b": "c"}]}\n' * (2 if suffix == ".jsonl" else 1))
    return file.getvalue()


@pytest.mark.parametrize("suffix", [*BY_SUFFIX, ".unknown"])
def test_equal_seeds_make_equal_damage(suffix: str) -> None:
    data = whole_file(suffix)
    for seed in range(30):
        assert damaged(f"x{suffix}", data, Random(seed)) == damaged(f"x{suffix}", data, Random(seed))
    assert len({damaged(f"x{suffix}", data, Random(seed)) for seed in range(30)}) > 10


def test_a_case_is_kept_and_read_again(tmp_path: Path) -> None:
    changes = {"a.bin": bytes(range(256)), **{f"{what}/x": what for what in SPECIAL}}
    case = Case("kind", "name", Call("gad", ("check", "\udcff\x1b")), ("a.bin",), changes, whole=False)
    assert Case.read(case.text()) == case
    case.apply(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == changes["a.bin"]
    assert (tmp_path / "pipe" / "x").is_fifo()
    assert (tmp_path / "folder" / "x").is_dir()
    assert not (tmp_path / "absent" / "x").exists()


def test_every_kind_has_its_share() -> None:
    every = list(orders(20_000, 0, 0.1))
    assert 20_000 <= len(every) < 20_500
    counts = [sum(order.target == number for order in every) for number in range(len(kinds()))]
    assert min(counts) >= 3
    assert every == list(orders(20_000, 0, 0.1))
    assert Order(1, 0, 5) not in every


def test_a_new_option_is_tried_by_itself() -> None:
    new = click.Command("new", params=[click.Option(["--just-made"], type=int), click.Argument(["file"])])
    drawn = [odd_words(Command("gad made", new), Random(seed)) for seed in range(60)]
    values = {word for words in drawn for word in words if "--just-made" in words}
    assert len(values) > 10
