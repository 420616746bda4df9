"""From an experiment to its model: the one place where the five components meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from gad_core.contracts.components import Backbone, LabelTokenizer, TextTokenizer
from gad_core.contracts.values import Codebook, LabelSpace, Prompt
from gad_core.errors import CodebookError, DataError, RegistryError
from gad_core.model.action_model import ActionModel, Connector
from gad_core.model.sequence import Assembler, Writing
from gad_core.model.trie import Trie
from gad_core.registry.compatibility import compatibility, repeats_the_answer
from gad_core.registry.experiment import Experiment


def compose(
    experiment: Experiment,
    *,
    spaces: Mapping[str, LabelSpace],
    prompts: Mapping[str, Prompt],
    width: int,
    seed: int,
) -> ActionModel:
    """The model of an experiment, initialised from `seed` alone, on the CPU, in training mode.

    `spaces` is the label space of every relation, `prompts` the prompt of every asked one, `width` that of a frame
    token. Raises `RegistryError` when the components do not fit, `DataError` and `CodebookError` when the labels
    cannot be told apart or written.
    """
    for problem in compatibility(experiment):
        raise RegistryError(problem.message, where=f"experiment {experiment.name}: {problem.slot}", hint=problem.hint)
    text = tokenizer(experiment.backbone, spaces, prompts)
    assembler = make_assembler(experiment, text, spaces=spaces, prompts=prompts, seed=seed)
    head = experiment.head
    targets = {spaces[asked].name: spaces[asked] for asked in prompts} if head.classifies else {}
    for task in assembler.classified:
        (relation,) = task.needs()
        targets[f"auxiliary/{task.name}"] = spaces[relation]
    with seeded(seed):
        transformer = experiment.backbone.build(text, seed)
        transformer.adapt(lm_head=head.speaks)
        return ActionModel(
            transformer=transformer,
            connector=Connector(width, transformer.hidden_size),
            head=head.build(transformer.hidden_size, targets),
            assembler=assembler,
            new_rows=assembler.writing.codebook.new_rows if assembler.writing else 0,
        )


def tokenizer(backbone: Backbone, spaces: Mapping[str, LabelSpace], prompts: Mapping[str, Prompt]) -> TextTokenizer:
    """The backbone's tokenizer; one that makes its vocabulary makes it from all the run will write."""
    around = [text for prompt in prompts.values() for text in (prompt.before, prompt.after, prompt.cue, prompt.joiner)]
    labels = [prompt.lead + text for prompt in prompts.values() for space in spaces.values() for text in space.written]
    return backbone.text(list(dict.fromkeys(around + labels)))


def make_assembler(
    experiment: Experiment,
    text: TextTokenizer,
    *,
    spaces: Mapping[str, LabelSpace],
    prompts: Mapping[str, Prompt],
    seed: int,
) -> Assembler:
    """The assembler of an experiment, with the codebook of every label that can be written."""
    for asked in prompts:
        if len(spaces[asked]) < 2:
            raise DataError(
                f"label space '{spaces[asked].name}' has one label, {spaces[asked].labels[0]!r}: nothing to tell apart",
                hint="check the annotations: at least two labels are needed",
            )
    written = tuple(
        task for task in experiment.auxiliary if task.form == "written" and not repeats_the_answer(task, prompts)
    )
    classified = tuple(task for task in experiment.auxiliary if task.form == "classified")
    writing = None
    if experiment.head.speaks:
        assert experiment.labels is not None
        relations = [*prompts, *sorted({relation for task in written for relation in task.needs()})]
        reachable = {spaces[relation].name: spaces[relation] for relation in relations}
        codebook = make_codebook(experiment.labels, list(reachable.values()), text, prompts, seed)
        writing = Writing(codebook, written)
    assembler = Assembler(
        head=experiment.head, text=text, spaces=spaces, prompts=prompts, writing=writing, classified=classified
    )
    if writing and not experiment.head.classifies:
        _refuse_ambiguous_ends(assembler, writing.codebook)
    return assembler


def make_codebook(
    labels: LabelTokenizer,
    spaces: Sequence[LabelSpace],
    text: TextTokenizer,
    prompts: Mapping[str, Prompt],
    seed: int,
) -> Codebook:
    """The codes of some label spaces; none contains the end of a text, or what stands between two labels."""
    prompt = next(iter(prompts.values()))
    joiners = frozenset(token for asked in prompts.values() if asked.joiner for token in text.encode(asked.joiner))
    codebook = labels.codebook(spaces, text, lead=prompt.lead, avoid=joiners, seed=seed)
    codebook.refuse([text.eos], "the token that ends a text")
    return codebook


def _refuse_ambiguous_ends(assembler: Assembler, codebook: Codebook) -> None:
    """An answer that is read back from what is written must have one reading: no code holds the joiner and, without a
    joiner, none opens another."""
    for asked in assembler.prompts:
        space, ending = assembler.spaces[asked], assembler.ending(asked)
        codebook.refuse(
            [token for token in ending.tokens if token != assembler.text.eos], "the text between two labels"
        )
        opened = Trie(codebook.codes[space.name]).opened_by_another() if not ending.tokens else []
        if opened:
            raise CodebookError(
                f"{space.labels[opened[0]]!r} opens another label of space '{space.name}', "
                "and labels follow one another without anything between them",
                hint="set a `joiner` in the dataset's prompt, or use 'unique-token'",
            )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers are `seed`'s inside, and what they were before outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
