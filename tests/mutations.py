"""Deliberate bugs in our own components and core, and the tests that catch them.

`python tests/mutations.py` applies those that docs/mutations.md has no line for to a copy of the sources, runs the
tests that should notice, and writes what failed to the page; `--all` tries every bug again. A trial takes seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "mutations.md"
OPENING = """# Deliberate bugs, and what catches them

Do the test kit (`gad_core.testing`) and our own tests notice when a component or the core is wrong? Each line is a bug
that was put into a copy of our own sources; behind it stand the tests that then failed. `python tests/mutations.py`
tries the bugs that have no line yet, with `--all` every one. `make check` holds that each has its place in the sources
and its line here, and applies a few of them, others with every commit; `make thorough` applies all. The first test of
its line must fail then.

| bug | in | caught by |
|---|---|---|
"""


@dataclass(frozen=True)
class Mutation:
    """A bug: `old` becomes `new` in a file. `tried` is what should notice: a class of tests/test_contracts.py, or a
    `file::test` of tests/."""

    bug: str
    file: str
    old: str
    new: str
    tried: str

    @property
    def node(self) -> str:
        """What pytest is to run."""
        return f"tests/{self.tried}" if "::" in self.tried else f"tests/test_contracts.py::{self.tried}"


SEQUENCE, HEADS, LABELS = "gad_core/model/sequence.py", "plugins/gad_heads/modules.py", "plugins/gad_labels/plugin.py"
CORPORA, CAUSAL, BATCH = "gad_core/data/corpora.py", "gad_core/huggingface/causal_lm.py", "gad_core/contracts/batch.py"
TRAINING, RESUME, RUN_FOLDER = "gad_core/runs/training.py", "gad_core/runs/resume.py", "gad_core/records/run_folder.py"
STORE, PACKING = "gad_core/data/features/store.py", "gad_core/data/features/pack.py"
DECODING, SEGMENTS = "gad_core/model/decoding.py", "gad_core/metrics/segments.py"
RESOLVE, DISCOVERY = "gad_core/registry/resolve.py", "gad_core/discovery/plugins.py"
REMEMBERS = "test_updates.py::test_a_training_interrupted_in_every_epoch_remembers_what_was_best_and_for_how_long"
DRAWS = "test_updates.py::test_phases_draw_what_one_training_of_as_many_epochs_draws"
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
    # the training loop
    Mutation(
        "gradients are never clipped",
        TRAINING,
        "self._trained(), self.options.clip or math.inf)",
        "self._trained(), math.inf)",
        "test_updates.py::test_no_update_follows_a_longer_gradient_than_clip",
    ),
    Mutation(
        "`head_learning_rate` is ignored",
        TRAINING,
        "head_rate = options.head_learning_rate or options.learning_rate",
        "head_rate = options.learning_rate",
        "test_updates.py::test_the_backbone_and_all_else_have_their_own_rates",
    ),
    Mutation(
        "a later phase repeats the draws of epoch 0",
        TRAINING,
        "self._epoch(phase, earlier + self.place.epoch,",
        "self._epoch(phase, self.place.epoch,",
        DRAWS,
    ),
    Mutation(
        "dropout draws the same in every epoch",
        TRAINING,
        'stable_seed("dropout", self.seed, self.place.step,',
        'stable_seed("dropout", self.seed, self.place.update,',
        DRAWS,
    ),
    Mutation(
        "micro-batches weigh alike whatever they hold",
        TRAINING,
        "part = batch.queries / queries",
        "part = 1.0",
        "test_training.py::test_accumulation_does_not_change_the_update",
    ),
    # resuming
    Mutation(
        "a resumed training forgets the best score",
        TRAINING,
        "self.place = point.place\n",
        "self.place = replace(point.place, best=None)\n",
        REMEMBERS,
    ),
    Mutation(
        "a resumed training forgets its patience",
        TRAINING,
        "self.place = point.place\n",
        "self.place = replace(point.place, stale=0)\n",
        REMEMBERS,
    ),
    Mutation(
        "a resumed training begins with a fresh optimiser",
        RESUME,
        '{"state": state, "param_groups"',
        '{"state": {}, "param_groups"',
        "test_training.py::test_an_interrupted_training_resumes_bit_equal",
    ),
    Mutation(
        "a damaged resume point is gone on from",
        RESUME,
        '    require_unchanged(path, record["files"], _START_OVER)\n',
        "",
        "test_run_folder.py::test_damaged_resume_points_alone_are_told",
    ),
    Mutation(
        "a finished run is removed before the next one is there",
        RUN_FOLDER,
        "if self.standing.finished or self.standing.interrupted:",
        "if self.standing.interrupted:",
        "test_run_folder.py::test_force_keeps_the_old_run_until_the_new_one_is_there",
    ),
    # the store
    Mutation(
        "an interrupted packing keeps recordings whose source has changed",
        PACKING,
        "stamps.get(name) == entry.source",
        "name in stamps",
        "test_replaced_files.py::test_an_interrupted_packing_goes_on_with_what_the_sources_hold_now",
    ),
    Mutation(
        "a replaced store is read on from the old map",
        STORE,
        "if _READERS[key].state[:2] != _state(path)[:2]:",
        "if not path.exists():",
        "test_replaced_files.py::test_a_replaced_store_is_read_on_by_who_has_it_open_and_opened_by_nobody_here",
    ),
    Mutation(
        "a store that was written to is read on",
        STORE,
        "if _state(self.handle) != self.state:",
        "if _state(self.handle)[:2] != self.state[:2]:",
        "test_replaced_files.py::test_a_store_that_changes_in_place_is_read_no_further",
    ),
    # the registry
    Mutation(
        "a sweep's fault is blamed on its first option",
        RESOLVE,
        "change = changes[touching[-1]]",
        "change = next(iter(changes.values()))",
        "test_sweeps.py::test_the_faulty_option_is_blamed_wherever_it_stands_among_others",
    ),
    Mutation(
        "options that do not go together are blamed on the last one that varies",
        RESOLVE,
        "touching = [option for option in touching if needed(option)] or touching",
        "pass",
        "test_sweeps.py::test_the_faulty_option_is_blamed_wherever_it_stands_among_others",
    ),
    Mutation(
        "equal points of a sweep run twice",
        "gad_core/registry/sweep.py",
        "elif experiment.options_key() in equal:",
        "elif experiment.name in equal:",
        "test_sweeps.py::test_what_has_no_effect_is_emptied_and_equal_points_run_once",
    ),
    # metrics, and what is said of names
    Mutation(
        "a segment lies mostly where more than half of it lies",
        SEGMENTS,
        ">= self.ends - self.starts",
        "> self.ends - self.starts",
        "test_halves.py::test_a_segment_lies_mostly_where_at_least_half_of_it_lies",
    ),
    Mutation(
        "a rule is told that explains more than half of the names",
        "gad_core/files/matching.py",
        "2 * explained >= len(names)",
        "2 * explained > len(names)",
        "test_halves.py::test_a_rule_is_told_that_explains_at_least_half_of_the_names",
    ),
    Mutation(
        "a frame whose centre a segment ends on is the segment's",
        "gad_core/data/times.py",
        '"centre": (math.ceil(first - 0.5), math.ceil(stop - 0.5)),',
        '"centre": (math.floor(first + 0.5), math.floor(stop + 0.5)),',
        "test_halves.py::test_a_centre_on_a_bound_belongs_where_the_rule_says",
    ),
    Mutation(
        "several predictions claim one true segment",
        SEGMENTS,
        "won[claims[first]] = True",
        "won[claims] = True",
        "test_metrics.py::test_segments_keep_one_claim_a_truth",
    ),
    Mutation(
        "the edit score is relative to the true segments alone",
        "gad_core/metrics/edit.py",
        "longest = max(len(truth), len(predicted))",
        "longest = len(truth)",
        "test_metrics.py::test_every_score_is_a_percentage",
    ),
    # decoding and streams
    Mutation(
        "equally near labels go by their order in the label space",
        DECODING,
        "key=lambda index: (distances[index], forms[index])",
        "key=lambda index: distances[index]",
        "test_decoding.py::test_of_equally_near_labels_the_first_in_the_alphabet_is_taken",
    ),
    Mutation(
        "the search among many labels stops when one query is certain",
        DECODING,
        "(self._open().amax(1) <= self.scores.amax(1)).all()",
        "(self._open().amax(1) <= self.scores.amax(1)).any()",
        "test_decoding.py::test_a_search_goes_on_until_every_query_is_certain",
    ),
    Mutation(
        "a choice in the trie counts with its logit",
        DECODING,
        "float(choices.log_softmax(0)[chosen])",
        "float(choices[chosen])",
        "test_decoding.py::test_trie_follows_the_likeliest_choice_at_every_fork",
    ),
    Mutation(
        "a young stream loses a frame at the last position",
        "gad_core/model/streaming.py",
        "kept = np.minimum(seen - 1, len(latest))",
        "kept = np.minimum(np.maximum(seen - 2, 0), len(latest))",
        "test_streaming.py::test_a_stream_of_any_age_goes_on_beyond_the_last_position",
    ),
    # discovery
    Mutation(
        "`SystemExit` in a hook is not caught",
        "gad_core/discovery/guard.py",
        "        except BaseException as error:\n            problem",
        "        except Exception as error:\n            problem",
        "test_plugins.py::test_a_hook_that_wants_to_end_the_command_loses_its_own_components_alone",
    ),
    Mutation(
        "a plugin for another gad is taken",
        "gad_core/discovery/visit.py",
        "if PLUGIN_API in stated:",
        "if stated is not None:",
        "test_plugins.py::test_a_broken_plugin_is_listed_and_stops_nobody",
    ),
    Mutation(
        "of several components of one name the first is taken",
        DISCOVERY,
        "if len(found) == 1:\n            return",
        "if found:\n            return",
        "test_plugins.py::test_a_name_collision_names_both_and_a_prefix_chooses",
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
    """The tests that fail on a bug in a copy of the sources, which is mended again; of a class all, or `only` one."""
    path, node = root / mutation.file, mutation.node
    sound = path.read_text(encoding="utf-8")
    if only and not node.endswith(only):
        node = f"{node}::{only}"
    one = ["--exitfirst"] if "::test_" in node else []
    path.write_text(mutated(mutation, root), encoding="utf-8")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *one, node],
            capture_output=True, text=True, check=False, cwd=root,
            env={name: value for name, value in os.environ.items() if name != "GAD_THOROUGH"}
            | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins"), *sys.path])}
            | {"HYPOTHESIS_PROFILE": "trial"},
        )  # fmt: skip
    finally:
        path.write_text(sound, encoding="utf-8")
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stdout + ended.stderr)
    return list(dict.fromkeys(re.findall(r"(?:FAILED|ERROR) \S+?::(test_\w+)", ended.stdout)))


def listed() -> dict[str, str]:
    """The lines of the page, by their bug."""
    lines = (line for line in PAGE.read_text(encoding="utf-8").splitlines(keepends=True) if " | `" in line)
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def rows(known: Mapping[str, str]) -> Iterator[str]:
    """The lines of the page: those that are `known`, the others each after a trial."""
    with copied() as root:
        for mutation in MUTATIONS:
            if mutation.bug in known:
                yield known[mutation.bug]
                continue
            found = caught(mutation, root)
            told = ", ".join(f"`{test}`" for test in found[:4]) + (f" and {len(found) - 4} more" if found[4:] else "")
            row = f"| {mutation.bug} | `{mutation.file}` | {told or '**nothing**'} |\n"
            print(row, end="", flush=True)
            yield row


if __name__ == "__main__":
    PAGE.write_text(OPENING + "".join(rows({} if "--all" in sys.argv else listed())), encoding="utf-8")
