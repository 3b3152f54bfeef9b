"""Models of others are loaded by file, or refused with one sentence."""

import re

import pytest

from benchmarks.timing.peers import PeerInput, load_peer, resolve_shape
from core.errors import InterpreterError


def test_a_peer_whose_input_is_no_waveform_wants_its_seconds(write_onnx):
    with pytest.raises(InterpreterError, match=r"takes float32 \[1, 96, 64\], which is no waveform of one length"):
        load_peer(write_onnx([1, 96, 64]), 1)
    assert load_peer(write_onnx([1, 96, 64]), 1, seconds=0.96).audio_s == 0.96
    with pytest.raises(InterpreterError, match=r"takes float32 \[1, \?\], which is no waveform"):
        load_peer(write_onnx([1, None]), 1)
    assert load_peer(write_onnx([None, None]), 1, seconds=3).audio_s == 3


def test_a_peer_that_cannot_be_fed_is_refused(tiny_bundle, tmp_path, write_onnx):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    (tmp_path / "bad.tflite").write_bytes(b"nothing")
    for path, words in (
        (write_onnx([1, 16_000], [1, 16_000]), "takes float32 [1, 16000] and float32 [1, 16000]; expected one float32"),
        (write_onnx([1, 16_000], type_name="INT64"), "takes not float32 [1, 16000]; expected one float32 input"),
        (tmp_path / "bad.onnx", "is not an ONNX model that runs here"),
        (tmp_path / "bad.tflite", "is not a TFLite model"),
        (tmp_path / "gone.onnx", "cannot be read: No such file"),
        (tiny_bundle / "bundle.json", "is neither .tflite nor .onnx"),
    ):
        with pytest.raises(InterpreterError, match=re.escape(words)):
            load_peer(path, 1)


def test_the_shape_that_a_peer_is_fed_follows_its_open_sizes():
    assert resolve_shape([PeerInput((1, 15_600), True)], None, "it") == ((1, 15_600), 0.975)
    assert resolve_shape([PeerInput((None, 16_000), True)], None, "it") == ((1, 16_000), 1.0)
    assert resolve_shape([PeerInput((None,), True)], 2.0, "it") == ((32_000,), 2.0)
    assert resolve_shape([PeerInput((None, None), True)], 2.0, "it") == ((1, 32_000), 2.0)
    assert resolve_shape([PeerInput((None, 96, 64), True)], 0.96, "it") == ((1, 96, 64), 0.96)
    with pytest.raises(InterpreterError, match="expected at most one size left open"):
        resolve_shape([PeerInput((1, None, None), True)], 2.0, "it")
