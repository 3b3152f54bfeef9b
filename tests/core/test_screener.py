import dataclasses
import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.audio import PIECE_FRAMES, open_recording, write_wav
from core.bundle import Bundle, load_bundle
from core.errors import AudioError, BundleError, IncompleteError
from core.interpreter import Interpreter, ModelOutputs
from core.probes import Decision
from core.results import Screening
from core.screener import LONG_S, Screener, screen_recording

RATE_HZ = 16000


@pytest.fixture
def bundle(write_bundle: Callable[..., Path], probe_content: Callable[..., dict]) -> Bundle:
    def level_probe(name: str, **changes: object) -> dict:
        return probe_content(name, kind="regression", unit="dB", operating_point=None, **changes)

    all_clips = {"event": None, "min_probability": 0, "min_clips": 1, "pooling": "mean"}
    demonstration = probe_content("tb", status="demonstration")
    return load_bundle(
        write_bundle(probes=(level_probe("cough_level"), level_probe("level", clips=all_clips), demonstration))
    )


@pytest.fixture
def screener(bundle: Bundle, energy_interpreter: Interpreter) -> Screener:
    return Screener(bundle, interpreter=energy_interpreter)


def without_timing(screening: Screening) -> dict[str, Any]:
    result = screening.to_json()
    del result["timing_ms"]
    return result


def split(waveform: np.ndarray, block_samples: int) -> list[np.ndarray]:
    return [waveform[start : start + block_samples] for start in range(0, len(waveform), block_samples)]


def test_every_cough_is_counted_once_and_found_where_it_is(screener: Screener, coughs_in_noise: np.ndarray) -> None:
    screening = screener.screen_blocks([coughs_in_noise], RATE_HZ, "memory")
    assert screening.cough_count == 3
    assert [event.label for event in screening.events] == ["cough"] * 3
    for event, start_s in zip(screening.events, (1.0, 2.6, 4.2), strict=True):
        assert event.start_s == pytest.approx(start_s, abs=0.04)
        assert event.end_s == pytest.approx(start_s + 0.24, abs=0.04)
        assert event.probability > 0.9
    assert screening.event_scores["cough"] > 0.9
    assert screening.event_scores["speech"] == pytest.approx(1 / (1 + np.exp(8)))


def test_the_recording_level_score_is_the_largest_over_the_clips(bundle: Bundle) -> None:
    class Rising:
        def __init__(self) -> None:
            self.logits = iter([-2.0, 3.0, 1.0])

        def run(self, waveform: np.ndarray) -> ModelOutputs:
            return ModelOutputs(np.zeros(512, np.float32), np.full(8, next(self.logits)), np.full(50, -9.0))

    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE_HZ).astype(np.float32)
    screening = Screener(bundle, interpreter=Rising()).screen_blocks([noise], RATE_HZ, "memory")
    assert set(screening.event_scores.values()) == {1 / (1 + np.exp(-3.0))}
    assert screening.cough_count == 0


def test_a_probe_pools_only_the_clips_that_it_selects(screener: Screener, coughs_in_noise: np.ndarray) -> None:
    waveform = np.concatenate([0.01 * coughs_in_noise[:RATE_HZ]] * 8 + [coughs_in_noise])
    results = {probe.name: probe for probe in screener.screen_blocks([waveform], RATE_HZ, "memory").probes}
    assert results["cough_level"].score > results["level"].score + 4
    assert results["cough_level"].unit == "dB"


def test_a_recording_without_a_cough_leaves_a_cough_probe_unscored(screener: Screener) -> None:
    noise = (0.01 * np.random.default_rng(0).normal(size=5 * RATE_HZ)).astype(np.float32)
    screening = screener.screen_blocks([noise], RATE_HZ, "memory")
    assert screening.quality.acceptable
    assert screening.cough_count == 0
    results = {probe.name: probe for probe in screening.probes}
    assert results["cough_level"].decision is Decision.UNSCORED
    assert results["cough_level"].reason == "no cough was heard clearly enough"
    assert results["level"].score is not None


