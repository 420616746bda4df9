"""An experiment taken apart for the reader: options, layout, an example sequence, what trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import yaml
from rich.console import Console
from rich.table import Table

from gad_core.contracts.batch import Batch
from gad_core.contracts.components import Corpus
from gad_core.contracts.values import Sample, Slot, Stage
from gad_core.errors import DataError
from gad_core.model.action_model import ActionModel
from gad_core.model.sequence import Assembler
from gad_core.registry.experiment import Experiment
from gad_core.report.console import make_console
from gad_core.runs.run import make_model
from gad_core.runs.study import require_files

PARTS = ("backbone", "connector", "cls", "rows", "head")


def describe(experiment: Experiment, *, split: str, uid: str | None, console: Console | None = None) -> None:
    """Prints everything `gad show` shows. Raises `GadError` where the experiment cannot be built."""
    console = console or make_console()
    require_files([experiment])
    corpus = experiment.dataset.open()
    model = make_model(experiment, corpus, experiment.seeds[0])
    options = yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True)
    console.rule(f"{experiment.name}: options")
    console.print(options, highlight=False, markup=False)
    console.rule("layout")
    for stage in Stage:
        branches = [" ".join(slot.name for slot in branch) for branch in experiment.head.layout(stage)]
        console.print(f"{stage.value:8} {' | '.join(branches) or 'the last visible frame is read'}", markup=False)
    console.print(f"protocol {corpus.protocol}; " + "; ".join(f"{key}: {used}" for key, used in corpus.usage.items()))
    for sample in _examples(corpus, split, uid):
        console.rule(f"example {sample.uid}, asks {sample.asks}")
        batch = model.assembler([sample], corpus.features, Stage.TRAIN)
        console.print(sequence_table(batch, model.assembler))
        for where, reads, learns in example_sentences(batch, model.assembler):
            console.print(f"{where} reads:  {reads}", soft_wrap=True, highlight=False, markup=False)
            if learns:
                console.print(f"{where} learns: {learns}", soft_wrap=True, highlight=False, markup=False)
    console.rule("parameters")
    console.print(parameter_table(model))


def _examples(corpus: Corpus, split: str, uid: str | None) -> list[Sample]:
    """The sample of the given uid, or the first one of every asked relation."""
    samples = corpus.samples(split)
    if uid is not None:
        chosen = [sample for sample in samples if sample.uid == uid]
        if not chosen:
            raise DataError(f"split {split!r} has no sample {uid!r}", hint=f"the first one is {samples[0].uid!r}")
        return chosen
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.asks, sample)
    return list(first.values())


def example_text(batch: Batch, assembler: Assembler) -> list[tuple[str, str, str]]:
    """The first sequence of a batch as runs of one slot: (branch, slot, tokens); supervised tokens follow a `*`."""
    rows = []
    for node, columns in _by_branch(batch):
        for slot, run in groupby(columns, lambda column: int(batch.slots[0, column])):
            places = list(run)
            words = [_word(batch, assembler, column) for column in places]
            if slot == Slot.FRAMES:
                words = [f"⟨v⟩×{len(places)}"]
            starred = ["*" + word if _is_supervised(batch, column) else word
                       for word, column in zip(words, places, strict=False)]  # fmt: skip
            rows.append((_where(node), Slot(slot).name, "·".join(starred)))
    return rows


def example_sentences(batch: Batch, assembler: Assembler) -> list[tuple[str, str, str]]:
    """The first sequence of a batch as it reads: (branch, its text, the part of it that is supervised)."""
    return [
        (
            _where(node),
            _sentence(batch, assembler, columns),
            _sentence(batch, assembler, [column for column in columns if _is_supervised(batch, column)]),
        )
        for node, columns in _by_branch(batch)
    ]


def _by_branch(batch: Batch) -> list[tuple[int, list[int]]]:
    """The trunk (0) and the branches of the first sequence, with their columns."""
    columns = [column for column in range(batch.tokens.shape[1]) if batch.slots[0, column] != Slot.PAD]
    return [(node, list(members)) for node, members in groupby(columns, lambda column: int(batch.node[0, column]))]


def _where(node: int) -> str:
    return f"branch {node}" if node else "trunk"


def _sentence(batch: Batch, assembler: Assembler, columns: Sequence[int]) -> str:
    """Tokens as one text: what the tokenizer can write is decoded together, frames are counted."""
    parts: list[str] = []
    for kind, run in groupby(columns, lambda column: _kind(batch, assembler, column)):
        places = list(run)
        if kind == "text":
            parts.append(repr(assembler.text.decode([int(batch.tokens[0, column]) for column in places]))[1:-1])
        elif kind == "frames":
            parts.append(f"⟨v⟩×{len(places)}")
        else:
            parts += [_word(batch, assembler, column) for column in places]
    return "".join(parts)


def _kind(batch: Batch, assembler: Assembler, column: int) -> str:
    slot, token = int(batch.slots[0, column]), int(batch.tokens[0, column])
    if slot == Slot.FRAMES:
        return "frames"
    named = (assembler.text.eos, assembler.text.bos)
    return "sign" if slot == Slot.CLS or token in named or token >= assembler.text.vocabulary else "text"


def _is_supervised(batch: Batch, column: int) -> bool:
    """Whether the token at `column` is what the token it follows is trained to predict."""
    if batch.slots[0, column] in (Slot.FRAMES, Slot.CLS, Slot.PROMPT):
        return False
    first_of_branch = column == 0 or batch.node[0, column] != batch.node[0, column - 1]
    before = int(batch.limit[0, column]) - 1 if first_of_branch else column - 1
    return bool(((batch.source == before) & (batch.target == batch.tokens[0, column])).any())


def _word(batch: Batch, assembler: Assembler, column: int) -> str:
    slot, token = int(batch.slots[0, column]), int(batch.tokens[0, column])
    if slot == Slot.CLS:
        return "[CLS]"
    if token >= assembler.text.vocabulary:
        return f"⟨new {token - assembler.text.vocabulary}⟩"
    if token == assembler.text.eos:
        return "⟨eos⟩"
    if token == assembler.text.bos:
        return "⟨bos⟩"
    return repr(assembler.text.decode([token]))[1:-1]


def sequence_table(batch: Batch, assembler: Assembler) -> Table:
    """The first sequence of a batch, a line for every run of one slot."""
    table = Table("where", "slot", "tokens (* is supervised)", show_lines=False)
    for where, slot, text in _folded(example_text(batch, assembler)):
        table.add_row(where, slot, text.replace("[", r"\["))
    counts = Counter(batch.owner.tolist())
    table.caption = f"{int((batch.slots[0] != Slot.PAD).sum())} tokens, {sum(counts.values())} supervised"
    return table


def _folded(rows: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """The rows with pairs that repeat (a frame and what separates it from the next) written once, and how often."""
    place = 0
    while place < len(rows):
        pair, times = rows[place : place + 2], 1
        while len(pair) == 2 and rows[place + 2 * times : place + 2 * times + 2] == pair:
            times += 1
        for where, slot, text in pair if times > 1 else rows[place : place + 1]:
            yield f"{where}, {times} times" if times > 1 else where, slot, text
        place += 2 * times if times > 1 else 1


def parameter_table(model: ActionModel) -> Table:
    """How many parameters each part has, and how many of them train."""
    table = Table("part", "parameters", "trained")
    trained = set(model.trainable)
    for part in PARTS:
        parameters = list(model.part(part))  # type: ignore[arg-type]
        if parameters:
            own = sum(parameter.numel() for name, parameter in parameters if name in trained)
            table.add_row(part, f"{sum(parameter.numel() for _, parameter in parameters):,}", f"{own:,}")
    return table
