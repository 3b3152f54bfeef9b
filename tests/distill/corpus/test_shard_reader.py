"""Shards are read: every clip once, however they are split over ranks and workers."""

import json
import resource
import tarfile
from collections import Counter
from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from core.errors import DataError, OutputError, SettingsError
from distill.corpus.shard_reader import ShardCorpus, unpack_corpus
from distill.corpus.shard_writer import write_shards
from distill.corpus.waveform_store import MANIFEST_FILE, OFFSETS_FILE, SAMPLES_FILE, WaveformStore

N_CLIPS = 29  # of the fixture `corpus`


def paths_of(clips):
    return [clip.record.row.path for clip in clips]


def batches_in_turn(corpus, taken=0):
    """Batches of paths as a DataLoader delivers them, after those taken: the workers in turn."""
    split = corpus.state_after(0)
    n_workers, size = split["workers"], split["batch_size"]
    shares = [paths_of(corpus.clips((number + taken) % n_workers)) for number in range(n_workers)]
    cut = [[share[start : start + size] for start in range(0, len(share), size)] for share in shares]
    return [batch for turn in zip_longest(*cut) for batch in turn if batch]


splits = st.fixed_dictionaries(
    {
        "world_size": st.integers(1, 40),
        "workers": st.integers(1, 4),
        "batch_size": st.integers(1, 5),
        "shuffle_clips": st.sampled_from([1, 3, 100]),
        "seed": st.sampled_from([None, 0, 5]),
    }
)


def test_the_store_of_a_corpus_is_the_store_of_its_recordings(data, corpus, tmp_path):
    folder, rows = data
    built = WaveformStore.build([row for row in rows if row.role == "train"], folder, tmp_path / "built")
    unpacked = unpack_corpus(corpus, tmp_path / "unpacked")
    assert unpacked.rows == built.rows
    for name in (SAMPLES_FILE, OFFSETS_FILE, MANIFEST_FILE):
        assert (tmp_path / "unpacked" / name).read_bytes() == (tmp_path / "built" / name).read_bytes()


def test_a_store_for_which_the_disk_has_no_room_is_refused_before_a_sample_is_written(corpus, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="out cannot be written: "):
            unpack_corpus(corpus, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "out").iterdir()) == []


@given(splits)
@settings(max_examples=25)
def test_every_clip_comes_once_over_all_ranks_and_workers(corpus, split):
    counts = Counter()
    for rank in range(split["world_size"]):
        part = ShardCorpus(corpus, rank=rank, remainder="keep", **split)
        counts.update(path for worker in range(split["workers"]) for path in paths_of(part.clips(worker)))
    assert counts == {f"pack/{number}.wav": 1 for number in range(N_CLIPS)}


@given(splits, st.sampled_from(["repeat", "drop"]))
@settings(max_examples=25)
def test_every_rank_has_the_same_number_of_batches_of_the_same_sizes(corpus, split, remainder):
    if remainder == "drop":
        split = split | {"world_size": min(split["world_size"], N_CLIPS)}
    parts = [ShardCorpus(corpus, rank=rank, remainder=remainder, **split) for rank in range(split["world_size"])]
    batches = [batches_in_turn(part) for part in parts]
    assert len({tuple(map(len, of_rank)) for of_rank in batches}) == 1
    assert {part.n_batches() for part in parts} == {len(batches[0])}
    counts = Counter(path for of_rank in batches for batch in of_rank for path in batch)
    spare = counts.total() - N_CLIPS
    if remainder == "repeat":
        assert len(counts) == N_CLIPS and 0 <= spare < split["world_size"]
    else:
        assert set(counts.values()) == {1} and 0 <= -spare < split["world_size"]


@given(splits, st.data())
@settings(max_examples=30)
def test_a_position_within_an_epoch_gives_exactly_the_rest(corpus, split, drawn):
    rank = drawn.draw(st.integers(0, split["world_size"] - 1))
    part = ShardCorpus(corpus, rank=rank, **split)
    part.set_epoch(3)
    whole = batches_in_turn(part)
    first, more = sorted(drawn.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    resumed = ShardCorpus(corpus, rank=rank, **split)
    resumed.load_state(json.loads(json.dumps(part.state_after(first))))
    assert batches_in_turn(resumed, first) == whole[first:]
    again = ShardCorpus(corpus, rank=rank, **split)
    again.load_state(resumed.state_after(more))
    assert batches_in_turn(again, more) == whole[more:]


@pytest.mark.long
@pytest.mark.parametrize("taken", [0, 5])
def test_a_dataloader_with_workers_delivers_these_batches_in_this_order(corpus, taken):
    split = {"world_size": 2, "rank": 1, "workers": 2, "batch_size": 2, "seed": 1}
    part = ShardCorpus(corpus, **split)
    part.load_state(part.state_after(taken))
    expected = batches_in_turn(part, taken)
    delivered = list(DataLoader(part, batch_size=2, num_workers=2, collate_fn=list, multiprocessing_context="spawn"))
    assert [[row.path for row, _ in batch] for batch in delivered] == expected
    assert len(expected) == part.n_batches() - taken
    row, waveform = delivered[0][0]
    assert waveform.dtype == np.int16 and abs(len(waveform) / 16_000 - 0.06 - 0.005 * int(row.path[5:-4])) < 1e-3


def test_epochs_and_seeds_differ_in_order_and_no_seed_reads_as_written(corpus):
    def order(seed, epoch, **split):
        part = ShardCorpus(corpus, seed=seed, **split)
        part.set_epoch(epoch)
        return tuple(row.path for row, _ in part)

    orders = {order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4 and order(1, 1) in orders
    assert len({tuple(sorted(paths)) for paths in orders}) == 1
    written = []
    for path in sorted(corpus.glob("*.tar")):
        with tarfile.open(path) as tar:
            written += [f"pack/{int(name[:-5])}.wav" for name in tar.getnames()[::2]]
    assert list(order(None, 0)) == list(order(None, 1)) == written
    assert written != sorted(written, key=lambda path: int(path[5:-4]))


def test_resuming_with_another_world_size_or_corpus_is_refused(data, corpus, tmp_path):
    state = ShardCorpus(corpus, world_size=4, rank=3).state_after(2)
    with pytest.raises(DataError, match=r"saved with world_size 4, not 2: resume with world_size 4, or begin"):
        ShardCorpus(corpus, world_size=2).load_state(state)
    write_shards(data[1], data[0], tmp_path, shard_mib=1, seed=1)
    with pytest.raises(DataError, match="saved with corpus_sha256"):
        ShardCorpus(tmp_path, world_size=4).load_state(state)
    with pytest.raises(DataError, match="begin a new epoch"):
        ShardCorpus(corpus, world_size=4).load_state(state | {"epoch": "two"})


def test_a_split_that_cannot_be_is_refused(corpus):
    with pytest.raises(SettingsError, match="rank is 2; expected 0 to 1"):
        ShardCorpus(corpus, rank=2, world_size=2)
    with pytest.raises(SettingsError, match="batch_size of a corpus of shards"):
        ShardCorpus(corpus, batch_size=0)
    with pytest.raises(DataError, match="29 clips for 30 ranks"):
        ShardCorpus(corpus, world_size=30, remainder="drop")
    with pytest.raises(SettingsError, match=r"read by 1 worker\(s\), and the corpus was split over 2"):
        next(iter(ShardCorpus(corpus, workers=2)))
