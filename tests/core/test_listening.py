"""Sound is heard clip by clip, on the model's grid, and the model is run where a clip is admitted."""

import numpy as np
import pytest

from core.audio import SAMPLE_RATE_HZ
from core.clips import Clip, ClipCutter
from core.errors import AudioError
from core.interpreter import Interpreter, ModelOutputs
from core.listening import Listener, check_block, check_sample_rate, listen
from core.probes import sigmoid
from core.resample import resample
from core.sound.high_pass import high_passed

STEP_S = 0.04


@pytest.mark.parametrize(("rate_hz", "hop_s"), [(16_000, 1.0), (16_000, 0.5), (44_100, 1.0)])
def test_every_clip_of_the_resampled_sound_is_run_in_order(
    energy_interpreter: Interpreter, coughs_in_noise: np.ndarray, rate_hz: int, hop_s: float
) -> None:
    blocks = [coughs_in_noise[:777], coughs_in_noise[777:50_000], coughs_in_noise[50_000:]]
    cutter = ClipCutter(hop_s, STEP_S)
    expected = [*cutter.push(high_passed(resample(coughs_in_noise, rate_hz))), *cutter.finish()]
    heard = list(listen(blocks, rate_hz, energy_interpreter, hop_s, STEP_S))
    assert len(heard) == len(expected) >= 2
    for clip, cut in zip(heard, expected, strict=True):
        outputs: ModelOutputs = energy_interpreter.run(cut.waveform)
        assert (clip.start_s, clip.valid_s, clip.is_gated) == (cut.start_s, cut.valid_s, False)
        np.testing.assert_array_equal(clip.waveform, cut.waveform)
        np.testing.assert_array_equal(clip.embedding, outputs.embedding)
        np.testing.assert_array_equal(clip.window.events, sigmoid(outputs.event_logits))
        np.testing.assert_array_equal(clip.window.activity, sigmoid(outputs.activity_logits))


def test_all_samples_at_16_khz_are_measured(energy_interpreter: Interpreter, coughs_in_noise: np.ndarray) -> None:
    class Collector:
        def __init__(self) -> None:
            self.raw: list[np.ndarray] = []
            self.passed: list[np.ndarray] = []

        def push(self, block: np.ndarray) -> None:
            self.raw.append(block)

        def push_passed(self, block: np.ndarray) -> None:
            self.passed.append(block)

    collector = Collector()
    list(listen([coughs_in_noise], 8_000, energy_interpreter, 1.0, STEP_S, collector))
    samples = resample(coughs_in_noise, 8_000)
    np.testing.assert_array_equal(np.concatenate(collector.raw), samples)
    np.testing.assert_array_equal(np.concatenate(collector.passed), high_passed(samples))


@pytest.mark.parametrize("spoilt_by", ["an offset", "50 Hz", "150 Hz"])
def test_the_model_hears_the_same_with_hum_or_an_offset(
    energy_interpreter: Interpreter, coughs_in_noise: np.ndarray, spoilt_by: str
) -> None:
    time_s = np.arange(len(coughs_in_noise)) / SAMPLE_RATE_HZ
    added = 0.3 if spoilt_by == "an offset" else 0.25 * np.sin(2 * np.pi * int(spoilt_by[:-3]) * time_s)
    spoilt = (coughs_in_noise + added).astype(np.float32)
    clean = list(listen([coughs_in_noise], SAMPLE_RATE_HZ, energy_interpreter, 1.0, STEP_S))
    heard = list(listen([spoilt], SAMPLE_RATE_HZ, energy_interpreter, 1.0, STEP_S))
    for one, other in zip(heard[1:-1], clean[1:-1], strict=True):
        np.testing.assert_allclose(one.waveform, other.waveform, atol=0.006)


def test_a_clip_that_is_not_admitted_is_not_run_but_the_last_one_always_is(
    energy_interpreter: Interpreter, coughs_in_noise: np.ndarray
) -> None:
    def starts_late(clip: Clip) -> bool:
        return clip.start_s >= 3.0

    sound = coughs_in_noise[: 5 * SAMPLE_RATE_HZ + 800]
    listener = Listener(energy_interpreter, SAMPLE_RATE_HZ, 1.0, STEP_S, admits=starts_late)
    heard = listener.hear(sound) + listener.finish()
    assert [(clip.start_s, clip.is_gated) for clip in heard[:4]] == [(0, True), (1, True), (2, True), (3, False)]
    assert heard[0].event_probabilities is None and heard[0].activity_probabilities is None
    (last,) = heard[4:]
    assert last.start_s == pytest.approx(3.05) and not last.is_gated


def test_a_rate_out_of_range_and_samples_that_are_no_sound_are_refused_by_name() -> None:
    with pytest.raises(AudioError, match=r"a\.wav has a sample rate of 3999 Hz; expected 4000 to 384000 Hz\."):
        check_sample_rate(3_999, "a.wav")
    for block in (np.zeros((10, 2)), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match=r"a\.wav holds samples that are not finite numbers"):
            check_block(block, "a.wav")
