"""What is timed is the app's own screening, with its stages."""

import numpy as np
import pytest

from benchmarks.timing.interleaved import time_interleaved
from benchmarks.timing.screening import load_screening, write_recording
from core.bundle import Bundle
from core.screener import screen_recording
from core.stopwatch import STAGES
from core.wav import read_wav_layout

SCREENING_STAGES = ["screening", *(f"screening: {name}" for name in STAGES)]


def test_the_stages_of_a_screening_add_up_to_no_more_than_the_whole(tiny_bundle, tmp_path):
    from core.bundle import load_bundle

    bundle = load_bundle(tiny_bundle)
    recording = write_recording(tmp_path / "a.wav")
    screening = load_screening(bundle, bundle.model_path, recording, 1, "ours", "xnnpack")
    (timing,) = time_interleaved([screening.contender], min_runs=3)
    stages = screening.stages(3)
    assert [stage.stage for stage, _ in stages] == SCREENING_STAGES[1:]
    assert np.all(sum(part.runs_s for _, part in stages) <= timing.runs_s)
    assert screening.contender.facts["n_clips"] == 9
    assert len(screening.timings_ms) == 1 + 5 + 2 * 3


def test_the_benchmark_screens_as_the_app_does(default_bundle: Bundle, tmp_path):
    recording = write_recording(tmp_path / "a.wav")
    with recording.open("rb") as file:
        assert read_wav_layout(file, recording).format.sample_rate_hz == 44_100
    screening = screen_recording(recording, default_bundle)
    assert screening.quality.acceptable and screening.cough_count >= 3
    assert screening.recording.duration_s == pytest.approx(10)
