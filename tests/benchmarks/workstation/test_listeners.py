"""Listeners: all hear the same blocks in turns, and what each block costs is noted."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.timing.peers import YAMNET_SAMPLES
from benchmarks.workstation.listeners import Listening, MonitorListening, YamnetStream, hear_in_turns, paced
from benchmarks.workstation.long_sound import one_minute
from core.bundle import load_bundle
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter

YAMNET = Path(__file__).parents[4] / "shared" / "models" / "yamnet.tflite"
RATE_HZ = 16000


def test_what_a_chunk_costs_is_noted_chunk_by_chunk():
    heard = []
    listening = Listening("one", heard.append)
    for level in (0.0, 1.0):
        listening.take(np.full(4, level))
    assert [chunk[0] for chunk in heard] == [0.0, 1.0]
    assert len(listening.processor_s) == len(listening.wall_s) == 2 and min(listening.wall_s) > 0


def test_yamnet_hears_a_frame_every_048_seconds_however_the_stream_is_cut():
    if not YAMNET.exists():
        pytest.skip("shared/models/yamnet.tflite is not there")
    waveform, n_frames = 0.01 * np.random.default_rng(0).normal(size=5 * RATE_HZ).astype(np.float32), []
    for n_samples in (3_000, 80_000):
        stream = YamnetStream(YAMNET.read_bytes())
        for start in range(0, len(waveform), n_samples):
            stream.hear(waveform[start : start + n_samples])
        n_frames.append(stream.n_frames)
    assert n_frames == [1 + (len(waveform) - YAMNET_SAMPLES) // 7680] * 2


def test_a_model_that_is_not_yamnet_is_refused(tiny_bundle):
    with pytest.raises(InterpreterError, match="is not YAMNet: expected an input of 15600"):
        YamnetStream((tiny_bundle / "model.tflite").read_bytes())


def test_all_hear_every_block_in_turns_and_tenths_follow_on_one_another():
    order = []
    listeners = [Listening(name, lambda block, name=name: order.append(name)) for name in ("a", "b")]
    parts = list(hear_in_turns(listeners, (np.zeros(4) for _ in range(25)), 25))
    assert order[:6] == ["b", "a", "a", "b", "b", "a"] and len(order) == 50
    assert [part.stage for part in parts] == [f"{n} to {n + 10} %" for n in range(0, 100, 10)]
    assert [n for part in parts for n in range(25)[part.blocks]] == list(range(25))
    assert {part.blocks.stop - part.blocks.start for part in parts} == {2, 3}
    for before, after in itertools.pairwise(parts):
        assert before.end_s == after.begin_s < after.end_s
    assert parts[0].resident_bytes is None or parts[0].resident_bytes > 5e6


def test_two_clips_a_second_are_run(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    interpreter, counts = LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape), []
    counting = type("Counting", (), {"run": lambda self, waveform: counts.append(1) or interpreter.run(waveform)})()
    listening = MonitorListening("a monitor", bundle, counting, None)
    for number, block in enumerate(one_minute()[: 20 * 16_000].reshape(20, -1)):
        listening.take(block)
        assert abs(len(counts) - 2 * number) <= 4  # the high-pass gives half a second at once
    listening.finish()
    assert listening.gated_share == 0 and len(listening.wall_s) == 20


def test_blocks_come_when_a_microphone_would_have_them_and_what_is_late_comes_at_once():
    started_s, came_s = time.perf_counter(), []
    for number, _ in enumerate(paced(np.zeros((6, 800), np.float32), 0.05)):
        came_s.append(time.perf_counter() - started_s)
        if number == 1:
            time.sleep(0.12)
    assert all(at_s >= 0.05 * (number + 1) - 1e-3 for number, at_s in enumerate(came_s))
    assert came_s[3] - came_s[2] < 0.04  # both were due while the second was worked on
