"""Tests the model through ModelRunner and the stub Interpreter, behind which the real LiteRT stands."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from app.devices.android.interpreter import AndroidInterpreter
from core.bundle import load_bundle
from core.demonstration import synthesize_demonstration
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter
from core.screener import Screener
from tests.android.desktop_java import Switches
from tests.android.model_backend import ModelBackend, java_backend

BUNDLE = load_bundle(None)
MODEL = BUNDLE.read_model()
SHAPE = BUNDLE.model_shape


@pytest.fixture
def backend(phone: Switches) -> Iterator[ModelBackend]:
    from jnius import autoclass

    model_backend = ModelBackend()
    java_object = java_backend(model_backend)
    switch = autoclass("org.tussis.stub.Switch")
    switch.use(java_object)
    switch.set("org.tensorflow.lite.Interpreter", "open", 0.0)
    yield model_backend


def clips(count: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(-0.3, 0.3, (count, SHAPE.clip_samples)).astype(np.float32)


@pytest.mark.long
@pytest.mark.parametrize("xnnpack", [True, False])
def test_the_outputs_are_those_of_the_desktop_exactly(backend, xnnpack):
    android = AndroidInterpreter(MODEL, 1, SHAPE, xnnpack)
    backend_twin = LiteRtInterpreter(MODEL, 1, SHAPE) if xnnpack else None
    for clip in clips(3):
        outputs = android.run(clip)
        if backend_twin is not None:
            expected = backend_twin.run(clip)
            for name in SHAPE.outputs():
                np.testing.assert_array_equal(getattr(outputs, name), getattr(expected, name))
        assert outputs.embedding.shape == (SHAPE.embedding_size,)
        assert outputs.activity_logits.shape == (SHAPE.n_activity_frames,)
    assert backend.opened == [(1, xnnpack)]


def test_a_whole_screening_has_the_same_numbers(backend):
    waveform = synthesize_demonstration()
    screenings = [
        Screener(BUNDLE, interpreter=interpreter).screen_blocks([waveform], 16_000, "demonstration")
        for interpreter in (AndroidInterpreter(MODEL, 1, SHAPE), LiteRtInterpreter(MODEL, 1, SHAPE))
    ]
    rows = [screening.to_json() for screening in screenings]
    for row in rows:
        row.pop("timing_ms")
    assert rows[0] == rows[1] and len(screenings[0].events) > 0


def test_threads_reach_the_runtime_and_too_many_are_refused(backend):
    AndroidInterpreter(MODEL, 4, SHAPE)
    assert backend.opened == [(4, True)]
    with pytest.raises(InterpreterError, match="65 threads were asked for"):
        AndroidInterpreter(MODEL, 65, SHAPE)


@pytest.mark.parametrize("wrong", ["names", "shape", "clip"])
def test_a_model_or_a_clip_of_another_shape_is_refused(backend, wrong):
    if wrong == "clip":
        interpreter = AndroidInterpreter(MODEL, 1, SHAPE)
        with pytest.raises(InterpreterError, match=r"a clip has shape \(100,\)"):
            interpreter.run(np.zeros(100, np.float32))
        return
    described = backend.open
    changed = ("embedding", "embeddings") if wrong == "names" else (f"1,{SHAPE.embedding_size}", "1,7")
    backend.open = lambda *given: described(*given).replace(*changed)
    with pytest.raises(InterpreterError, match=r"has the outputs|expected float32"):
        AndroidInterpreter(MODEL, 1, SHAPE)


def test_a_model_with_another_signature_is_refused_and_closed(backend):
    described = backend.open
    backend.open = lambda *given: described(*given).replace("screen", "serve")
    with pytest.raises(InterpreterError, match='has the signatures serve; expected one named "screen"'):
        AndroidInterpreter(MODEL, 1, SHAPE)
    assert open_interpreters() == 0


@pytest.mark.parametrize("content", [b"", MODEL[: len(MODEL) // 2], b"TFL3" * 100, MODEL[:1000]])
def test_a_truncated_model_is_refused(backend, content):
    with pytest.raises(InterpreterError):
        AndroidInterpreter(content, 1, SHAPE)


def test_a_model_that_litert_itself_refuses_is_a_sentence(backend):
    backend.open = lambda *given: "error Could not build model from the provided pre-loaded flatbuffer"
    with pytest.raises(InterpreterError, match=r"not a TFLite model that runs here \(Could not build model"):
        AndroidInterpreter(MODEL, 1, SHAPE)


@pytest.mark.parametrize("output", ["embedding", "event_logits", "activity_logits"])
def test_an_output_that_is_not_finite_is_refused(backend, output):
    def spoil(outputs):
        outputs[output][0, -1] = np.nan
        return outputs

    backend.spoil = spoil
    with pytest.raises(InterpreterError, match=f'output "{output}" is not finite'):
        AndroidInterpreter(MODEL, 1, SHAPE).run(clips(1)[0])


def test_a_run_that_litert_refuses_is_a_sentence_and_the_next_one_works(backend):
    interpreter = AndroidInterpreter(MODEL, 1, SHAPE)
    backend.is_broken = True
    with pytest.raises(InterpreterError, match="failed on a clip"):
        interpreter.run(clips(1)[0])
    backend.is_broken = False
    assert np.isfinite(interpreter.run(clips(1)[0]).embedding).all()


def test_buffers_are_rewound_so_that_the_same_clip_gives_the_same_outputs(backend):
    interpreter = AndroidInterpreter(MODEL, 1, SHAPE)
    first, other = clips(2)
    before = interpreter.run(first).embedding
    interpreter.run(other)
    np.testing.assert_array_equal(interpreter.run(first).embedding, before)


def test_close_gives_the_memory_back(backend):
    interpreter = AndroidInterpreter(MODEL, 1, SHAPE)
    assert open_interpreters() == 1
    interpreter.close()
    assert open_interpreters() == 0


def test_timed_runs_are_told_one_by_one(backend):
    times_ms = AndroidInterpreter(MODEL, 1, SHAPE).time_runs(clips(1)[0], 5)
    assert len(times_ms) == 5 and all(time_ms > 0.05 for time_ms in times_ms)


def test_passing_a_clip_to_java_and_its_outputs_back_takes_half_a_millisecond_at_most(backend):
    """All of a run but the model and the stub's own way to Python: a backend that answers from a Java buffer."""
    from jnius import autoclass

    interpreter = AndroidInterpreter(MODEL, 1, SHAPE)
    expected = interpreter.run(clips(1)[0])
    autoclass("org.tussis.stub.Switch").answerAlways(backend.run("screen", clips(1)[0].tobytes()))
    took_ms = []
    for clip in clips(50):
        began_s = time.perf_counter()
        outputs = interpreter.run(clip)
        took_ms.append(1000 * (time.perf_counter() - began_s))
    np.testing.assert_array_equal(outputs.embedding, expected.embedding)
    assert min(took_ms) < 0.5, f"{np.median(took_ms):.2f} ms in the middle"


def open_interpreters() -> int:
    from jnius import autoclass

    return int(autoclass("org.tussis.stub.Switch").get("org.tensorflow.lite.Interpreter", "open"))
