import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.bundle import Bundle, load_bundle
from core.demonstration import COUGH_TIMES_S, synthesize_demonstration
from core.errors import AudioError, SettingsError
from core.events import Event
from core.interpreter import Interpreter, LiteRtInterpreter, ModelOutputs
from core.monitoring.gate import GateSettings
from core.monitoring.hourly_totals import HourlyTotals, HourTotals, Totals
from core.monitoring.monitor import Monitor, MonitorSettings
from core.quality import QualityMeter
from core.screener import Screener
from core.sound.high_pass import high_passed

RATE_HZ = 16000
NO_GATE = MonitorSettings(gate=None)


@pytest.fixture
def bundle(write_bundle: Callable[..., Path]) -> Bundle:
    return load_bundle(write_bundle())


@pytest.fixture
def stream(coughs_in_noise: np.ndarray) -> np.ndarray:
    """A minute of faint noise with three coughs from 31.0, 32.6 and 34.2 s on."""
    noise = (0.002 * np.random.default_rng(1).normal(size=60 * RATE_HZ)).astype(np.float32)
    noise[30 * RATE_HZ : 36 * RATE_HZ] = coughs_in_noise
    return noise


def monitor(
    bundle: Bundle,
    interpreter: Interpreter,
    waveform: np.ndarray,
    settings: MonitorSettings | None = None,
    block_samples: int | None = None,
    rate_hz: int = RATE_HZ,
) -> tuple[list[Event], Totals]:
    """Events in the order in which they became final, and totals."""
    block_samples = block_samples or len(waveform)
    blocks = [waveform[start : start + block_samples] for start in range(0, len(waveform), block_samples)]
    listening = Monitor(bundle, interpreter, rate_hz, settings)
    events = [event for found in listening.listen(blocks) for event in found.events]
    return events, listening.totals


def in_time(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.start_s)


def test_with_the_gate_off_and_the_bundles_hop_it_finds_what_a_screening_finds(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray
) -> None:
    screening = Screener(bundle, interpreter=energy_interpreter).screen_blocks([stream], RATE_HZ, "memory")
    settings = MonitorSettings(hop_s=bundle.screening.hop_s, gate=None)
    events, totals = monitor(bundle, energy_interpreter, stream, settings)
    assert screening.cough_count == 3
    assert tuple(in_time(events)) == screening.events
    assert totals.event_counts["cough"] == screening.cough_count
    assert (totals.n_clips_run, totals.n_clips_gated) == (59, 0)


def test_the_shipped_model_finds_the_same_in_a_stream_and_in_a_recording(default_bundle: Bundle) -> None:
    interpreter = LiteRtInterpreter(default_bundle.read_model(), 1, default_bundle.model_shape)
    recording = synthesize_demonstration()
    screening = Screener(default_bundle, interpreter=interpreter).screen_blocks([recording], RATE_HZ, "memory")
    settings = MonitorSettings(hop_s=default_bundle.screening.hop_s, gate=None)
    events, _ = monitor(default_bundle, interpreter, recording, settings, block_samples=1600)
    by_place = sorted(events, key=lambda event: (event.start_s, default_bundle.event_labels.index(event.label)))
    assert tuple(by_place) == screening.events
    assert screening.cough_count


def test_the_gate_leaves_out_the_quiet_and_no_cough(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray
) -> None:
    gated, totals = monitor(bundle, energy_interpreter, stream)
    everything, all_totals = monitor(bundle, energy_interpreter, stream, NO_GATE)
    assert [event.start_s for event in gated] == pytest.approx([31.0, 32.6, 34.2], abs=0.05)
    assert gated == everything
    assert totals.n_clips_run + totals.n_clips_gated == all_totals.n_clips_run
    assert totals.gated_share > 0.6 and all_totals.gated_share == 0.0


def test_the_gate_keeps_every_synthesized_cough_that_the_shipped_model_hears(default_bundle: Bundle) -> None:
    interpreter = LiteRtInterpreter(default_bundle.read_model(), 1, default_bundle.model_shape)
    noise = (0.0008 * np.random.default_rng(0).normal(size=60 * RATE_HZ)).astype(np.float32)
    noise[30 * RATE_HZ : 36 * RATE_HZ] += synthesize_demonstration()

    def coughs(settings: MonitorSettings) -> list[float]:
        events, _ = monitor(default_bundle, interpreter, noise, settings)
        return [event.start_s for event in events if event.label == "cough"]

    heard = coughs(NO_GATE)
    assert heard and len(heard) <= len(COUGH_TIMES_S)
    assert coughs(MonitorSettings()) == pytest.approx(heard, abs=0.1)


