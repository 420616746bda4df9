"""Reading a written answer back into a closed set of labels, three ways.

`free`       greedy decoding over the whole vocabulary, then the nearest label by edit distance (the authors' way);
`trie`       greedy decoding among the codes alone: it always ends in a label, and forced tokens cost no step;
`score-all`  the exact log-likelihood of every label, over the trie of codes as one forking branch; where there are very
             many labels, of the likeliest ones, best prefix first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from gad_core.contracts.values import LabelRef, LabelSpace
from gad_core.model.language import LOGITS_AT_ONCE, Decoding, LanguageModel, Writer
from gad_core.model.sequence import Ending
from gad_core.model.trie import Trie

LABELS_AT_MOST = 4
"""How many labels of the greatest length a text that is written to its end may hold."""
NODES_AT_ONCE = 1024
"""Trie nodes a query sends through the model in one pass."""
NODES_AT_MOST = 8192
"""Trie nodes up to which `score-all` scores every label; of more it finds the likeliest labels."""
FOLLOWED_AT_ONCE = 64
"""Prefixes a query follows in one pass, where not all are."""


def label_scores(lm: LanguageModel, states: Tensor, decoding: Decoding) -> Tensor:
    """Scores (Q, C) of the labels each query may answer, -inf beyond its own label space.

    `free`: minus the edit distance from the decoded answer to the label nearest to it, -inf elsewhere. `trie`: the
    log-probability of the decoded label among the codes, -inf elsewhere. `score-all`: log-likelihoods. `states`
    (B, L, H) were made with `lm.cache`.
    """
    read = {"free": _free, "trie": _constrained, "score-all": _every_label}[decoding]
    spaces = sorted(set(lm.batch.spaces))
    widest = max(len(lm.space(name)) for name in spaces)
    scores = states.new_full((lm.batch.queries, widest), -torch.inf, dtype=torch.float32)
    for name in spaces:
        members = torch.tensor([q for q, space in enumerate(lm.batch.spaces) if space == name], device=states.device)
        found = read(lm, lm.write(states, members), lm.space(name), lm.ending(name))
        scores[members, : found.shape[1]] = found.to(scores.device)
    return scores


# ------------------------------------------------------------------------------------------------------------- free


def write_greedily(lm: LanguageModel, writer: Writer, space: LabelSpace, ending: Ending, limit: int) -> list[list[int]]:
    """Decodes each query greedily to its end, `limit` tokens at most; the ends themselves are not returned.

    A code that nothing follows (`Ending.unclosed`, or any code where no token ends one) stops its query at once.
    """
    stops = {lm.eos, *ending.tokens}
    answers: list[list[int]] = [[] for _ in writer.rows]
    unfinished = set(range(len(answers)))
    for step in range(limit):
        if step:
            writer.append_tokens([answer[-1:] if q in unfinished else [] for q, answer in enumerate(answers)])
        chosen = lm.logits(writer.states).argmax(dim=-1).tolist()
        for query in sorted(unfinished):
            if chosen[query] in stops:
                unfinished.discard(query)
                continue
            answers[query].append(chosen[query])
            label = lm.codebook.exact(space.name, answers[query])
            if label is not None and (not ending.tokens or LabelRef(space.name, label) in ending.unclosed):
                unfinished.discard(query)
        if not unfinished:
            break
    return answers


def _free(lm: LanguageModel, writer: Writer, space: LabelSpace, ending: Ending) -> Tensor:
    longest = max(len(code) for code in lm.codebook.codes[space.name])
    answers = [tuple(answer) for answer in write_greedily(lm, writer, space, ending, longest + 1)]
    found = {answer: nearest(lm, answer, space) for answer in set(answers)}
    scores = torch.full((len(answers), len(space)), -torch.inf)
    for query, answer in enumerate(answers):
        label, distance = found[answer]
        scores[query, label] = -distance
    return scores


def nearest(lm: LanguageModel, ids: tuple[int, ...], space: LabelSpace) -> tuple[int, int]:
    """The label a decoded answer is nearest to, and its Levenshtein distance; of equally near ones the first in the
    alphabet.

    Readable codes compare texts with the labels' written forms, both as `compared` gives them; others token ids.
    """
    forms = written_forms(space)
    if lm.codebook.readable:
        answer = compared(lm.text(list(ids)), keep_lead=lm.prompt(space.name).keep_lead)
        distances = [Levenshtein.distance(answer, form) for form in forms]
    else:
        distances = [Levenshtein.distance(ids, code) for code in lm.codebook.codes[space.name]]
    label = min(range(len(space)), key=lambda index: (distances[index], forms[index]))
    return label, distances[label]


@lru_cache(maxsize=8)
def written_forms(space: LabelSpace) -> tuple[str, ...]:
    """How free decoding compares each label."""
    return tuple(compared(form) for form in space.written)


def compared(text: str, *, keep_lead: bool = False) -> str:
    """A text as free decoding compares it: lower-cased, without spaces around it or full stops behind it.

    `keep_lead` leaves the blank that stands before a written answer, as the authors' COIN code does (REFERENCE).
    """
    return (text if keep_lead else text.strip()).rstrip(". ").lower()


# ------------------------------------------------------------------------------------------------------------- trie


def _constrained(lm: LanguageModel, writer: Writer, space: LabelSpace, ending: Ending) -> Tensor:
    trie, queries = lm.trie(space.name), len(writer.rows)
    scores = torch.full((queries, len(space)), -torch.inf)
    place, total = [0] * queries, [0.0] * queries
    runs = [_forced(trie, place, query) for query in range(queries)]
    unfinished = list(range(queries))
    while unfinished:
        if any(runs):
            writer.append_tokens(runs)
        logits = lm.logits(writer.states).cpu()
        runs = [[] for _ in range(queries)]
        for query in list(unfinished):
            children = trie.nodes[place[query]].children
            options = list(children)
            choices = logits[query, options]
            if trie.nodes[place[query]].label is not None:
                choices = torch.cat([choices, logits[query, list(ending.tokens)].logsumexp(0, keepdim=True)])
            chosen = int(choices.argmax())
            total[query] += float(choices.log_softmax(0)[chosen])
            if chosen < len(options):
                place[query] = children[options[chosen]]
                runs[query] = [options[chosen], *_forced(trie, place, query)]
            node = trie.nodes[place[query]]
            if chosen == len(options) or _settled(node.label, bool(node.children), ending, space):
                assert node.label is not None
                scores[query, node.label] = total[query]
                unfinished.remove(query)
                runs[query] = []
    return scores


def _settled(label: int | None, has_children: bool, ending: Ending, space: LabelSpace) -> bool:
    """Whether a code that has come this far can only end here."""
    if label is None:
        return False
    return not has_children or not ending.tokens or LabelRef(space.name, label) in ending.unclosed


def _forced(trie: Trie, place: list[int], query: int) -> list[int]:
    """Walks `place[query]` down to the next real choice and returns the tokens on the way."""
    tokens: list[int] = []
    node = trie.nodes[place[query]]
    while node.label is None and len(node.children) == 1:
        ((token, place[query]),) = node.children.items()
        tokens.append(token)
        node = trie.nodes[place[query]]
    return tokens


# -------------------------------------------------------------------------------------------------------- score-all


def _every_label(lm: LanguageModel, writer: Writer, space: LabelSpace, ending: Ending) -> Tensor:
    """log p(code) + log p(end | code) of every label, (Q, C); an unclosed code has no end.

    Beyond `NODES_AT_MOST` nodes only the likeliest prefixes are followed: see `_Search`.
    """
    trie = lm.trie(space.name)
    search = _Search(lm, writer, trie, space, ending)
    search.look(np.zeros((len(writer.rows), 1), dtype=np.int64), writer.states[:, None])
    if len(trie.nodes) <= NODES_AT_MOST:
        for first in range(1, len(trie.nodes), NODES_AT_ONCE):
            search.follow(
                np.arange(first, min(first + NODES_AT_ONCE, len(trie.nodes)))[None].repeat(len(writer.rows), 0)
            )
    else:
        while not search.certain():
            search.follow(search.likeliest(FOLLOWED_AT_ONCE))
    return search.scores


class _Search:
    """The codes of a label space behind some queries, followed through the trie from the root down.

    `likelihood` (Q, N) is log p of the prefix each node stands for, -inf where its parent was not looked at yet. What
    follows a prefix is never likelier than the prefix: once the likeliest complete label of a query is likelier than
    every prefix that was not looked at, it is the likeliest of all. Labels that were not reached keep -inf.
    """

    def __init__(self, lm: LanguageModel, writer: Writer, trie: Trie, space: LabelSpace, ending: Ending) -> None:
        self.lm, self.writer, self.ending, self.tree = lm, writer, ending, trie.arrays
        queries, nodes, device = len(writer.rows), len(trie.nodes), writer.states.device
        self.scores = torch.full((queries, len(space)), -torch.inf, device=device)
        self.likelihood = torch.full((queries, nodes), -torch.inf, device=device)
        self.likelihood[:, 0] = 0.0
        self.looked = np.zeros((queries, nodes), dtype=bool)
        self.columns = torch.zeros(queries, nodes, dtype=torch.int64, device=device)  # of a node in the cache
        self.unclosed = np.array([LabelRef(space.name, label) in ending.unclosed for label in range(len(space))])
        order = np.argsort(self.tree.parent, kind="stable")  # children, those of one parent together
        self._children, self._parents = order, self.tree.parent[order]

    def follow(self, nodes: np.ndarray) -> None:
        """Sends nodes, (Q, n), whose parents were looked at or stand before them, through the model."""
        queries, count = nodes.shape
        device, rows = self.writer.states.device, np.arange(queries)[:, None]
        chain = self.tree.chain[nodes]  # (Q, n, depth)
        place = np.full(self.looked.shape, -1)
        place[rows, nodes] = np.arange(count)
        new = place[rows[..., None], chain]  # where in this pass a node of the chain goes, -1: it is in the cache
        above = torch.as_tensor(chain, device=device).flatten(1)
        cached = self.columns.gather(1, above).view(chain.shape)
        seen = torch.where(
            torch.as_tensor(new >= 0, device=device), torch.as_tensor(new, device=device) + self.lm.cached, cached
        )
        own = torch.arange(count, device=device)[None, :, None] + self.lm.cached
        tree = self.writer.sight(count)
        tree.scatter_(2, torch.where(torch.as_tensor(chain > 0, device=device), seen, own), True)
        embeddings = self.lm.model.embed(torch.as_tensor(self.tree.token[nodes], device=device))
        depth = torch.as_tensor(self.tree.depth[nodes], device=device)
        states, columns = self.writer.extend(embeddings, depth, tree)
        self.columns.scatter_(1, torch.as_tensor(nodes, device=device), columns)
        at_once = max(1, LOGITS_AT_ONCE // (queries * self.lm.model.transformer.vocabulary))
        for first in range(0, count, at_once):
            self.look(nodes[:, first : first + at_once], states[:, first : first + at_once])

    def look(self, nodes: np.ndarray, states: Tensor) -> None:
        """Notes what may follow nodes (Q, n) at their states (Q, n, H), parents before their children."""
        log_p = self.lm.logits(states.flatten(0, 1)).log_softmax(-1).unflatten(0, nodes.shape)
        rows = np.arange(len(nodes))[:, None].repeat(nodes.shape[1], 1).reshape(-1)
        column, node = np.arange(nodes.shape[1])[None].repeat(len(nodes), 0).reshape(-1), nodes.reshape(-1)
        self.looked[rows, node] = True
        for depth in np.unique(self.tree.depth[node]):
            here = np.flatnonzero(self.tree.depth[node] == depth)
            self._note_children(log_p, rows[here], column[here], node[here])
            self._note_labels(log_p, rows[here], column[here], node[here])

    def _note_children(self, log_p: Tensor, rows: np.ndarray, column: np.ndarray, node: np.ndarray) -> None:
        first, stop = (np.searchsorted(self._parents, node, side=side) for side in ("left", "right"))
        counts = stop - first
        edge = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(counts) + first.repeat(counts)
        rows, column, node, child = (*(part.repeat(counts) for part in (rows, column, node)), self._children[edge])
        self.likelihood[rows, child] = self.likelihood[rows, node] + log_p[rows, column, self.tree.token[child]]

    def _note_labels(self, log_p: Tensor, rows: np.ndarray, column: np.ndarray, node: np.ndarray) -> None:
        label = self.tree.label[node]
        ends = np.flatnonzero(label >= 0)
        rows, column, node, label = rows[ends], column[ends], node[ends], label[ends]
        end = torch.zeros(len(ends), device=log_p.device)
        if self.ending.tokens and len(ends):
            closing = log_p[rows, column][:, list(self.ending.tokens)].logsumexp(-1)
            end = torch.where(torch.as_tensor(self.unclosed[label], device=log_p.device), end, closing)
        self.scores[rows, label] = self.likelihood[rows, node] + end

    def _open(self) -> Tensor:
        """The likelihood of prefixes that may be followed, -inf elsewhere, (Q, N)."""
        return self.likelihood.masked_fill(torch.as_tensor(self.looked, device=self.likelihood.device), -torch.inf)

    def certain(self) -> bool:
        """Whether no prefix that is left is likelier than the best label of its query."""
        return bool((self._open().amax(1) <= self.scores.amax(1)).all())

    def likeliest(self, count: int) -> np.ndarray:
        """The likeliest prefixes to follow next, (Q, n); a query that has fewer follows its likeliest one again."""
        open_ = self._open()
        most = int((~torch.isinf(open_)).sum(1).max())
        chosen = open_.topk(min(count, most), dim=1)
        again = self.likelihood[:, 1:].argmax(1, keepdim=True) + 1
        return torch.where(torch.isinf(chosen.values), again, chosen.indices).cpu().numpy()


# ---------------------------------------------------------------------------------------------------- text, then [CLS]


def cls_behind_text(lm: LanguageModel, states: Tensor) -> Tensor:
    """Writes every query's answer and whatever follows it to the end, then reads [CLS] behind it, (Q, H)."""
    writer = lm.write(states)
    write_to_end(lm, writer)
    return writer.append_cls()


def write_to_end(lm: LanguageModel, writer: Writer) -> None:
    """Writes greedily behind every query until its EOS, which is written too, as it was in training.

    A background answer that training leaves unclosed ends without one. Stops at the length of
    `LABELS_AT_MOST` of the longest label.
    """
    limit = LABELS_AT_MOST * max(len(code) + 1 for codes in lm.codebook.codes.values() for code in codes)
    written: list[list[int]] = [[] for _ in writer.rows]
    unfinished = set(range(len(written)))
    for _ in range(limit):
        chosen = lm.logits(writer.states).argmax(dim=-1).tolist()
        runs: list[list[int]] = [[] for _ in written]
        for query in sorted(unfinished):
            written[query].append(chosen[query])
            runs[query] = [chosen[query]]
            if chosen[query] == lm.eos or _is_unclosed(lm, lm.batch.spaces[query], written[query]):
                unfinished.discard(query)
        writer.append_tokens(runs)
        if not unfinished:
            return


def _is_unclosed(lm: LanguageModel, space: str, ids: list[int]) -> bool:
    ending = lm.ending(space)
    label = lm.codebook.exact(space, ids)
    return label is not None and LabelRef(space, label) in ending.unclosed and ending.tokens == (lm.eos,)
