"""Shard files: what is truncated, altered, or not what a corpus can hold is refused by name, with the remedy."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from core.audio import write_wav
from core.errors import DataError
from core.files import sha256_of_file
from distill.corpus.manifests import ManifestRow
from distill.corpus.shard_reader import ShardCorpus, check_corpus
from distill.corpus.shard_writer import JOURNAL_FILE, write_shards
from distill.corpus.shards import encode_clip, read_index


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of nine recordings of noise in three shards; not to be written to."""
    folder, generator, rows = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0), []
    for number in range(9):
        name = f"{number}.wav"
        write_wav(folder / name, generator.normal(0, 0.1, 1000).astype(np.float32))
        rows.append(ManifestRow(name, "pack", name, name, 0.1, ("cough",), None, "CC0", "train", True))
    write_shards(rows, folder, folder / "shards", shard_mib=0.022)
    assert [shard.clips for shard in read_index(folder / "shards").shards] == [3, 3, 3]
    return folder / "shards"


@pytest.fixture
def altered(corpus, tmp_path):
    """A copy of the corpus whose first shard may be replaced by `forge`, with an index that agrees with it."""
    folder = tmp_path / "altered"
    shutil.copytree(corpus, folder)

    def forge(content=None, index=True):
        path = folder / "corpus-000000.tar"
        if content is not None:
            path.write_bytes(content)
        if index:
            fields = json.loads((folder / "index.json").read_text())
            fields["shards"][0] |= {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
            fields["bytes"] = sum(shard["bytes"] for shard in fields["shards"])
            (folder / "index.json").write_text(json.dumps(fields))
        return folder

    return forge


def tar_of(members):
    """An archive of (name or TarInfo, content)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def members_of(path):
    with tarfile.open(path) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def test_a_damaged_shard_is_refused_by_name_with_the_remedy(corpus, altered):
    whole = (corpus / "corpus-000000.tar").read_bytes()
    flipped = whole[:700] + bytes([whole[700] ^ 1]) + whole[701:]
    for content, sentence in (
        (whole[:-1000], "is truncated"),
        (whole + b"more", "is too long"),
        (flipped, "was altered: its SHA-256 is not the index's"),
    ):
        folder = altered(content, index=False)
        for read in (check_corpus, lambda folder: list(ShardCorpus(folder))):
            with pytest.raises(DataError, match=rf"corpus-000000\.tar {sentence}.*: copy it again .*or write"):
                read(folder)
    (folder / "corpus-000000.tar").unlink()
    with pytest.raises(DataError, match=r"corpus-000000\.tar cannot be read \(No such file"):
        check_corpus(folder)


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "../../elsewhere"
    return info


def test_an_archive_that_no_corpus_has_is_refused(corpus, altered):
    path = corpus / "corpus-000000.tar"
    (sound, content), (record, fields), *others = members_of(path)
    rest = [(record, fields), *others]
    check_corpus(altered(tar_of([(sound, content), *rest])))
    huge = tarfile.TarInfo(sound)
    huge.size = 1 << 40
    zipped = io.BytesIO()
    with tarfile.open(fileobj=zipped, mode="w:gz") as tar:
        tar.add(path, "000000000.flac")
    for archive, sentence in (
        (b"not a tar file" * 100, "is not a whole tar file"),
        (zipped.getvalue(), "is not a whole tar file"),
        (path.read_bytes()[: 512 * 3], "is not a whole tar file|holds 0 clips"),
        (tar_of([("../../etc/passwd", b"x"), *rest]), "holds '../../etc/passwd', a name that no corpus has"),
        (tar_of([("/" + sound, content), *rest]), "a name that no corpus has"),
        (tar_of([(sound.replace(".flac", ".pyd"), content), *rest]), "a name that no corpus has"),
        (tar_of([(special(sound, tarfile.SYMTYPE), b""), *rest]), "a link or other special file"),
        (tar_of([(special(sound, tarfile.LNKTYPE), b""), *rest]), "a link or other special file"),
        (huge.tobuf() + b"x" * 5000, "of 1099511627776 bytes; expected 1 to"),
        (tar_of([(sound, b""), *rest]), "of 0 bytes"),
        (tar_of([(sound, content), (sound, content), *rest]), "is not a whole tar file .*duplicate"),
        (tar_of(rest), "without its .json or .flac"),
        (tar_of([(sound, content), *rest[:-2]]), r"holds \d+ clips where the index has"),
        (tar_of([(sound, content), (record, b"{}"), *others]), "is not a clip's record .row: Field required"),
    ):
        folder = altered(archive)
        for read in (check_corpus, lambda folder: list(ShardCorpus(folder))):
            with pytest.raises(DataError, match=rf"corpus-000000\.tar.*({sentence})|{sentence}.*corpus-000000\.tar"):
                read(folder)


def test_a_clip_of_the_wrong_rate_or_length_or_no_sound_is_refused(corpus, altered):
    (sound, content), *rest = members_of(corpus / "corpus-000000.tar")
    samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")

    def flac(samples, rate_hz=16_000):
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, rate_hz, format="FLAC")
        return encoded.getvalue()

    for forged, sentence in (
        (flac(samples, 8_000), "at 8000 Hz; expected .* at 16000 Hz: copy it again"),
        (flac(samples[:-1]), f"holds {len(samples) - 1} samples"),
        (flac(np.stack([samples] * 2, 1)), r"2 channel\(s\)"),
        (b"RIFF, or something", "cannot be decoded"),
        (content[: len(content) // 2], "ends after|cannot be decoded"),
    ):
        folder = altered(tar_of([(sound, forged), *rest]))
        with pytest.raises(DataError, match=rf"{sound} in .*corpus-000000\.tar .*({sentence})"):
            check_corpus(folder)


def test_check_finds_clips_that_come_twice_and_totals_and_files_that_do_not_fit(corpus, altered):
    members = members_of(corpus / "corpus-000000.tar")
    key = members_of(corpus / "corpus-000001.tar")[0][0].partition(".")[0]
    renamed = [(f"{key}.{name.partition('.')[2]}", content) for name, content in members[:2]]
    with pytest.raises(DataError, match=f"holds the key {key} a second time"):
        check_corpus(altered(tar_of([*renamed, *members[2:]])))
    record = json.loads(members[1][1])
    record["row"]["licence"] = "all rights reserved"
    with pytest.raises(DataError, match=r"corpus-000000\.tar holds other seconds or licences"):
        check_corpus(altered(tar_of([members[0], (members[1][0], json.dumps(record).encode()), *members[2:]])))
    folder = altered((corpus / "corpus-000000.tar").read_bytes())
    shutil.copy(corpus / "corpus-000000.tar", folder / "corpus-000999.tar")
    with pytest.raises(DataError, match=r"corpus-000999\.tar is not in index\.json: remove it"):
        check_corpus(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"clips": 3},
        {"format": "tussis.shards/2"},
        {"shards": []},
        {"file": "../corpus-000000.tar"},
        {"bytes": "many"},
        {"seconds": float("nan")},
    ],
)
def test_an_index_that_was_altered_is_refused(altered, change):
    folder = altered()
    fields = json.loads((folder / "index.json").read_text())
    (fields["shards"][0] if "file" in change else fields).update(change)
    (folder / "index.json").write_text(json.dumps(fields))
    with pytest.raises(DataError, match=r"index\.json .*write the corpus again"):
        ShardCorpus(folder)


def test_going_on_after_a_damaged_journal_or_a_lost_shard_is_refused(corpus, tmp_path):
    index = read_index(corpus)
    row = ManifestRow("0.wav", "pack", "0", "0", 0.1, ("cough",), None, "CC0", "train", True)
    journal = tmp_path / JOURNAL_FILE
    journal.write_text("{}\n")
    with pytest.raises(DataError, match=r"index\.part\.jsonl is damaged; remove .* and write the corpus again"):
        write_shards([row], corpus.parent, tmp_path)
    journal.unlink()
    write_shards([row], corpus.parent, tmp_path)
    begun = read_index(tmp_path).model_copy(update={"shards": ()}).model_dump_json()
    (tmp_path / "index.json").unlink()
    journal.write_text(f"{begun}\n{index.shards[0].model_dump_json()}\n")
    with pytest.raises(DataError, match=r"corpus-000000\.tar is not as it was written; remove"):
        write_shards([row], corpus.parent, tmp_path)


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
