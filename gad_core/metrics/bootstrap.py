"""Paired bootstrap: is one score better than another, or would other recordings and other seeds have told otherwise?

Efron & Tibshirani 1993, *An Introduction to the Bootstrap*; Koehn 2004, *Statistical Significance Tests for Machine
Translation Evaluation*. Recordings are drawn, not answers: those of one recording resemble one another. All runs on one
test set see the same draws, so that what is easy or hard about a draw is so for each of them. docs/metrics.md, "Which
difference counts".
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gad_core.contracts.components import Corpus
from gad_core.contracts.seeds import stable_seed
from gad_core.contracts.values import Predictions
from gad_core.errors import CheckpointError

DRAWS = 1000
"""How often the recordings of a test set are drawn anew."""
LEAST_DRAWS = 100
AFFORDED = 200_000_000
"""Scores that are looked at, over all draws, where every draw is scored from its answers."""
FEWEST = 6
"""Recordings below which no difference counts: were there none, five would still agree in one of sixteen cases."""
OUTSIDE = 0.05
"""What the interval of a difference leaves out, half of it on either side."""
STREAMS = frozenset({"window", "dense", "stream"})
"""The protocols whose answers follow one another in time."""


@dataclass(frozen=True)
class Resampled:
    """The metrics of a run in every draw of its test set's recordings.

    `answers` and `recordings` tell how much was scored, `asked` the answers to each relation; `test_set` is a hash of
    what was asked and what is true.
    `metrics` are (B,) each; those that cannot be resampled are absent.
    """

    answers: int
    recordings: int
    test_set: str
    metrics: Mapping[str, np.ndarray]
    asked: Mapping[str, int] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays to keep in a file beside the predictions."""
        return {
            "resampled": np.array(list(self.metrics.values()), dtype=np.float32),
            "resampled_metrics": np.array(list(self.metrics), dtype=np.str_),
            "scored": np.array([self.answers, self.recordings, *self.asked.values()]),
            "scored_asks": np.array(list(self.asked), dtype=np.str_),
            "test_set": np.array(self.test_set, dtype=np.str_),
        }


def load_resampled(path: Path) -> Resampled:
    """What `Resampled.arrays` left in a file of predictions; raises `CheckpointError` where it cannot be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names, drawn = file["resampled_metrics"].tolist(), file["resampled"]
            answers, recordings, *counts = file["scored"].tolist()
            asked = dict(zip(file["scored_asks"].tolist(), counts, strict=True))
            return Resampled(answers, recordings, str(file["test_set"]), dict(zip(names, drawn, strict=True)), asked)
    except KeyError:
        reason, hint = "the predictions were not drawn anew when they were made", "run the experiment with `--force`"
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason, hint = f"cannot be read: {error}", "run the experiment again with `gad run --force`"
    raise CheckpointError(reason, where=str(path), hint=hint)


def resample(corpus: Corpus, predictions: Predictions, score: Mapping[str, float | None]) -> Resampled:
    """Draws the recordings of some predictions anew; `score` is what `Corpus.score` says of them.

    The recordings as they are come first; a metric whose value there is not the one of `score` is left out, since what
    was drawn is then something else.
    """
    recordings = len(dict.fromkeys(predictions.recordings))
    times = np.concatenate([np.ones((1, recordings), np.int64), draws(recordings)])
    drawn = corpus.resampled(predictions, times)
    metrics = {
        name: values[1:]
        for name, values in (rescored(corpus, predictions, times) if drawn is None else drawn).items()
        if (value := score.get(name)) is not None and np.isclose(values[0], value, rtol=1e-5, atol=1e-5)
    }
    asks = Counter(ask for ask, known in zip(predictions.asks, counted(corpus, predictions), strict=True) if known)
    return Resampled(asks.total(), recordings, hashed(predictions), metrics, dict(asks))


def draws(recordings: int, count: int = DRAWS) -> np.ndarray:
    """(count, recordings) how often each draw has each recording; the same in every run, and fewer are the first of
    more."""
    return np.random.default_rng(0).multinomial(recordings, np.full(recordings, 1 / recordings), size=count)


def rescored(corpus: Corpus, predictions: Predictions, times: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of each draw by `Corpus.score` of its answers, those of a recording as often as it was drawn.

    Right where a score looks at one answer at a time; nothing is given where answers follow one another in time. Of
    large test sets fewer draws are scored.
    """
    if corpus.protocol in STREAMS:
        return {}
    rows: dict[str, list[int]] = {}
    for row, recording in enumerate(predictions.recordings):
        rows.setdefault(recording, []).append(row)
    members = [np.array(found) for found in rows.values()]
    count = min(len(times), max(LEAST_DRAWS, AFFORDED // max(1, predictions.scores.size)))
    tables = []
    for draw in times[:count]:
        chosen = np.concatenate([np.tile(member, number) for member, number in zip(members, draw, strict=True)])
        tables.append(corpus.score(predictions.take(chosen)))
    return {name: np.array([table.get(name, np.nan) for table in tables]) for name in tables[0]}


def counted(corpus: Corpus, predictions: Predictions) -> np.ndarray:
    """(N,) which answers are scored: those whose truth is known and not an ignored class."""
    known = predictions.truth >= 0
    asks = np.asarray(predictions.asks, dtype=object)
    for ask in dict.fromkeys(predictions.asks):
        space = corpus.spaces[ask]
        ignored = [label for label in space.ignored if label != space.background]
        known = known & ~((asks == ask) & np.isin(predictions.truth, ignored))
    return known


def hashed(predictions: Predictions) -> str:
    """A short hash of what was asked and what is true."""
    digest = hashlib.sha256("\n".join([*predictions.uids, *predictions.asks]).encode())
    for part in (predictions.frames, predictions.truth):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------- differences


def drawn_means(seeds: Sequence[int], values: Sequence[np.ndarray]) -> np.ndarray:
    """(B,) the mean over seeds in each draw, in which the seeds are drawn too; `values` are (B,) a seed.

    What the draw of n seeds adds is scaled by √(n / (n − 1)), without which the spread of so few would come out too
    small (Rao & Wu 1988). Experiments with the same seeds get the same draws.
    """
    table = np.stack(values)
    count, drawn = table.shape
    chosen = np.random.default_rng(stable_seed("seeds", *seeds)).integers(count, size=(count, drawn))
    middle = table.mean(axis=0)
    moved = np.take_along_axis(table, chosen, axis=0).mean(axis=0) - middle
    return middle + np.sqrt(count / max(1, count - 1)) * moved


def interval(difference: np.ndarray) -> tuple[float, float]:
    """The central 95 % of a drawn difference; NaN where a tenth or more of the draws leave it undefined."""
    defined = difference[np.isfinite(difference)]
    if len(defined) < 0.9 * len(difference) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [OUTSIDE / 2, 1 - OUTSIDE / 2])
    return float(low), float(high)
