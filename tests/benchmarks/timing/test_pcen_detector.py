import librosa
import numpy as np
import pytest
import torch

from benchmarks.timing.pcen_detector import MobileNetV3Detector, PcenFrontEnd
from benchmarks.timing.peers import load_detectors
from core.demonstration import synthesized_clips
from distill.models.hear_front_end import PCEN_ALPHA, PCEN_DELTA, PCEN_FLOOR, PCEN_ROOT, PCEN_SMOOTHING


@pytest.mark.long
def test_the_peers_front_end_is_pcen_of_librosas_mel_spectrogram():
    clip = synthesized_clips(2)[1]
    settings = {"sr": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 48, "htk": True, "norm": None, "fmin": 0}
    padded = np.pad(clip, (0, 400))
    energy = librosa.feature.melspectrogram(y=padded, center=False, window="hann", power=2.0, **settings)[:, :200].T
    smooth = [energy[0]]
    for frame in energy[1:]:
        smooth.append((1 - PCEN_SMOOTHING) * smooth[-1] + PCEN_SMOOTHING * frame)
    gained = energy / (np.array(smooth) + PCEN_FLOOR) ** PCEN_ALPHA
    expected = (gained + PCEN_DELTA) ** (1 / PCEN_ROOT) - PCEN_DELTA ** (1 / PCEN_ROOT)
    assert np.abs(PcenFrontEnd()(torch.from_numpy(clip[None]))[0, 0].numpy() - expected).max() < 1e-4


def test_the_detector_has_the_published_size_and_eight_probabilities():
    detector = MobileNetV3Detector().eval()
    body = sum(weights.numel() for part in (detector.body, detector.events) for weights in part.parameters())
    assert body == 926_720 + 8 * 577
    probabilities = detector(torch.from_numpy(synthesized_clips(2)[1:]))
    assert probabilities.shape == (1, 8) and ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.slow
def test_the_detector_converts_in_three_precisions_without_custom_operators():
    detectors = load_detectors(threads=1)
    assert [detector.name.rpartition(", ")[2] for detector in detectors] == ["float32", "dynamic int8", "static int8"]
    sizes = [detector.facts["model_bytes"] for detector in detectors]
    assert max(sizes[1:]) < 0.5 * sizes[0]
    for detector in detectors:
        detector.run()
        assert detector.audio_s == 2.0
