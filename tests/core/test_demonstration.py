"""The demonstration recording is the same everywhere and has its coughs where it says."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from core.audio import read_waveform, write_wav
from core.demonstration import (
    COUGH_LENGTH_S,
    COUGH_TIMES_S,
    DEMONSTRATION_S,
    main,
    synthesize_demonstration,
    synthesized_clips,
)
from core.screener import screen_recording

YAMNET = Path(__file__).resolve().parents[3] / "shared" / "models" / "yamnet.tflite"
YAMNET_SAMPLES, YAMNET_COUGH = 15_600, 42


def test_it_is_six_seconds_of_sound_within_full_scale() -> None:
    waveform = synthesize_demonstration()
    assert (waveform.shape, waveform.dtype) == ((96_000,), np.float32)
    assert DEMONSTRATION_S == 6.0
    assert 0.5 < np.abs(waveform).max() < 1.0


def test_it_is_the_same_every_time_to_16_bits() -> None:
    first, second = synthesize_demonstration(), synthesize_demonstration()
    np.testing.assert_array_equal(first, second)
    pcm = np.rint(first.astype(np.float64) * 256).astype(
        np.int16
    )  # coarse, so that another FFT may differ in its last bits
    assert hashlib.sha256(pcm.tobytes()).hexdigest()[:16] == "9ecdbbd155084827"


def test_each_cough_starts_suddenly_lasts_as_long_as_it_says_and_has_silence_around_it() -> None:
    waveform = synthesize_demonstration().astype(np.float64)
    levels_db = 10 * np.log10(np.mean(np.square(waveform.reshape(-1, 320)), axis=1))  # 20 ms frames
    is_loud = levels_db > -45
    starts = np.flatnonzero(np.diff(is_loud.astype(int), prepend=0) == 1) * 0.02
    ends = np.flatnonzero(np.diff(is_loud.astype(int), append=0) == -1) * 0.02 + 0.02
    np.testing.assert_allclose(starts, COUGH_TIMES_S, atol=0.03)
    assert np.all(ends - starts <= COUGH_LENGTH_S + 0.04)
    assert np.all(ends - starts >= 0.2)
    assert np.median(levels_db[~is_loud]) == pytest.approx(-62, abs=1)


def test_the_opening_is_broadband_and_the_rest_decays() -> None:
    waveform = synthesize_demonstration().astype(np.float64)
    for start_s in COUGH_TIMES_S:
        cough = waveform[round(start_s * 16_000) :][: round(COUGH_LENGTH_S * 16_000)]
        spectrum = np.square(np.abs(np.fft.rfft(cough[:800], 1_600)))
        assert spectrum[200:].sum() > 0.05 * spectrum.sum()  # above 2 kHz
        early, late = cough[:1_600].std(), cough[-1_600:].std()
        assert 20 * np.log10(early / late) > 10


@pytest.mark.skipif(not YAMNET.exists(), reason="YAMNet is not beside the project")
def test_an_independent_detector_hears_every_cough_and_none_between() -> None:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    model = interpreter_module.Interpreter(str(YAMNET), num_threads=1)
    model.allocate_tensors()
    inputs, outputs = model.get_input_details()[0], model.get_output_details()[0]

    def cough_score(start_s: float) -> float:
        window = waveform[round(start_s * 16_000) :][:YAMNET_SAMPLES]
        model.set_tensor(inputs["index"], window.reshape(inputs["shape"]))
        model.invoke()
        return float(model.get_tensor(outputs["index"]).reshape(-1)[YAMNET_COUGH])

    waveform = synthesize_demonstration()
    for start_s in COUGH_TIMES_S:
        assert cough_score(start_s - 0.2) > 0.9
    assert cough_score(1.5) < 0.3


def test_the_command_writes_what_the_function_gives(tmp_path, monkeypatch) -> None:
    out = tmp_path / "demonstration.wav"
    monkeypatch.setattr("sys.argv", ["demonstration", str(out)])
    main()
    assert np.abs(read_waveform(out) - synthesize_demonstration()).max() < 1e-4
    monkeypatch.setattr("sys.argv", ["demonstration", str(tmp_path / "no folder" / "x.wav")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2


def test_the_shipped_bundle_counts_its_coughs_at_their_times(tmp_path, default_bundle) -> None:
    write_wav(tmp_path / "demonstration.wav", synthesize_demonstration())
    screening = screen_recording(tmp_path / "demonstration.wav", default_bundle)
    assert screening.cough_count == len(COUGH_TIMES_S)
    for event, start_s in zip([e for e in screening.events if e.label == "cough"], COUGH_TIMES_S, strict=True):
        assert abs(event.start_s - start_s) < 0.25


def test_synthesized_clips_are_the_same_for_a_seed_and_begin_with_silence() -> None:
    clips = synthesized_clips(9, seed=3)
    assert (clips.shape, clips.dtype) == ((9, 32_000), np.float32)
    np.testing.assert_array_equal(clips, synthesized_clips(9, seed=3))
    peaks = np.abs(clips).max(axis=1)
    assert peaks[0] == 0 and (peaks[1:] >= 10 ** (-50 / 20) * 0.999).all() and (peaks <= 1).all()