@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("block_samples", [37 * 16, 8000, 99_999])
def test_how_the_stream_is_cut_into_blocks_does_not_matter(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray, rate_hz: int, block_samples: int
) -> None:
    whole = monitor(bundle, energy_interpreter, stream, rate_hz=rate_hz)
    in_blocks = monitor(bundle, energy_interpreter, stream, block_samples=block_samples, rate_hz=rate_hz)
    assert in_blocks == whole
    assert len(whole[0]) == 3


def test_a_microphone_may_fill_the_same_memory_again(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray
) -> None:
    listening, memory, events = Monitor(bundle, energy_interpreter, RATE_HZ), np.zeros(160, np.float32), []
    for start in range(0, len(stream), 160):
        memory[:] = stream[start : start + 160]
        events += listening.push(memory).events
    events += listening.finish().events
    assert events == monitor(bundle, energy_interpreter, stream)[0]


def test_a_cough_is_handed_over_once_and_within_three_seconds(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray
) -> None:
    listening, told = Monitor(bundle, energy_interpreter, RATE_HZ), []
    for start in range(0, len(stream), 1600):
        found = listening.push(stream[start : start + 1600])
        told += [(event, (start + 1600) / RATE_HZ) for event in found.events]
    assert len(told) == 3
    assert all(0 < at_s - event.end_s < 3.0 for event, at_s in told)
    assert listening.finish().events == ()


def test_another_labels_event_is_handed_over_when_it_is_over_and_not_at_the_end(bundle: Bundle) -> None:
    class Speech:
        """Hears speech from 10 to 20 s by counting its clips, one a second."""

        def __init__(self) -> None:
            self.n_clips = 0

        def run(self, waveform: np.ndarray) -> ModelOutputs:
            events = np.full(8, -9.0)
            events[6] = 9.0 if 10 <= self.n_clips < 20 else -9.0
            self.n_clips += 1
            return ModelOutputs(np.zeros(512, np.float32), events, np.full(50, -9.0))

    listening = Monitor(bundle, Speech(), RATE_HZ, MonitorSettings(1.0, None))
    told = []
    second_of_noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    for second in range(60):
        told += [(event, second) for event in listening.push(second_of_noise).events]
    ((event, at_s),) = told
    assert (event.label, event.start_s, event.end_s) == ("speech", 10.0, 21.0)
    assert at_s <= 24


def test_clips_start_on_the_frames_of_the_activity_track(bundle: Bundle) -> None:
    """The first samples of each clip, all of them different, tell where it was cut."""
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * RATE_HZ).astype(np.float32)
    place_of = {value: place for place, value in enumerate(high_passed(noise).tolist())}
    starts = []

    class Where:
        def run(self, waveform: np.ndarray) -> ModelOutputs:
            starts.append(place_of[float(waveform[0])])
            return ModelOutputs(np.zeros(512, np.float32), np.full(8, -9.0), np.full(50, -9.0))

    monitor(bundle, Where(), noise, NO_GATE)
    assert starts == [0, 8320, 16000, 24320, 32000, 40320, 48000, 56320, 64000]


@pytest.mark.long
def test_an_endless_stream_is_heard_in_the_memory_of_a_minute(bundle: Bundle, energy_interpreter: Interpreter) -> None:
    generator = np.random.default_rng(0)
    block = (0.002 * generator.normal(size=10 * RATE_HZ)).astype(np.float32)
    block[RATE_HZ : RATE_HZ + 4000] *= 100

    def peak_bytes(n_blocks: int) -> tuple[int, int]:
        tracemalloc.start()
        listening, n_events = Monitor(bundle, energy_interpreter, RATE_HZ), 0
        for _ in range(n_blocks):
            n_events += len(listening.push(block.copy()).events)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, n_events

    peak_bytes(2)
    (short, n_few), (long, n_many) = peak_bytes(12), peak_bytes(400)
    assert n_many > 30 * n_few > 0
    assert long < short + 160_000  # a byte for each second of the hour, and what is made of them when it closes


def test_an_hour_of_silence_is_unscored_and_never_no_cough(bundle: Bundle, energy_interpreter: Interpreter) -> None:
    events, totals = monitor(bundle, energy_interpreter, np.zeros(20 * RATE_HZ, np.float32))
    assert events == []
    assert totals.event_counts is None and totals.per_hour("cough") is None
    assert (totals.scored_s, totals.unscored_s) == (0.0, 20.0)


def test_a_stream_shorter_than_a_clip_is_heard(
    bundle: Bundle, energy_interpreter: Interpreter, coughs_in_noise: np.ndarray
) -> None:
    events, totals = monitor(bundle, energy_interpreter, coughs_in_noise[: int(1.5 * RATE_HZ)])
    assert [event.start_s for event in events] == pytest.approx([1.0], abs=0.05)
    assert (totals.n_clips_run, totals.n_clips_gated) == (1, 0)