@pytest.mark.parametrize("block_samples", [999, 16000, 160000])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_the_division_into_blocks_changes_nothing(
    screener: Screener, coughs_in_noise: np.ndarray, rate_hz: int, block_samples: int
) -> None:
    whole = screener.screen_blocks([coughs_in_noise], rate_hz, "memory")
    in_blocks = screener.screen_blocks(split(coughs_in_noise, block_samples), rate_hz, "memory")
    assert in_blocks.cough_count == whole.cough_count
    assert [(e.label, e.start_s, e.end_s) for e in in_blocks.events] == [
        (e.label, e.start_s, e.end_s) for e in whole.events
    ]
    for label, score in whole.event_scores.items():
        assert in_blocks.event_scores[label] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(5 * RATE_HZ, np.float32), "silent"),
        (np.sign(np.sin(np.arange(5 * RATE_HZ) / 10)).astype(np.float32), "clipped"),
        (0.1 * np.random.default_rng(0).normal(size=RATE_HZ // 10).astype(np.float32), "too_short"),
        (np.ones(1, np.float32), "too_short"),
    ],
)
def test_what_cannot_be_judged_is_unscored_with_a_reason(screener: Screener, waveform: np.ndarray, reason: str) -> None:
    screening = screener.screen_blocks([waveform], RATE_HZ, "memory")
    assert reason in screening.quality.reasons
    assert (screening.event_scores, screening.cough_count, screening.events) == (None, None, ())
    assert {probe.decision for probe in screening.probes} == {Decision.UNSCORED}
    assert {probe.score for probe in screening.probes} == {None}
    assert all(probe.reason for probe in screening.probes)


def test_a_short_recording_is_screened_and_its_repeats_are_not_counted(
    screener: Screener, coughs_in_noise: np.ndarray
) -> None:
    short = coughs_in_noise[int(0.8 * RATE_HZ) : int(1.5 * RATE_HZ)]
    screening = screener.screen_blocks([short], RATE_HZ, "memory")
    assert screening.quality.acceptable
    assert screening.cough_count == 1
    assert screening.events[0].start_s == pytest.approx(0.2, abs=0.04)


def test_no_event_leaves_the_recording(screener: Screener, coughs_in_noise: np.ndarray) -> None:
    cut_in_a_cough = coughs_in_noise[: int(4.33 * RATE_HZ) + 7]
    screening = screener.screen_blocks([cut_in_a_cough], RATE_HZ, "memory")
    assert screening.cough_count == 3
    assert screening.events[-1].end_s <= screening.recording.duration_s == len(cut_in_a_cough) / RATE_HZ


