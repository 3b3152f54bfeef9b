import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError, OutputError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore


def row(number: int) -> ManifestRow:
    return ManifestRow(f"pack/{number}.wav", "pack", "s", "s", 2.0, ("cough",), 1, "CC0", "train", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of three recordings of 2 s."""
    (tmp_path / "data" / "pack").mkdir(parents=True)
    for number in range(3):
        write_wav(tmp_path / "data" / row(number).path, np.linspace(-1, 1, 32_000).astype(np.float32))
    WaveformStore.build([row(number) for number in range(3)], tmp_path / "data", tmp_path / "store")
    return tmp_path / "store"


def test_a_store_gives_back_what_was_decoded(folder):
    store = WaveformStore.open(folder)
    assert len(store.rows) == 3
    assert store.waveform(2).dtype == np.int16
    assert store.waveform(2)[[0, -1]].tolist() == [-32_768, 32_767]
    assert store.sound(2).dtype == np.float32
    assert np.array_equal(store.sound(2), store.waveform(2) / np.float32(32_768))


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 32_000, 32_000, 96_000],
        [0, 64_000, 32_000, 96_000],
        [-1, 32_000, 64_000, 96_000],
        [1, 32_000, 64_000, 96_000],
        [0, 32_000, 96_000],
        [0.0, 32_000.0, 64_000.0, 96_000.0],
        [[0, 32_000, 64_000, 96_000]],
        96_000,
    ],
)
def test_damaged_offsets_are_refused(folder, offsets):
    np.save(folder / "offsets.npy", np.array(offsets))
    with pytest.raises(DataError, match=r"build it again|build the store again"):
        WaveformStore.open(folder)


def test_missing_and_empty_samples_are_refused(folder):
    (folder / "waveforms.i16").write_bytes(b"")
    with pytest.raises(DataError, match=r"waveforms\.i16 cannot be read"):
        WaveformStore.open(folder)
    (folder / "waveforms.i16").unlink()
    with pytest.raises(DataError, match=r"waveforms\.i16 cannot be read"):
        WaveformStore.open(folder)
    (folder / "offsets.npy").write_bytes(b"")
    with pytest.raises(DataError, match="does not hold the offsets of a waveform store"):
        WaveformStore.open(folder)


def test_the_fingerprint_tells_other_samples_rows_and_lengths(folder):
    path, prints = folder / "waveforms.i16", {WaveformStore.open(folder).fingerprint()}
    assert WaveformStore.open(folder).fingerprint() in prints
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    prints.add(WaveformStore.open(folder).fingerprint())
    path.write_bytes(content[:64_000] + content[64_000:128_000][::-1] + content[128_000:])  # one recording
    prints.add(WaveformStore.open(folder).fingerprint())
    path.write_bytes(content)
    np.save(folder / "offsets.npy", np.array([0, 32_001, 64_000, 96_000]))
    prints.add(WaveformStore.open(folder).fingerprint())
    assert len(prints) == 4


def test_a_full_disk_is_one_sentence_and_leaves_no_store(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="other cannot be written: File too large"):
            WaveformStore.build([row(number) for number in range(3)], tmp_path / "data", tmp_path / "other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "other").iterdir()) == []


def test_one_sound_on_two_sides_of_a_split_is_named(folder, tmp_path, capsys):
    rows = [row(0), replace(row(1), role="validation", subject_id="other")]
    WaveformStore.build(rows, tmp_path / "data", tmp_path / "other")
    said = capsys.readouterr().err
    assert "1 recordings are the same sound on two sides of a split (pack/0.wav (train) and pack/1.wav (valid" in said


def test_a_pack_is_not_overwritten_by_a_store(folder, tmp_path):
    (tmp_path / "data" / "pack" / "manifest.csv").write_text("a pack's\n")
    with pytest.raises(OutputError, match=r"holds a manifest\.csv that is not of a waveform store"):
        WaveformStore.build([row(0)], tmp_path / "data", tmp_path / "data" / "pack")
    assert (tmp_path / "data" / "pack" / "manifest.csv").read_text() == "a pack's\n"


def test_an_unfinished_and_an_altered_store_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="holds no finished waveform store"):
        WaveformStore.open(tmp_path)
    with (folder / "waveforms.i16").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(DataError, match="does not fit its manifest"):
        WaveformStore.open(folder)
