"""What every dataset keeps."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gad_core.contracts.components import Corpus, Dataset
from gad_core.contracts.values import Predictions, Query, Sample
from gad_core.errors import DataError
from gad_core.testing.composition import check_works
from gad_core.testing.contract import ComponentContract, few, in_a_fresh_process

EPOCHS = ((0, 0), (1, 0), (2, 3))
"""(epoch, seed) that samples are drawn for."""


class DatasetContract(ComponentContract):
    """A dataset is opened on small files, which `component` makes in the folder it is given, and read to the end."""

    kind = "dataset"

    @pytest.fixture(scope="class")
    @classmethod
    def corpus(cls, made: Dataset) -> Corpus:
        """The opened dataset."""
        return made.open()

    # ----------------------------------------------------------------------------------------------------- opening

    def test_it_asks_what_it_supplies(self, made: Dataset, corpus: Corpus) -> None:
        """Every relation has a label space, every asked one a prompt and something to tell apart."""
        assert made.asks() and made.asks() <= made.relations()
        assert made.relations() <= set(corpus.spaces)
        assert set(corpus.prompts) == made.asks()
        assert all(len(corpus.spaces[asked]) >= 2 for asked in made.asks())
        named: dict[str, object] = {}
        for space in corpus.spaces.values():
            assert named.setdefault(space.name, space) == space, f"two label spaces are called {space.name!r}"

    def test_opening_loads_nothing_heavy(self, made: Dataset) -> None:
        """Annotations and features need no torch."""
        loaded = in_a_fresh_process(made, "component.open().samples('train')")
        assert not loaded, f"loaded {loaded}"

    def test_files_are_listed(self, made: Dataset, folder: Path) -> None:
        """All that is read lies in `files()`, and all of that is there: a run is repeated when a file changes."""
        listed = [path.resolve() for path in made.files()]
        assert all(path.exists() for path in listed)
        assert all(isinstance(content, str) and content for content in made.files().values())
        read = self.paths_read(made, folder.resolve())
        assert not [path for path in read if not any(path.is_relative_to(one) for one in listed)]

    def paths_read(self, made: Dataset, folder: Path) -> list[Path]:
        """The files within `folder` that Python opens while the dataset is opened."""
        seen = folder / "seen.txt"
        in_a_fresh_process(
            made,
            "seen = []\n"
            "sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event == 'open' else None)\n"
            "component.open()\n"
            f"open({str(seen)!r}, 'w').write('\\n'.join(seen))",
        )
        found = [Path(line).resolve() for line in seen.read_text().splitlines()]
        seen.unlink()
        return [path for path in found if path.is_relative_to(folder) and path.is_file() and path != seen]

    def test_splits(self, corpus: Corpus) -> None:
        """`train` and `test` at least; a split that is not there is told."""
        assert {"train", "test"} <= set(corpus.splits)
        assert all(len(corpus.samples(split)) for split in corpus.splits)
        with pytest.raises(DataError):
            corpus.samples("no such split")

    # ----------------------------------------------------------------------------------------------------- samples

    def test_uids_are_unique_and_the_same_everywhere(self, made: Dataset, corpus: Corpus) -> None:
        again = made.open()
        for split in corpus.splits:
            for epoch, seed in EPOCHS:
                found = corpus.samples(split, epoch, seed)
                uids = [sample.uid for sample in found]
                assert not [uid for uid, count in Counter(uids).items() if count > 1]
                assert plain(found) == plain(corpus.samples(split, epoch, seed))
                assert plain(found) == plain(again.samples(split, epoch, seed)), "another process sees other samples"

    def test_only_train_changes_with_the_epoch(self, corpus: Corpus) -> None:
        for split in set(corpus.splits) - {"train"}:
            first = plain(corpus.samples(split))
            assert all(plain(corpus.samples(split, epoch, seed)) == first for epoch, seed in EPOCHS)

    def test_samples_are_a_sequence(self, corpus: Corpus) -> None:
        found = corpus.samples("train")
        every = list(found)
        assert len(every) == len(found)
        assert plain([found[-1]]) == plain(every[-1:]) and plain(found[:2]) == plain(every[:2])
        with pytest.raises(IndexError):
            found[len(found)]

    def test_frames_are_of_the_recording(self, corpus: Corpus) -> None:
        """A clip shows frames that the features have, oldest first, none of them twice, and can be read."""
        features = corpus.features
        for sample in every_sample(corpus):
            frames = np.asarray(sample.clip.frames)
            assert len(frames) and (np.diff(frames) > 0).all(), sample.uid
            assert frames[0] >= 0 and frames[-1] < features.lengths[sample.clip.recording], sample.uid
        for sample in list(every_sample(corpus))[:20]:
            array = features.read(sample.clip.recording, sample.clip.frames)
            assert array.shape == (len(sample.clip), features.tokens, features.width)
            assert np.isfinite(array.astype(np.float32)).all()

    def test_queries_are_within_the_clip(self, made: Dataset, corpus: Corpus) -> None:
        for sample in every_sample(corpus):
            assert sample.asks in made.asks() and sample.queries, sample.uid
            assert all(1 <= query.at <= len(sample.clip) for query in sample.queries), sample.uid
            weights = [weight for query in sample.queries for weight in (query.weight, query.text)]
            assert np.isfinite(weights).all() and min(weights) >= 0, sample.uid
        asked = {sample.asks for sample in corpus.samples("train")}
        assert asked == made.asks(), "an asked relation without a training sample"

    def test_labels_are_of_the_spaces(self, made: Dataset, corpus: Corpus) -> None:
        """Relations are the promised ones, their labels of the right space; what is trained on has an answer."""
        for sample in every_sample(corpus):
            for query in sample.queries:
                assert set(query.relations) <= made.relations(), sample.uid
                for relation, refs in query.relations.items():
                    space = corpus.spaces[relation]
                    assert refs and all(ref.space == space.name and 0 <= ref.index < len(space) for ref in refs)
        for sample in corpus.samples("train"):
            assert all(query.first(sample.asks) is not None for query in sample.queries), sample.uid

    def test_a_stream_is_asked_at_every_frame_once(self, corpus: Corpus) -> None:
        """Where whole recordings are scored, each frame of a test recording is one answer, seen from its past."""
        if corpus.protocol not in ("window", "dense", "stream"):
            pytest.skip(f"protocol {corpus.protocol!r} scores no whole recordings")
        asked = Counter(
            (sample.clip.recording, int(sample.clip.frames[query.at - 1]))
            for sample in corpus.samples("test")
            for query in sample.queries
        )
        recordings = {recording for recording, _ in asked}
        assert asked == Counter((name, frame) for name in recordings for frame in range(corpus.features.lengths[name]))
        if corpus.protocol == "window":
            assert all(sample.queries[-1].at == len(sample.clip) for sample in corpus.samples("test"))

    def test_workers_can_have_it(self, corpus: Corpus) -> None:
        """Samples and features are pickled to the processes that read batches."""
        samples, features = pickle.loads(pickle.dumps((corpus.samples("train"), corpus.features)))
        assert plain(samples) == plain(corpus.samples("train"))
        clip = samples[0].clip
        read = features.read(clip.recording, clip.frames)
        assert np.array_equal(read, corpus.features.read(clip.recording, clip.frames))

    def test_the_scale_fits_the_features(self, corpus: Corpus) -> None:
        if corpus.scale is None:
            pytest.skip("the features are taken as they are: `scale` is None")
        assert corpus.scale.mean.shape == corpus.scale.deviation.shape == (corpus.features.width,)
        assert np.isfinite(corpus.scale.mean).all() and (corpus.scale.deviation > 0).all()

    # ------------------------------------------------------------------------------------------------------ scores

    def test_perfect_predictions_score_best(self, corpus: Corpus) -> None:
        """The headline is there and finite, and no change to perfect predictions raises it."""
        for split in corpus.splits:
            perfect = predictions(corpus, corpus.samples(split))
            best = corpus.score(perfect)
            assert corpus.headline in best and np.isfinite(best[corpus.headline])
            assert all(isinstance(metric, str) and isinstance(value, float) for metric, value in best.items())
            draw = np.random.default_rng(0)
            for share in (0.1, 0.5, 1.0):
                worse = predictions(corpus, corpus.samples(split), wrong=share, draw=draw)
                assert corpus.score(worse)[corpus.headline] <= best[corpus.headline] + 1e-9
            assert corpus.score(worse)[corpus.headline] < best[corpus.headline], "wrong answers score as right ones"

    @few
    @given(data=st.data())
    def test_it_works_in_compositions(self, made: Dataset, data: st.DataObject) -> None:
        """Any head trains a step on it and predicts."""
        check_works(self.compose(data, dataset=made))


def every_sample(corpus: Corpus) -> Iterator[Sample]:
    """The samples of every split, those of `train` in several epochs."""
    for split in corpus.splits:
        for epoch, seed in EPOCHS if split == "train" else EPOCHS[:1]:
            yield from corpus.samples(split, epoch, seed)


def plain(samples: Sequence[Sample]) -> list[object]:
    """Samples as values that can be compared, arrays of frames included."""
    return [
        (
            one.uid,
            one.asks,
            one.clip.recording,
            np.asarray(one.clip.frames).tolist(),
            one.band,
            *map(_plain, one.queries),
        )
        for one in samples
    ]


def _plain(query: Query) -> object:
    return query.at, dict(query.relations), query.weight, query.text


def predictions(
    corpus: Corpus, samples: Sequence[Sample], *, wrong: float = 0.0, draw: np.random.Generator | None = None
) -> Predictions:
    """Predictions that name the truth at all queries but a share of `wrong` ones, which name another label."""
    draw = draw or np.random.default_rng(0)
    rows = [(sample, query) for sample in samples for query in sample.queries]
    widest = max(len(corpus.spaces[sample.asks]) for sample, _ in rows)
    scores = np.full((len(rows), widest), -np.inf, dtype=np.float32)
    truth = np.full(len(rows), -1, dtype=np.int64)
    for row, (sample, query) in enumerate(rows):
        size, answer = len(corpus.spaces[sample.asks]), query.first(sample.asks)
        scores[row, :size] = -10.0 - np.arange(size) / size  # all of them ranked, as mAP asks
        truth[row] = -1 if answer is None else answer.index
        named = int(truth[row]) if draw.random() >= wrong else int(truth[row] + draw.integers(1, size)) % size
        scores[row, named] = 10.0
    return Predictions(
        uids=tuple(sample.uid for sample, _ in rows),
        recordings=tuple(sample.clip.recording for sample, _ in rows),
        asks=tuple(sample.asks for sample, _ in rows),
        frames=np.array([sample.clip.frames[query.at - 1] for sample, query in rows], dtype=np.int64),
        truth=truth,
        scores=scores,
    )
