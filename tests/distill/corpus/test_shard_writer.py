"""Shards: every clip once however they are split, the same bytes however often stopped, and nothing odd read."""

import io
import json
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from typer.testing import CliRunner
from webdataset.tariterators import group_by_keys, tar_file_expander

from core.audio import write_wav
from core.errors import DataError, OutputError, SettingsError
from core.files import sha256_of_file
from distill.corpus import shard_writer
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.shard_format import encode_clip, read_index
from distill.corpus.shard_reader import ShardCorpus, check_corpus, unpack_corpus
from distill.corpus.shard_writer import JOURNAL_FILE, UNFINISHED_SHARD_FILE, app, write_shards
from distill.corpus.waveform_store import MANIFEST_FILE, OFFSETS_FILE, SAMPLES_FILE, WaveformStore

N_CLIPS = 29
SHARD_MIB = 0.035


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """29 recordings of noise, 0.06 to 0.2 s, of two licences; two more that are not for training."""
    folder, generator, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(0), []
    for number in range(N_CLIPS + 2):
        name, rate_hz = f"pack/{number}.wav", (16_000, 44_100)[number % 2]
        waveform = generator.normal(0, 0.1, int(rate_hz * (0.06 + 0.005 * number))).astype(np.float32)
        (folder / "pack").mkdir(exist_ok=True)
        write_wav(folder / name, waveform, rate_hz)
        role = "train" if number < N_CLIPS else "validation"
        licence = ("CC0", "CC BY 4.0 (été)")[number % 3 == 0]
        row = ManifestRow(
            name, "pack", name, f"s{number}", 0.1, ("cough", "noise"), number % 5 + 1, licence, role, True
        )
        rows.append(row)
    write_manifest(rows, folder / "manifest.csv")
    return folder, rows


@pytest.fixture(scope="module")
def corpus(data, tmp_path_factory):
    """A corpus of the 29 recordings, in several shards; not to be written to."""
    folder = tmp_path_factory.mktemp("corpus")
    write_shards(data[1], data[0], folder, shard_mib=SHARD_MIB)
    assert 4 <= len(read_index(folder).shards) <= 8
    return folder


def members_of(path):
    with tarfile.open(path) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


def test_the_index_says_what_is_in_the_shards(data, corpus):
    index = check_corpus(corpus)
    chosen = [row for row in data[1] if row.role == "train"]
    assert index.clips == N_CLIPS and index.licences == Counter(row.licence for row in chosen)
    assert index.bytes == sum(path.stat().st_size for path in corpus.glob("*.tar"))
    assert max(shard.bytes for shard in index.shards) <= SHARD_MIB * 2**20
    assert index.seconds == pytest.approx(sum(0.06 + 0.005 * number for number in range(N_CLIPS)), abs=1e-3)


def test_webdataset_itself_reads_the_shards_and_the_record_names_its_source(data, corpus):
    with (corpus / "corpus-000000.tar").open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": "shard", "stream": stream}])))
    assert len(samples) == read_index(corpus).shards[0].clips
    for sample in samples:
        record = json.loads(sample["json"])
        assert record["row"] == json.loads(json.dumps(vars(data[1][int(sample["__key__"])])))
        assert record["source_sha256"] == sha256_of_file(data[0] / record["row"]["path"])
        waveform, rate_hz = soundfile.read(io.BytesIO(sample["flac"]))
        assert (len(waveform), rate_hz) == (record["samples"], 16_000)
        assert record["duration_s"] == len(waveform) / 16_000