def test_time_is_given_for_each_stage_and_none_for_probes(
    bundle: Bundle, energy_interpreter: Interpreter, stream: np.ndarray
) -> None:
    listening = Monitor(bundle, energy_interpreter, RATE_HZ)
    list(listening.listen([stream]))
    timing_ms = listening.timing_ms
    assert min(timing_ms[stage] for stage in ("resample", "quality", "model", "events")) > 0
    assert timing_ms["probes"] == 0.0
    assert listening.duration_s == 60.0


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (np.zeros((10, 2), np.float32), "the stream holds samples .* more than one channel"),
        (np.array([0.1, np.nan], np.float32), "the stream holds samples that are not finite"),
        (np.zeros(0, np.float32), "the stream holds no samples; expected sound"),
    ],
)
def test_blocks_that_are_no_sound_are_refused(
    bundle: Bundle, energy_interpreter: Interpreter, block: np.ndarray, sentence: str
) -> None:
    with pytest.raises(AudioError, match=sentence):
        list(Monitor(bundle, energy_interpreter, RATE_HZ).listen([block]))


def test_a_rate_or_a_hop_out_of_range_is_refused(bundle: Bundle, energy_interpreter: Interpreter) -> None:
    with pytest.raises(AudioError, match="the stream has a sample rate of 100 Hz; expected 4000 to 384000 Hz"):
        Monitor(bundle, energy_interpreter, 100)
    for hop_s in (0.0, 2.5, float("nan")):
        with pytest.raises(SettingsError, match="more than 0 and at most 2 s"):
            MonitorSettings(hop_s=hop_s)
    with pytest.raises(SettingsError, match=r"the hop is 0\.01 s; expected at least a frame, 0\.04 s"):
        Monitor(bundle, energy_interpreter, RATE_HZ, MonitorSettings(0.01, GateSettings()))


def fill(hours: HourlyTotals, duration_s: float, level: float = 0.1) -> None:
    n_samples = round(duration_s * RATE_HZ)
    hours.push((level * np.random.default_rng(0).normal(size=n_samples)).astype(np.float32))


def test_events_count_in_the_hour_in_which_they_end() -> None:
    hours = HourlyTotals(("cough",), settling_s=1.0, hour_s=10.0)
    fill(hours, 25.0)
    for start_s, end_s in ((1.0, 1.3), (9.7, 10.0), (9.9, 10.2), (24.0, 24.4)):
        hours.count_event(Event("cough", start_s, end_s, 0.9))
    for start_s in (0.0, 9.5, 10.0, 20.0):
        hours.count_clip(start_s, is_gated=start_s == 9.5)
    assert hours.close_before(10.9) == []
    closed = hours.close_before(11.0) + hours.finish()
    assert [(hour.start_s, hour.duration_s) for hour in closed] == [(0.0, 10.0), (10.0, 10.0), (20.0, 5.0)]
    assert [hour.event_counts["cough"] for hour in closed] == [2, 1, 1]
    assert [(hour.n_clips_run, hour.n_clips_gated) for hour in closed] == [(1, 1), (1, 0), (1, 0)]


def test_an_hour_that_cannot_be_judged_has_no_count_and_does_not_spoil_the_rate() -> None:
    hours = HourlyTotals(("cough",), settling_s=0.0, hour_s=10.0)
    fill(hours, 10.0)
    hours.push(np.zeros(10 * RATE_HZ, np.float32))
    hours.count_event(Event("cough", 1.0, 1.3, 0.9))
    totals, closed = Totals(), hours.finish()
    for hour in closed:
        totals += hour
    assert [hour.event_counts for hour in closed] == [{"cough": 1}, None]
    assert closed[1].quality.reasons == ("silent",)
    assert (totals.scored_s, totals.unscored_s, totals.per_hour("cough")) == (10.0, 10.0, 360.0)


def test_each_hour_is_judged_on_its_own_samples_however_they_come() -> None:
    whole, pieces = HourlyTotals(("cough",), 0.0, 1.0), HourlyTotals(("cough",), 0.0, 1.0)
    waveform = (0.1 * np.random.default_rng(0).normal(size=40_000)).astype(np.float32)
    whole.push(waveform)
    for start in range(0, len(waveform), 777):
        pieces.push(waveform[start : start + 777])
    meter = QualityMeter()
    meter.push(waveform[16_000:32_000])
    found: list[HourTotals] = whole.finish()
    assert found == pieces.finish()
    assert found[1].quality == meter.verdict()
