"""Event reports: counts and intervals by hand, what is unscored, and sound composed by level and background."""

import numpy as np
import pytest

from core.screener import Screener
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.event_report import (
    SNR_BANDS_DB,
    HeardRecording,
    Listening,
    composed_part,
    hear_composed,
    hear_cough_free,
    measured,
    recordings_part,
)
from distill.evaluation.event_scoring import EventRules

RULES = EventRules()


def heard(n_coughs, n_found, n_false, hours=0.5, is_scored=True):
    """Coughs at 10, 20, ... s, the first of which are found, and false ones far behind them."""
    reference = tuple((10.0 * i, 10.0 * i + 0.3) for i in range(1, n_coughs + 1))
    false = tuple((1000.0 + 10 * i, 1000.3 + 10 * i) for i in range(n_false))
    return HeardRecording("r", 3600 * hours, reference, (*reference[:n_found], *false) if is_scored else None)


def test_rates_are_those_of_all_recordings_together():
    result = measured([heard(4, 3, 1), heard(6, 5, 2, hours=1.0), heard(0, 0, 3)], RULES)
    assert (result["n_recordings"], result["n_unscored"], result["hours"]) == (3, 0, 2.0)
    assert (result["n_coughs"], result["n_found"], result["n_false"]) == (10, 8, 6)
    # 8 of 10; 8 of 14; 2 · 8 / (10 + 8 + 6); 6 in 2 h
    rates = {name: result[name]["value"] for name in ("sensitivity", "precision", "f1", "false_per_hour")}
    assert rates == pytest.approx({"sensitivity": 0.8, "precision": 8 / 14, "f1": 16 / 24, "false_per_hour": 3.0})


def test_the_interval_is_that_of_recordings_drawn_with_replacement():
    recordings = [heard(4, found, false) for found, false in ((4, 0), (1, 2), (3, 1), (2, 5), (4, 0))]
    result = measured(recordings, RULES)
    generator = np.random.default_rng(7)
    found, false = np.array([4, 1, 3, 2, 4]), np.array([0, 2, 1, 5, 0])
    drawn = generator.integers(5, size=(20_000, 5))
    expected = np.percentile(found[drawn].sum(axis=1) / 20, (2.5, 97.5))
    assert [result["sensitivity"][end] for end in ("low", "high")] == pytest.approx(expected, abs=0.06)
    expected = np.percentile(false[drawn].sum(axis=1) / 2.5, (2.5, 97.5))
    assert [result["false_per_hour"][end] for end in ("low", "high")] == pytest.approx(expected, abs=0.45)


def test_hours_without_a_false_cough_still_have_an_upper_bound():
    result = measured([heard(0, 0, 0, hours=1.0), heard(0, 0, 0, hours=2.0)], RULES)
    # Poisson: exp(-3 x) = 0.025
    assert result["false_per_hour"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(-np.log(0.025) / 3)}
    assert result["sensitivity"] is None and result["precision"] is None and result["f1"] is None


def test_where_all_are_found_the_lower_bound_is_not_one():
    result = measured([heard(2, 2, 0)] * 10, RULES)
    assert result["sensitivity"] == {"value": 1.0, "low": pytest.approx(0.025 ** (1 / 10)), "high": 1.0}
    assert result["precision"]["low"] == pytest.approx(0.025 ** (1 / 10))


def test_one_recording_has_no_interval():
    assert measured([heard(4, 3, 1)], RULES)["sensitivity"] == {"value": 0.75, "low": None, "high": None}


def test_unscored_is_not_found_and_its_time_is_not_free_of_false_coughs():
    result = measured([heard(4, 4, 1), heard(4, 4, 0, is_scored=False)], RULES)
    assert (result["n_unscored"], result["n_coughs"], result["n_found"], result["hours"]) == (1, 8, 4, 0.5)
    assert result["false_per_hour"]["value"] == 2.0
    each = recordings_part([heard(4, 4, 0, is_scored=False)], RULES)["each"]
    assert (each[0]["is_scored"], each[0]["n_counted"], each[0]["n_coughs"]) == (False, None, 4)


def row(number: int, labels: tuple[str, ...]) -> ManifestRow:
    return ManifestRow(
        f"pack/{number}.wav", "pack", f"s{number}", f"s{number}", 3.0, labels, 5, "CC0", "validation", True
    )


@pytest.fixture(scope="module")
def store() -> WaveformStore:
    """Validation recordings of 3 s: a burst that is called a cough, noise, and what is called speech."""
    generator = np.random.default_rng(0)
    sounds = [1000 * generator.standard_normal(48_000) for _ in range(6)]
    for sound in sounds[::3]:
        sound *= 0.01
        sound[20_000:25_000] *= np.linspace(300, 10, 5000)
    labels = [("cough",), ("noise", "rain"), ("speech",)] * 2
    rows = [row(number, each) for number, each in enumerate(labels)]
    samples = [sound.clip(-32_768, 32_767).astype(np.int16) for sound in sounds]
    return WaveformStore(rows, np.concatenate(samples), np.arange(7) * 48_000)


def test_sound_is_composed_for_each_background_and_level(store, default_bundle):
    kept = []
    listening = Listening(Screener(default_bundle), keep=kept.append)
    recordings = list(hear_composed(listening, store, 16, seed=1))
    assert len(recordings) == 16 == len(kept) and len({line["key"] for line in kept}) == 16
    part = composed_part(recordings, RULES)
    assert [(row["low_db"], row["high_db"]) for row in part["by_snr_db"]] == list(SNR_BANDS_DB)
    assert [row["background"] for row in part["by_background"]] == ["noise", "speech"]
    for rows in (part["by_snr_db"], part["by_background"]):
        for count in ("n_recordings", "n_coughs", "n_found", "n_false"):
            assert sum(row[count] for row in rows) == part["total"][count]
    again = list(hear_composed(Listening(None, {line["key"]: line for line in kept}), store, 16, seed=1))
    assert again == recordings  # what was kept is not heard again


def test_hours_without_a_cough_are_as_long_for_each_background(store, default_bundle):
    recordings = list(hear_cough_free(Listening(Screener(default_bundle)), store, 1 / 30, seed=1))
    assert [recording.background for recording in recordings] == ["noise"] * 3 + ["speech"] * 3
    total = measured(recordings, RULES)
    assert total["hours"] == pytest.approx(1 / 30) and total["sensitivity"] is None
