"""Recordings of noise, and a corpus of shards of them."""

import numpy as np
import pytest

from core.audio import write_wav
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.shard_writer import write_shards
from distill.corpus.shards import read_index

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
