"""Counting measured with the shipped bundle on sounds whose coughs are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core.audio import write_wav
from core.bundle import load_bundle
from core.screener import Screener
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation import counting
from distill.evaluation.counting import HUM_HZ, measure_counting


def row(number: int, label: str) -> ManifestRow:
    facts = (f"pack/{number}.wav", "pack", f"s{number}", f"s{number}", 3.0)
    return ManifestRow(*facts, (label,), 5, "CC0", "validation", True)


@pytest.fixture(scope="module")
def store() -> WaveformStore:
    """Validation recordings of 3 s: bursts of noise called cough, steady noise called noise."""
    rng = np.random.default_rng(0)
    sounds = [1_000 * rng.standard_normal(48_000) for _ in range(6)]
    for sound in sounds[::2]:
        sound *= 0.01
        sound[20_000:25_000] *= np.linspace(300, 10, 5_000)
    samples = [sound.clip(-32_768, 32_767).astype(np.int16) for sound in sounds]
    rows = [row(number, ("cough", "noise")[number % 2]) for number in range(6)]
    return WaveformStore(rows, np.concatenate(samples), np.arange(7) * 48_000)


def test_steady_noise_has_no_coughs_and_every_hum_is_tried(store):
    result = measure_counting(Screener(load_bundle()), store, hours=1 / 30, n_composed=3, n_hum=2, seed=1)
    assert result["cough_free"] == {"hours": pytest.approx(1 / 30), "n_false": 0, "false_per_hour": 0.0}
    assert result["composed"]["n_coughs"] > 0
    assert [row["hum_hz"] for row in result["hum"]] == [0, *HUM_HZ]
    assert all(row["n"] == 2 and row["n_counted"] + row["n_unscored"] <= 2 for row in result["hum"])


def test_the_command_writes_what_it_measured_and_refuses_more_coughs_than_there_are(store, tmp_path: Path):
    for index, of_row in enumerate(store.rows):
        path = tmp_path / "data" / of_row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, store.sound(index))
    WaveformStore.build(store.rows, tmp_path / "data", tmp_path / "store")
    options = ["--store", tmp_path / "store", "--hours", "0.1", "--composed", "2", "--json", tmp_path / "counting.json"]
    done = CliRunner().invoke(counting.app, [*map(str, options), "--hum", "3"])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "counting.json").read_text())
    assert result["schema"] == "tussis.counting/1" and result["seed"] == 1
    assert "without a cough" in done.output and "hum of 150 Hz" in done.output
    refused = CliRunner().invoke(counting.app, [*map(str, options), "--hum", "9"])
    assert refused.exit_code == 2 and "has 3 validation recordings labelled cough alone, not 9" in refused.output


def test_hum_and_coughs_have_the_peaks_that_are_asked_for():
    cough = 0.01 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    with_hum = counting._with_hum(cough, 50)
    hum = with_hum - cough * np.float32(0.4 / np.abs(cough).max())
    assert np.abs(hum).max() == pytest.approx(0.25, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(hum))
    assert spectrum.argmax() == 100  # of half-Hertz bins
