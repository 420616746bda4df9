"""Deliberate bugs in our own components and core, and the properties of the kit that catch them.

`python tests/mutations.py` applies each to a copy of the sources, runs the contracts of the components it touches, and
writes what failed to docs/mutations.md. Takes some minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "mutations.md"
OPENING = """# Deliberate bugs, and what catches them

Does the test kit (`gad_core.testing`) notice when a component is wrong? Each line is a bug that was put into a copy of
our own sources; behind it stand the properties that then failed. `python tests/mutations.py` makes this page again;
`GAD_THOROUGH=1 pytest tests/test_mutations.py` applies every bug and holds the kit to the first property of its line.

| bug | in | caught by |
|---|---|---|
"""


@dataclass(frozen=True)
class Mutation:
    """A bug: `old` becomes `new` in a file. `tried` are the contract tests of tests/test_contracts.py to run."""

    bug: str
    file: str
    old: str
    new: str
    tried: str


SEQUENCE, HEADS, LABELS = "gad_core/sequence.py", "plugins/gad_heads/modules.py", "plugins/gad_labels/plugin.py"
CORPORA, CAUSAL, BATCH = "gad_core/corpora.py", "gad_core/causal_lm.py", "gad_core/batch.py"
MUTATIONS = (
    Mutation(
        "sequences are padded on the left",
        SEQUENCE,
        "    return {name: torch.from_numpy(column) for name, column in columns.items()}\n",
        "    rolled = {n: [np.roll(v, width - r.length) for v, r in zip(c, rows)] for n, c in columns.items()}\n"
        "    return {name: torch.from_numpy(np.stack(column)) for name, column in rolled.items()}\n",
        "TestDiscriminative",
    ),
    Mutation(
        "a query sees one frame too many",
        SEQUENCE,
        "trunk.frame_ends[query.at - 1]",
        "trunk.frame_ends[min(query.at, len(sample.clip) - 1)]",
        "TestDiscriminative",
    ),
    Mutation(
        "a query sees one frame too few",
        SEQUENCE,
        "trunk.frame_ends[query.at - 1]",
        "trunk.frame_ends[max(query.at - 2, 0)]",
        "TestLastFrame",
    ),
    Mutation(
        "mask hole: branches see one another",
        BATCH,
        "(node[:, None] == own[..., None])",
        "(node[:, None] > TRUNK)",
        "TestGad",
    ),
    Mutation("mask hole: branches see the whole trunk", BATCH, " & (place < reach[..., None])", "", "TestGad"),
    Mutation(
        "[CLS] stands after the text in GAD",
        "plugins/gad_heads/plugin.py",
        "return ((Slot.CLS, *WRITTEN),)",
        "return ((*WRITTEN, Slot.CLS),)",
        "TestGad",
    ),
    Mutation(
        "the answer is laid out in prediction",
        "plugins/gad_heads/plugin.py",
        "return (WRITTEN,) if stage is Stage.TRAIN else ((Slot.CUE,),)",
        "return (WRITTEN,)",
        "TestGenerativeTrie",
    ),
    Mutation(
        "a head makes a layer for a label space that nobody asks",
        HEADS,
        "for name, space in targets.items()})\n",
        "for name, space in targets.items()})\n        self.layers['unused'] = nn.Linear(hidden_size, 2)\n",
        "TestDiscriminative",
    ),
    Mutation(
        "a loss is a sum over queries",
        HEADS,
        "(weights * entropy).sum() / batch.queries",
        "(weights * entropy).sum()",
        "TestDiscriminative",
    ),
    Mutation(
        "scores beyond a label space are 0",
        HEADS,
        "(batch.queries, widest), -torch.inf",
        "(batch.queries, widest), 0.0",
        "TestDiscriminative",
    ),
    Mutation(
        "a classifier asks for logits",
        HEADS,
        "        return self.scores(self.read(states, batch), batch)\n\n\nclass Gad",
        "        lm.logits(states.flatten(0, 1)[batch.places])\n"
        "        return self.scores(self.read(states, batch), batch)\n\n\nclass Gad",
        "TestDiscriminative",
    ),
    Mutation(
        "codes are merged in pairs", LABELS, "tuple((row + index,)", "tuple((row + index // 2,)", "TestUniqueToken"
    ),
    Mutation(
        "label spaces reserve rows that nobody uses",
        LABELS,
        "row += len(space)",
        "row += 2 * len(space)",
        "TestUniqueToken",
    ),
    Mutation(
        "an unseeded draw", LABELS, "np.random.default_rng(seed)", "np.random.default_rng()", "TestDesynchronised"
    ),
    Mutation("codes are drawn from ids to avoid", LABELS, "text.special | avoid", "text.special", "TestDesynchronised"),
    Mutation(
        "`previous` reads the next action",
        "plugins/gad_auxiliary/plugin.py",
        'query.relations.get("previous", ())',
        'query.relations.get("next", ())',
        "TestPrevious",
    ),
    Mutation("position ids are not passed on", CAUSAL, "position_ids=positions", "position_ids=None", "TestLlamaTiny"),
    Mutation(
        "the last block sees one token too many",
        CAUSAL,
        "[..., None])[:, None]",
        "[..., None] + 1)[:, None]",
        "TestLlamaTiny",
    ),
    Mutation(
        "states that predict supervised tokens are not said to be read",
        SEQUENCE,
        "        read[index, [column for column, _, _ in row.supervised]] = True\n",
        "",
        "TestGad",
    ),
    Mutation(
        "an adapter on an output projection that is not used",
        CAUSAL,
        'targets + ["lm_head"] * lm_head',
        'targets + ["lm_head"]',
        "TestLlamaTinyWithAdapters",
    ),
    Mutation(
        "weights are drawn without the seed",
        "plugins/gad_llama/tiny.py",
        "        torch.default_generator.manual_seed(stream)\n",
        "        torch.seed()\n",
        "TestLlamaTiny",
    ),
    Mutation(
        "a stream's query stands one frame early",
        CORPORA,
        "frame - frames.start + 1",
        "frame - frames.start",
        "TestKitchenWindows",
    ),
    Mutation(
        "test windows change with the epoch",
        CORPORA,
        'if split == "train"\n',
        'if split == "test"\n',
        "TestKitchenWindows",
    ),
    Mutation(
        "two samples have one uid", CORPORA, 'f"{ask}/{recording}/{number}"', 'f"{ask}/{recording}"', "TestKitchenClips"
    ),
    Mutation(
        "the worst answer scores best",
        CORPORA,
        "found.scores[:, : len(space)])",
        "-found.scores[:, : len(space)])",
        "TestKitchenClips",
    ),
    Mutation(
        "a file that is read is not listed",
        "plugins/gad_segments/plugin.py",
        '            self.annotations: "rows of recording, start, end, label, split and, if known, goal",\n',
        "",
        "TestSegmentsClips",
    ),
    Mutation(
        "opening a dataset imports torch",
        "plugins/gad_segments/corpus.py",
        "import numpy as np\n",
        "import numpy as np\nimport torch\n",
        "TestSegmentsClips",
    ),
)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the sources and of the tests they need."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("gad_core", "plugins", "tests"):
            shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "guests"))
        shutil.copy(PROJECT / "pyproject.toml", root)
        yield root


def mutated(mutation: Mutation, root: Path) -> str:
    """The text of the file with the bug in it; raises `ValueError` unless there is one place for it."""
    text = (root / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.bug}: {mutation.file} has {text.count(mutation.old)} places for it, not one")
    return text.replace(mutation.old, mutation.new)


def caught(mutation: Mutation, root: Path, only: str = "") -> list[str]:
    """The contract tests that fail on a bug in a copy of the sources, which is mended again; all, or `only` one."""
    path = root / mutation.file
    sound = path.read_text(encoding="utf-8")
    chosen = ["tests/test_contracts.py", "-k", f"{mutation.tried} and not {mutation.tried}With"]
    chosen[-1] += f" and {only}" if only else ""
    path.write_text(mutated(mutation, root), encoding="utf-8")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *chosen],
            capture_output=True, text=True, check=False, cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins"), *sys.path])},
        )  # fmt: skip
    finally:
        path.write_text(sound, encoding="utf-8")
    found = re.findall(rf"(?:FAILED|ERROR) \S+::{mutation.tried}::(\w+)", ended.stdout)
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stdout + ended.stderr)
    return list(dict.fromkeys(found))


def rows() -> Iterator[str]:
    """The lines of the page, each after a trial."""
    with copied() as root:
        for mutation in MUTATIONS:
            found = caught(mutation, root)
            told = ", ".join(f"`{test}`" for test in found[:4]) + (f" and {len(found) - 4} more" if found[4:] else "")
            row = f"| {mutation.bug} | `{mutation.file}` | {told or '**nothing**'} |\n"
            print(row, end="", flush=True)
            yield row


if __name__ == "__main__":
    PAGE.write_text(OPENING + "".join(rows()), encoding="utf-8")
