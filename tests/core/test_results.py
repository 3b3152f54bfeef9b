import json
import math

import numpy as np
import pytest

from core.events import Event
from core.probes import DEMONSTRATION_REASON, Decision, ProbeResult
from core.quality import Quality
from core.results import (
    FailedRecording,
    ModelFacts,
    RecordingFacts,
    Screening,
    describe,
    minutes_and_seconds,
    printable,
    screening_file,
)

GOOD = Quality(True, (), -3.0, -20.0, 0.001, 30.0, 5.0)
SILENT = Quality(False, ("silent", "too_short"), -math.inf, -math.inf, 0.0, None, 0.1)
DEMONSTRATION = ProbeResult("tb", "demonstration", Decision.UNSCORED, None, "probability", DEMONSTRATION_REASON)
RESEARCH = ProbeResult("lungs", "research", Decision.NOT_REFERRED, 0.25, "probability", None)


def scored(**changes: object) -> Screening:
    values = {
        "recording": RecordingFacts("a.wav", "f" * 64, 75.0, 44100),
        "quality": GOOD,
        "event_scores": {"cough": 0.98, "speech": 0.6, "throat_clear": 0.01},
        "events": (Event("cough", 1.2, 1.52, 0.9), Event("speech", 2.0, 6.0, 0.6), Event("cough", 61.0, 61.4, 0.8)),
        "cough_count": 2,
        "probes": (RESEARCH, DEMONSTRATION),
        "model": ModelFacts("small", "ab" * 32, 1),
        "timing_ms": {"decode": 1.0, "model": 2.5, "total": 4.0},
    }
    return Screening(**(values | changes))


def unscored() -> Screening:
    return scored(quality=SILENT, event_scores=None, events=(), cough_count=None)


def test_the_json_has_exactly_the_keys_of_the_contract() -> None:
    result = scored().to_json()
    assert list(result) == [
        "recording", "quality", "event_scores", "events", "cough_count", "probes", "model", "timing_ms",
    ]  # fmt: skip
    assert list(result["recording"]) == [
        "path", "sha256", "duration_s", "sample_rate_hz", "n_channels", "channel", "truncated", "remarks",
    ]  # fmt: skip
    assert list(result["quality"]) == [
        "acceptable", "reasons", "peak_dbfs", "rms_dbfs", "clipped_fraction", "snr_db", "dead_s",
    ]  # fmt: skip
    assert [list(event) for event in result["events"]] == [["label", "start_s", "end_s", "probability"]] * 3
    assert [list(probe) for probe in result["probes"]] == [
        ["name", "status", "decision", "score", "unit", "reason"],
    ] * 2  # fmt: skip
    assert result["probes"][0]["decision"] == "not referred"
    assert result["model"] == {"bundle": "small", "sha256": "ab" * 32, "format_version": 1}


def test_an_unscored_recording_has_nulls_and_its_quality() -> None:
    result = unscored().to_json()
    assert (result["event_scores"], result["cough_count"], result["events"]) == (None, None, [])
    assert result["quality"]["reasons"] == ["silent", "too_short"]
    assert (result["quality"]["peak_dbfs"], result["quality"]["snr_db"]) == (None, None)


def test_the_file_holds_all_recordings_in_order_and_reads_back() -> None:
    results = [FailedRecording("gone.wav", "gone.wav does not exist."), scored(), unscored()]
    content = json.loads(screening_file(results))
    assert content["schema"] == "tussis.screening/1"
    assert content["recordings"][0] == {"recording": {"path": "gone.wav"}, "error": "gone.wav does not exist."}
    assert [recording.get("cough_count") for recording in content["recordings"]] == [None, 2, None]
    assert list(content) == ["schema", "recordings"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, np.float32("nan")])
def test_no_number_in_the_file_is_anything_but_finite(value: float) -> None:
    quality = Quality(True, (), value, value, 0.0, value, 1.0)
    text = screening_file([scored(quality=quality, timing_ms={"total": value})])
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["recordings"][0]["quality"]["peak_dbfs"] is None


