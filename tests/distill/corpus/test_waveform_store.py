from pathlib import Path

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError
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


def test_an_unfinished_and_an_altered_store_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="holds no finished waveform store"):
        WaveformStore.open(tmp_path)
    with (folder / "waveforms.i16").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(DataError, match="does not fit its manifest"):
        WaveformStore.open(folder)
