import builtins
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter, ModelShape

TESTS = Path(__file__).parents[1]


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, 32000).astype(np.float32)


@pytest.mark.slow
def test_the_tiny_model_of_these_tests_is_what_its_command_makes(tiny_model: bytes, tmp_path: Path) -> None:
    for library in ("torch", "litert_torch"):
        pytest.importorskip(library, reason="a model can be converted on a workstation only")
    command = [sys.executable, str(TESTS / "tiny_model.py"), str(tmp_path / "model.tflite")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "model.tflite").read_bytes() == tiny_model


def test_the_model_gives_the_three_outputs_in_their_shapes(tiny_model: bytes) -> None:
    outputs = LiteRtInterpreter(tiny_model).run(noise(0))
    shapes = (outputs.embedding.shape, outputs.event_logits.shape, outputs.activity_logits.shape)
    assert shapes == ((512,), (8,), (50,))
    assert outputs.embedding.dtype == np.float32


def test_a_path_and_the_content_of_its_file_give_the_same_numbers(tiny_model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_model)
    from_path, from_content = LiteRtInterpreter(path).run(noise(1)), LiteRtInterpreter(tiny_model).run(noise(1))
    assert np.array_equal(from_path.embedding, from_content.embedding)
    assert np.array_equal(from_path.activity_logits, from_content.activity_logits)


def test_an_earlier_result_is_not_overwritten_by_the_next_run(tiny_model: bytes) -> None:
    interpreter = LiteRtInterpreter(tiny_model)
    first = interpreter.run(noise(2))
    kept = first.embedding.copy()
    second = interpreter.run(noise(3))
    assert np.array_equal(first.embedding, kept)
    assert not np.array_equal(first.embedding, second.embedding)


def test_outputs_are_told_apart_by_name_and_not_by_order(tiny_model: bytes) -> None:
    torch = pytest.importorskip("torch", reason="the expected numbers come from torch")
    torch.manual_seed(0)
    convolution = torch.nn.Conv1d(1, 16, 640, stride=640)
    embedding = torch.nn.Linear(16, 512)
    waveform = noise(4)
    with torch.no_grad():
        frames = torch.relu(convolution(torch.from_numpy(waveform)[None, None]))
        expected = embedding(frames.mean(2))[0].numpy()
    assert np.allclose(LiteRtInterpreter(tiny_model).run(waveform).embedding, expected, atol=1e-5)


@pytest.mark.parametrize("samples", [31999, 32001, 0])
def test_a_clip_of_another_length_is_refused_with_both_lengths(tiny_model: bytes, samples: int) -> None:
    with pytest.raises(InterpreterError, match=rf"\({samples},\).*\(32000,\)"):
        LiteRtInterpreter(tiny_model).run(np.zeros(samples, np.float32))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (ModelShape(n_events=9), r'output "event_logits" is float32 \(1, 8\); expected float32 \(1, 9\)'),
        (ModelShape(n_activity_frames=100), r'"activity_logits" is float32 \(1, 50\)'),
        (ModelShape(embedding_size=256), r'"embedding" is float32 \(1, 512\)'),
        (ModelShape(clip_samples=16000), r'input "waveform" is float32 \(1, 32000\)'),
    ],
)
def test_a_model_of_another_shape_than_the_bundle_says_is_refused(
    tiny_model: bytes, shape: ModelShape, sentence: str
) -> None:
    with pytest.raises(InterpreterError, match=sentence):
        LiteRtInterpreter(tiny_model, shape=shape)


@pytest.mark.parametrize(
    ("name", "other", "sentence"),
    [
        (b"screen", b"scream", 'has the signatures scream; expected one named "screen"'),
        (b"waveform", b"wavetorm", "has the inputs wavetorm; expected waveform"),
        (b"embedding", b"imbedding", "has the outputs activity_logits, event_logits, imbedding; expected"),
    ],
)
def test_a_model_with_other_names_is_refused(tiny_model: bytes, name: bytes, other: bytes, sentence: str) -> None:
    assert name in tiny_model
    with pytest.raises(InterpreterError, match=sentence):
        LiteRtInterpreter(tiny_model.replace(name, other))


@pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 1000])
def test_what_is_not_a_model_is_refused(content: bytes) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(InterpreterError, match="is not a TFLite model"):
        LiteRtInterpreter(content)


def test_a_model_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterpreterError, match=r"gone\.tflite cannot be read: No such file"):
        LiteRtInterpreter(tmp_path / "gone.tflite")


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_an_impossible_number_of_threads_is_refused(threads: int) -> None:
    with pytest.raises(InterpreterError, match=f"{threads} threads were asked for; expected 1 to 64"):
        LiteRtInterpreter(b"", threads)


def test_a_missing_runtime_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_runtime(name: str, *rest: object, **more: object) -> object:
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_runtime)
    with pytest.raises(InterpreterError, match="pip install ai-edge-litert"):
        LiteRtInterpreter(b"")


def test_outputs_that_are_not_finite_are_refused(tiny_model: bytes) -> None:
    waveform = np.full(32000, np.nan, np.float32)
    with pytest.raises(InterpreterError, match="is not finite"):
        LiteRtInterpreter(tiny_model).run(waveform)


def test_an_output_of_another_shape_than_the_model_declared_is_refused(tiny_model: bytes) -> None:
    interpreter = LiteRtInterpreter(tiny_model)
    interpreter.shape = ModelShape(embedding_size=256)  # as if it had declared 256 and gave 512
    with pytest.raises(InterpreterError, match=r'output "embedding" gave \(1, 512\) for a clip; expected \(1, 256\)'):
        interpreter.run(np.zeros(32_000, np.float32))


@pytest.mark.parametrize("other", [b"scree\xff", b"scr\x1b[m", b"scr\nen"])
def test_a_signature_whose_name_is_no_text_is_refused_with_a_sentence(tiny_model: bytes, other: bytes) -> None:
    with pytest.raises(InterpreterError, match=r"^the model is .*TFLite model[^\n\x1b]*\.$"):
        LiteRtInterpreter(tiny_model.replace(b"screen", other))