def test_numpys_numbers_are_written_as_plain_ones() -> None:
    scores = {"cough": np.float32(0.5), "speech": np.float64(0.25)}
    result = json.loads(screening_file([scored(event_scores=scores, cough_count=np.int64(2))]))["recordings"][0]
    assert result["event_scores"] == {"cough": 0.5, "speech": 0.25}
    assert result["cough_count"] == 2


def test_a_path_that_is_not_text_is_written_readably() -> None:
    text = screening_file([FailedRecording("caf\udce9.wav", "x")])
    assert json.loads(text)["recordings"][0]["recording"]["path"] == "caf\\udce9.wav"
    text.encode("ascii")


def test_the_words_say_how_many_coughs_and_when() -> None:
    text = describe(scored())
    assert "coughs      2 (00:01.2-00:01.5, 01:01.0-01:01.4)" in text
    assert "cough 0.98, speech 0.60, throat clear 0.01" in text
    assert "also heard  speech 00:02.0-00:06.0" in text
    assert "lungs (research only, not validated): not referred, 0.25 probability" in text
    assert "decode 1.0 ms, model 2.5 ms, total 4.0 ms" in text
    assert "small, format 1, SHA-256 abababababababab" in text
    assert "75.0 s at 44100 Hz" in text
    assert "acceptable (peak -3.0 dBFS, level -20.0 dBFS, clipped 0.1 %, loud over quiet 30 dB)" in text


def test_the_words_for_an_unscored_recording_never_say_no_cough() -> None:
    text = describe(unscored())
    assert "coughs      not scored: silent, too short" in text
    assert "no cough" not in text.lower()
    assert "0 (" not in text


def test_the_words_for_no_cough_are_plain() -> None:
    assert "coughs      0 (no cough was heard)" in describe(scored(events=(), cough_count=0))


def test_the_words_for_a_demonstration_have_no_number_and_nothing_like_a_finding() -> None:
    line = describe(scored(probes=(DEMONSTRATION,))).split("probe", 1)[1].split("\n  time")[0].lower()
    assert "demonstration only: fitted on synthetic sound. it says nothing about this person." in line
    assert not any(character.isdigit() for character in line)
    for word in ("refer", "positive", "negative", "risk", "normal", "detected", "tuberculosis", "probability", "score"):
        assert word not in line


def test_the_words_for_a_regression_give_value_and_unit() -> None:
    volume = ProbeResult("fev", "validated", None, 3.254, "L", None)
    assert "fev (validated): 3.25 L" in describe(scored(probes=(volume,)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "00:00.0"), (59.94, "00:59.9"), (59.96, "01:00.0"), (75.25, "01:15.2"), (3661.0, "61:01.0")],
)
def test_times_are_minutes_and_seconds(seconds: float, words: str) -> None:
    assert minutes_and_seconds(seconds) == words


def test_a_path_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[31m\n.wav") == "a\\x1b[31m\\n.wav"
    assert printable("größe.wav") == "größe.wav"
    assert printable("caf\udce9.wav") == "caf\\xe9.wav"


def test_no_line_of_the_words_is_too_wide_however_many_coughs() -> None:
    events = tuple(Event("cough", float(start), start + 0.3, 0.9) for start in range(300))
    assert max(len(line) for line in describe(scored(events=events, cough_count=300)).splitlines()) <= 100


def test_a_claim_to_be_validated_that_no_trusted_key_signed_is_shown_as_a_claim() -> None:
    claim = ProbeResult("tb", "unverified", Decision.REFER, 1.0, "probability", None)
    words = " ".join(describe(scored(probes=(claim,))).split())
    expected = "not verified: it calls itself validated, but no trusted key signed the bundle"
    assert f"tb ({expected}): refer, 1.00 probability" in words
    assert scored(probes=(claim,)).to_json()["probes"][0]["status"] == "unverified"