def test_a_file_and_its_blocks_give_the_same_screening(
    screener: Screener, coughs_in_noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "coughs.wav"
    write_wav(path, coughs_in_noise)
    first, second = screener.screen(path), screener.screen(path)
    assert without_timing(first) == without_timing(second)
    assert first.recording.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (first.recording.path, first.recording.sample_rate_hz, first.recording.duration_s) == (str(path), 16000, 6.0)
    steps = (np.round(coughs_in_noise * 32768) / 32768).astype(np.float32)
    from_blocks = screener.screen_blocks(split(steps, 1600), RATE_HZ, str(path), first.recording.sha256)
    assert [event.start_s for event in from_blocks.events] == [event.start_s for event in first.events]
    assert from_blocks.event_scores["cough"] == pytest.approx(first.event_scores["cough"], abs=1e-3)


def test_a_long_file_that_a_thread_prepares_gives_what_its_blocks_give(
    screener: Screener, coughs_in_noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, np.tile(coughs_in_noise, 12), 44_100)
    from_file = screener.screen(path)
    assert from_file.recording.duration_s > LONG_S
    blocks = list(open_recording(path).blocks(0.1))
    from_blocks = screener.screen_blocks(blocks, 44_100, str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    assert without_timing(from_file) == without_timing(from_blocks)
    assert from_file.cough_count > 10
    timing_ms = from_file.timing_ms
    assert sum(timing_ms.values()) <= 2 * timing_ms["total"] * (1 + 1e-9)
    assert all(timing_ms[stage] > 0 for stage in ("decode", "resample", "quality", "model"))


def test_all_stages_are_timed_and_add_up_to_no_more_than_the_total(
    screener: Screener, coughs_in_noise: np.ndarray
) -> None:
    timing_ms = screener.screen_blocks([coughs_in_noise], RATE_HZ, "memory").timing_ms
    assert set(timing_ms) == {"decode", "resample", "quality", "model", "events", "probes", "total"}
    assert min(timing_ms.values()) >= 0
    assert sum(timing_ms.values()) <= 2 * timing_ms["total"] * (1 + 1e-9)
    assert timing_ms["model"] > 0


@pytest.mark.parametrize(
    ("blocks", "rate_hz", "sentence"),
    [
        ([], 16000, "memory holds no samples"),
        ([np.zeros(0, np.float32)], 16000, "memory holds no samples"),
        ([np.array([0.1, np.nan], np.float32)], 16000, "memory holds samples that are not finite"),
        ([np.zeros((10, 2), np.float32)], 16000, "more than one channel"),
        ([np.zeros(10, np.float32)], 100, "memory has a sample rate of 100 Hz; expected 4000 to 384000 Hz"),
        ([np.zeros(10, np.float32)], 1_000_000, "memory has a sample rate of 1000000 Hz"),
    ],
)
def test_blocks_that_are_no_recording_are_refused(
    screener: Screener, blocks: list[np.ndarray], rate_hz: int, sentence: str
) -> None:
    with pytest.raises(AudioError, match=sentence):
        screener.screen_blocks(blocks, rate_hz, "memory")


@pytest.mark.long
def test_an_hour_is_screened_in_the_memory_of_a_minute(screener: Screener) -> None:
    block = (0.01 * np.random.default_rng(0).normal(size=10 * RATE_HZ)).astype(np.float32)

    def recording(n_blocks: int) -> Iterator[np.ndarray]:
        for _ in range(n_blocks):
            yield block.copy()

    def peak_bytes(n_blocks: int) -> int:
        tracemalloc.start()
        screening = screener.screen_blocks(recording(n_blocks), RATE_HZ, "memory")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert screening.recording.duration_s == 10 * n_blocks
        return peak

    peak_bytes(1)
    minute = peak_bytes(6)
    assert min(peak_bytes(360) for _ in range(2)) < minute + 200_000  # what another test left running counts too


def test_a_real_model_gives_the_same_numbers_through_every_entrance(
    tiny_bundle: Path, coughs_in_noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "coughs.wav"
    write_wav(path, coughs_in_noise)
    first = screen_recording(path, tiny_bundle)
    again = screen_recording(path, load_bundle(tiny_bundle), threads=2)
    assert without_timing(first) == without_timing(again)
    assert all(0 < score < 1 for score in first.event_scores.values())
    assert {probe.name: probe.status for probe in first.probes} == {"lungs": "research", "tb": "demonstration"}
    assert first.probes[0].score is not None


def test_the_default_bundle_screens_noise_without_finding_a_cough(default_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    write_wav(path, (0.02 * np.random.default_rng(0).normal(size=6 * RATE_HZ)).astype(np.float32))
    first, again = screen_recording(path), screen_recording(path, default_bundle)
    assert without_timing(first) == without_timing(again)
    assert first.cough_count == 0
    assert {probe.decision for probe in first.probes} == {Decision.UNSCORED}


def test_a_model_altered_after_loading_is_not_run(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    with pytest.raises(BundleError, match="was altered"):
        Screener(dataclasses.replace(bundle, model_sha256="0" * 64))


def test_a_run_that_ends_before_the_first_block_still_hears_it(
    bundle: Bundle, energy_interpreter: Interpreter, coughs_in_noise: np.ndarray, tmp_path: Path
) -> None:
    ended = Screener(bundle, interpreter=energy_interpreter, is_ended=lambda: True)
    path = tmp_path / "begun.wav"
    write_wav(path, coughs_in_noise)
    assert ended.screen(path).recording.duration_s == 6.0
    write_wav(path, np.tile(coughs_in_noise, 20), 44_100)
    with pytest.raises(IncompleteError, match=r"ended after 5\.9 s") as caught:
        ended.screen(path)
    assert caught.value.result.recording.duration_s == pytest.approx(PIECE_FRAMES / 44_100)
