"""The core's service to heads: logits at given states, states of texts, the generation loss, and writing.

Heads never see the transformer. Logits are only ever made for the states handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gad_core.contracts.batch import Batch
from gad_core.contracts.values import Codebook, LabelSpace, Prompt
from gad_core.model.sequence import Ending
from gad_core.model.trie import Trie

if TYPE_CHECKING:
    from gad_core.model.action_model import ActionModel

Decoding = Literal["free", "trie", "score-all"]
LOGITS_AT_ONCE = 1 << 26
"""Most logits held at a time in the generation loss; beyond it they are made again in the backward pass."""


class LanguageModel:
    """What a head may ask of the language model about one batch."""

    def __init__(self, model: ActionModel, batch: Batch, cache: Any = None) -> None:
        self.model, self.batch, self.cache = model, batch, cache
        self.cached = batch.tokens.shape[1]

    @property
    def codebook(self) -> Codebook:
        """How labels are written."""
        assert self.model.assembler.writing is not None
        return self.model.assembler.writing.codebook

    @property
    def eos(self) -> int:
        """The id that ends a text."""
        return self.model.assembler.text.eos

    def space(self, name: str) -> LabelSpace:
        """A label space by its name."""
        return next(space for space in self.model.assembler.spaces.values() if space.name == name)

    def ending(self, space: str) -> Ending:
        """How written answers of a label space end."""
        return self.model.assembler.ending(self._asked(space))

    def prompt(self, space: str) -> Prompt:
        """The texts around the questions that a label space answers."""
        return self.model.assembler.prompts[self._asked(space)]

    def _asked(self, space: str) -> str:
        """The first relation that a label space answers."""
        assembler = self.model.assembler
        return next(relation for relation in assembler.prompts if assembler.spaces[relation].name == space)

    def text(self, ids: list[int]) -> str:
        """The text of token ids."""
        return self.model.assembler.text.decode([token for token in ids if token < self.codebook.vocabulary])

    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits, (N, H) → (N, V + R) float32: the vocabulary's, then those of the new label rows."""
        known = self.model.transformer.logits(states).float()
        rows = self.model.rows
        return known if rows is None else torch.cat([known, states.float() @ rows.float().T], dim=-1)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The state at the last token of each text, read on its own from the beginning, (n, H); gradients flow."""
        text, device = self.model.assembler.text, self.batch.tokens.device
        opening = [] if text.bos is None else [text.bos]
        rows = [opening + text.encode(one) for one in texts]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        width = int(lengths.max())
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
        positions = torch.arange(width, device=device).expand_as(tokens)
        states = self.model.transformer(self.model.embed(tokens), None, positions)
        return states[torch.arange(len(rows), device=device), lengths - 1]

    def generation_loss(self, states: Tensor, *, weighted: bool) -> Tensor:
        """Mean over the queries of the mean cross-entropy over each one's supervised tokens, times `Query.text`.

        `weighted` applies the queries' weights (the paper's generative head does, its GAD head does not).
        """
        batch = self.batch
        losses = self._token_losses(states.flatten(0, 1)[batch.source], batch.target)
        sums = losses.new_zeros(batch.queries).index_add(0, batch.owner, losses)
        counts = torch.bincount(batch.owner, minlength=batch.queries).clamp(min=1)
        means = sums / counts * batch.texts
        return (means * batch.weights if weighted else means).mean()

    def _token_losses(self, states: Tensor, targets: Tensor) -> Tensor:
        def losses(states: Tensor, targets: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(self.logits(states), targets, reduction="none")

        size = max(1, LOGITS_AT_ONCE // self.model.transformer.vocabulary)
        if len(states) <= size:
            return losses(states, targets)
        parts = zip(states.split(size), targets.split(size), strict=True)
        return torch.cat([checkpoint(losses, *part, use_reentrant=False) for part in parts])

    def trie(self, space: str) -> Trie:
        """The codes of a label space as a prefix tree."""
        tries = self.model.tries
        if space not in tries:
            tries[space] = Trie(self.codebook.codes[space])
        return tries[space]

    def write(self, states: Tensor, members: Tensor | None = None) -> Writer:
        """Starts writing behind the read-out of every query, or of `members` (n,) alone."""
        batch = self.batch
        chosen = torch.arange(batch.queries, device=states.device) if members is None else members
        rows, columns = batch.rows[chosen], batch.readout[chosen]
        return Writer(
            lm=self,
            rows=rows,
            states=states[rows, columns],
            seen=batch.visible(rows, columns[:, None])[:, 0],
            positions=batch.positions[rows, columns],
        )


@dataclass
class Writer:
    """Text being written behind queries of a batch, in the shared key-value cache.

    `rows` (Q,) is the sequence of each query, `states` (Q, H) that of its latest token, `seen` (Q, S) which cached
    tokens it sees, `positions` (Q,) its position id.
    """

    lm: LanguageModel
    rows: Tensor
    states: Tensor
    seen: Tensor
    positions: Tensor
    _place: Tensor = field(init=False)  # (Q,): which of its row's queries this is
    _abreast: int = field(init=False)  # the most queries a row has

    def __post_init__(self) -> None:
        same = self.rows[:, None] == self.rows[None, :]
        self._place = same.tril(-1).sum(dim=1)
        self._abreast = int(self._place.max()) + 1

    def extend(self, embeddings: Tensor, depth: Tensor, tree: Tensor) -> tuple[Tensor, Tensor]:
        """Appends n tokens to every query; returns their states (Q, n, H) and their columns in the cache (Q, n).

        `embeddings` is (Q, n, H), `depth` (Q, n) ≥ 1 counts from the latest token, and `tree` (Q, n, S + n) bool tells
        which of the S cached and n new tokens each one sees.
        """
        lm, device = self.lm, embeddings.device
        queries, count, hidden = embeddings.shape
        past, batch_rows = lm.cached, len(lm.batch.tokens)
        wide = self._abreast * count
        column = self._place[:, None] * count + torch.arange(count, device=device)  # (Q, n)
        rows = self.rows[:, None].expand_as(column)
        inputs = embeddings.new_zeros(batch_rows, wide, hidden)
        inputs[rows, column] = embeddings
        positions = torch.zeros(batch_rows, wide, dtype=torch.int64, device=device)
        positions[rows, column] = self.positions[:, None] + depth
        sees = torch.zeros(queries, count, past + wide, dtype=torch.bool, device=device)
        sees[..., :past] = tree[..., :past]
        sees.scatter_(2, (past + column)[:, None].expand(queries, count, count), tree[..., past:])
        mask = torch.zeros(batch_rows, wide, past + wide, dtype=torch.bool, device=device)
        mask[:, :, past:] = torch.eye(
            wide, dtype=torch.bool, device=device
        )  # an unused place sees itself: no empty row
        mask[rows, column] = sees
        states = lm.model.transformer(inputs, mask[:, None], positions, lm.cache)
        lm.cached = past + wide
        return states[rows, column], past + column

    def sight(self, count: int) -> Tensor:
        """`tree` for `count` new tokens that see what their query sees and nothing of one another, (Q, n, S + n)."""
        queries, size = self.seen.shape
        tree = torch.zeros(queries, count, self.lm.cached + count, dtype=torch.bool, device=self.seen.device)
        tree[..., :size] = self.seen[:, None]
        return tree

    def append(self, embeddings: Tensor, lengths: Tensor) -> None:
        """Appends a run of tokens to every query, (Q, n, H), of which the first `lengths` (Q,) ≥ 0 are real.

        `states`, `seen` and `positions` move on to each query's last real token; with length 0 they stay.
        """
        queries, count, _ = embeddings.shape
        index = torch.arange(count, device=embeddings.device)
        tree = self.sight(count)
        tree[..., self.lm.cached :] = index[None, :] <= index[:, None]
        states, columns = self.extend(embeddings, (index + 1).expand(queries, count), tree)
        last = states[torch.arange(queries, device=index.device), (lengths - 1).clamp(min=0)]
        self.states = torch.where((lengths > 0)[:, None], last, self.states)
        seen = torch.zeros(queries, self.lm.cached, dtype=torch.bool, device=index.device)
        seen[:, : self.seen.shape[1]] = self.seen
        self.seen = seen.scatter(1, columns, index[None, :] < lengths[:, None])
        self.positions = self.positions + lengths

    def append_tokens(self, runs: list[list[int]]) -> None:
        """Appends each query's own run of token ids; an empty run leaves it where it is."""
        count = max(len(run) for run in runs)
        tokens = torch.tensor([run + [0] * (count - len(run)) for run in runs], device=self.rows.device)
        self.append(self.lm.model.embed(tokens), torch.tensor([len(run) for run in runs], device=self.rows.device))

    def append_cls(self) -> Tensor:
        """Appends the [CLS] vector to every query and returns its state, (Q, H)."""
        cls = self.lm.model.cls
        assert cls is not None
        vector = cls.to(self.states.dtype).expand(len(self.rows), 1, -1)
        self.append(vector, torch.ones_like(self.rows))
        return self.states
