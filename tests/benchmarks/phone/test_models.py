import pytest

from benchmarks.phone.models import load_models, waveform_s
from core.bundle import load_bundle
from core.errors import InterpreterError, SettingsError


def test_two_models_of_one_name_and_a_peer_that_is_no_model_are_refused(peer, tmp_path):
    with pytest.raises(SettingsError, match=r"two models are called peer\.tflite"):
        load_models(None, [peer, peer])
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(InterpreterError, match="TFL3"):
        load_models(None, [tmp_path / "text.tflite"])


def test_the_seconds_of_a_run_are_read_from_the_models_input():
    assert waveform_s(load_bundle(None).read_model()) == 2.0