@pytest.mark.parametrize(("codec", "stopped_at"), [("flac", 0), ("flac", 2), ("opus", 2)])
def test_a_write_that_was_stopped_goes_on_to_the_same_bytes(data, tmp_path, monkeypatch, codec, stopped_at):
    folder, rows = data
    write = {"shard_mib": SHARD_MIB if codec == "flac" else 0.02, "codec": codec, "roles": ["train", "validation"]}
    write_shards(rows, folder, tmp_path / "whole", **write)
    assert len(read_index(tmp_path / "whole").shards) > 3
    append = shard_writer._append

    def stopping(journal, shard):  # after the shard has its name and before the journal knows it
        if shard.file == f"corpus-{stopped_at:06d}.tar":
            journal.write('{"file": "corpus-0')
            raise KeyboardInterrupt
        append(journal, shard)

    monkeypatch.setattr(shard_writer, "_append", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_shards(rows, folder, tmp_path / "stopped", **write)
    (tmp_path / "stopped" / UNFINISHED_SHARD_FILE).write_bytes(b"half a shard")
    assert len((tmp_path / "stopped" / JOURNAL_FILE).read_text().splitlines()) == 2 + stopped_at
    with pytest.raises(DataError, match="no finished corpus"):
        ShardCorpus(tmp_path / "stopped")
    monkeypatch.setattr(shard_writer, "_append", append)
    write_shards(rows, folder, tmp_path / "stopped", threads=1, **write)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    check_corpus(tmp_path / "stopped")


def test_a_finished_corpus_is_left_as_it_is_and_other_settings_are_refused(data, corpus, tmp_path):
    out = shutil.copytree(corpus, tmp_path / "out")
    before = files_of(out)
    write_shards(data[1], data[0], out, shard_mib=SHARD_MIB)
    assert files_of(out) == before
    with pytest.raises(DataError, match=r"was begun with codec 'flac', not 'opus'; choose another folder"):
        write_shards(data[1], data[0], out, shard_mib=SHARD_MIB, codec="opus")
    with pytest.raises(DataError, match="was begun with manifest_sha256"):
        write_shards([replace(data[1][0], licence="CC0"), *data[1][1:]], data[0], out, shard_mib=SHARD_MIB)
    (out / "index.json").unlink()
    with pytest.raises(OutputError, match=r"corpus-000000\.tar belongs to no index"):
        write_shards(data[1], data[0], out, shard_mib=SHARD_MIB)


@given(st.integers(1, 3000))
@settings(max_examples=25)
def test_opus_keeps_the_length_and_gives_the_same_bytes_each_time(n_samples):
    samples = (8000 * np.sin(np.arange(n_samples) * 0.2)).astype(np.int16)
    encoded = encode_clip(samples, "opus")
    assert encoded == encode_clip(samples, "opus")
    decoded, rate_hz = soundfile.read(io.BytesIO(encoded), dtype="int16")
    assert (len(decoded), rate_hz) == (n_samples, 16_000)
    if n_samples > 1000:
        assert np.corrcoef(samples, decoded)[0, 1] > 0.9


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
    written = [
        f"pack/{int(name[:-5])}.wav" for path in sorted(corpus.glob("*.tar")) for name, _ in members_of(path)[::2]
    ]
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


def test_the_commands_write_check_and_unpack(data, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    source = ["--manifest", data[0] / "manifest.csv", "--data", data[0], "--out", tmp_path / "out"]
    written = run("write", *source, "--role", "validation", "--role", "train", "--shard-mib", SHARD_MIB)
    assert written.exit_code == 0 and f"{N_CLIPS + 2} clips" in written.stdout
    assert read_index(tmp_path / "out").roles == ("train", "validation")
    checked = run("check", tmp_path / "out")
    assert checked.exit_code == 0 and "whole" in checked.stdout
    stored = run("store", "--shards", tmp_path / "out", "--out", tmp_path / "store")
    assert stored.exit_code == 0 and len(WaveformStore.open(tmp_path / "store").rows) == N_CLIPS + 2
    for arguments, sentence in (
        (["check", tmp_path / "nothing"], "holds no finished corpus"),
        (["write", *source, "--codec", "mp3"], "--codec is 'mp3'; expected one of flac, opus."),
        (["write", *source, "--role", "test"], "no recording with the role 'test'"),
        (["write", *source, "--role", "training"], "--role is 'training'; expected one of train"),
        (["write", *source, "--shard-mib", 0], "--shard-mib is 0; expected"),
    ):
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("shards: ") and sentence in refused.stderr
        assert refused.stderr.count("\n") == 1
