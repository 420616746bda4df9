"""Reading a written answer back into a closed set of labels, three ways.

`free`       greedy decoding over the whole vocabulary, then the nearest label by edit distance (the authors' way);
`trie`       greedy decoding among the codes alone: it always ends in a label, and forced tokens cost no step;
`score-all`  the exact log-likelihood of every label, over the trie of codes as one forking branch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from gad_core.language import LOGITS_AT_ONCE, Decoding, LanguageModel, Writer
from gad_core.sequence import Ending
from gad_core.trie import Trie
from gad_core.values import LabelRef, LabelSpace

LABELS_AT_MOST = 4
"""How many labels of the greatest length a text that is written to its end may hold."""
NODES_AT_ONCE = 1024
"""Trie nodes a query sends through the model in one pass."""


def label_scores(lm: LanguageModel, states: Tensor, decoding: Decoding) -> Tensor:
    """Scores (Q, C) of the labels each query may answer, -inf beyond its own label space.

    `free`: minus the edit distance to the decoded answer. `trie`: the log-probability of the decoded label among the
    codes, -inf elsewhere. `score-all`: log-likelihoods. `states` (B, L, H) were made with `lm.cache`.
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
    distances = {answer: nearest(lm, answer, space) for answer in set(answers)}
    return torch.stack([distances[answer] for answer in answers])


def nearest(lm: LanguageModel, ids: tuple[int, ...], space: LabelSpace) -> Tensor:
    """Minus the Levenshtein distance from a decoded answer to every label, (C,).

    Readable codes compare texts (lower-cased, without full stops and spaces at the ends), others token ids. Equal
    distances are ordered alphabetically, by less than one edit.
    """
    if lm.codebook.readable:
        answer = lm.text(list(ids)).strip().rstrip(". ").lower()
        distances = [Levenshtein.distance(answer, label.lower()) for label in space.labels]
    else:
        distances = [Levenshtein.distance(ids, code) for code in lm.codebook.codes[space.name]]
    rank = torch.empty(len(space))
    rank[sorted(range(len(space)), key=space.labels.__getitem__)] = torch.arange(len(space)) / (2.0 * len(space))
    return -(torch.tensor(distances, dtype=torch.float32) + rank)


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
    """log p(code) + log p(end | code) of every label, (Q, C); an unclosed code has no end."""
    trie, queries = lm.trie(space.name), len(writer.rows)
    likelihood = torch.zeros(queries, len(trie.nodes), device=writer.states.device)  # log p(prefix)
    ends = torch.full((queries, len(space)), -torch.inf, device=writer.states.device)
    for nodes, states in _node_states(lm, writer, trie):
        at_once = max(1, LOGITS_AT_ONCE // (queries * lm.model.transformer.vocabulary))
        for first in range(0, len(nodes), at_once):
            part = nodes[first : first + at_once]
            log_p = lm.logits(states[:, first : first + at_once].flatten(0, 1)).log_softmax(-1)
            log_p = log_p.unflatten(0, (queries, len(part)))
            for column, place in enumerate(part):
                node = trie.nodes[place]
                if node.children:
                    below = list(node.children.values())
                    likelihood[:, below] = likelihood[:, [place]] + log_p[:, column, list(node.children)]
                if node.label is not None:
                    closes = ending.tokens and LabelRef(space.name, node.label) not in ending.unclosed
                    end = log_p[:, column, list(ending.tokens)].logsumexp(-1) if closes else 0.0
                    ends[:, node.label] = likelihood[:, place] + end
    return ends


def _node_states(lm: LanguageModel, writer: Writer, trie: Trie) -> Iterator[tuple[list[int], Tensor]]:
    """Yields (nodes, states (Q, n, H)) over the whole trie, parents first; the tree goes through in few passes."""
    yield [0], writer.states[:, None]
    device, queries = writer.rows.device, len(writer.rows)
    columns = torch.zeros(queries, len(trie.nodes), dtype=torch.int64, device=device)  # of each node in the cache
    for first in range(1, len(trie.nodes), NODES_AT_ONCE):
        nodes = list(range(first, min(first + NODES_AT_ONCE, len(trie.nodes))))
        tokens = torch.tensor([trie.nodes[place].token for place in nodes], device=device)
        depth = torch.tensor([trie.nodes[place].depth for place in nodes], device=device)
        tree, cached = writer.sight(len(nodes)), lm.cached
        for index, place in enumerate(nodes):
            for above in (place, *trie.ancestors(place)):
                seen = cached + above - first if above >= first else columns[:, above]
                tree[torch.arange(queries, device=device), index, seen] = True
        embeddings = lm.model.embed(tokens).expand(queries, len(nodes), -1)
        states, columns[:, first : first + len(nodes)] = writer.extend(embeddings, depth.expand(queries, -1), tree)
        yield nodes, states


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
