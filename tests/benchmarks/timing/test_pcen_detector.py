import librosa
import numpy as np
import pytest
import torch

from benchmarks.results.names import DETECTOR_NAME, OURS, PEER
from benchmarks.timing.interleaved import Contender, Timing
from benchmarks.timing.pcen_detector import MobileNetV3Detector, PcenFrontEnd
from benchmarks.timing.peers import load_detectors
from benchmarks.workstation.latency import ratios_to_peers
from core.demonstration import synthesized_clips
from distill.models.hear_front_end import PCEN_ALPHA, PCEN_DELTA, PCEN_FLOOR, PCEN_ROOT, PCEN_SMOOTHING


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
    body = sum(its.numel() for part in (detector.body, detector.events) for its in part.parameters())
    assert body == 926_720 + 8 * 577
    probabilities = detector(torch.from_numpy(synthesized_clips(2)[1:]))
    assert probabilities.shape == (1, 8) and ((probabilities > 0) & (probabilities < 1)).all()


def timed(name: str, seconds: float, role: str = PEER, **changes: object) -> tuple[Contender, Timing]:
    return Contender(name, lambda: None, 2.0, 0.0, {"role": role}, **changes), Timing(1.0, np.full(9, seconds))


def test_a_ratio_is_to_the_fastest_precision_of_a_peer():
    peers = timed(f"{DETECTOR_NAME}, int8", 0.008), timed(f"{DETECTOR_NAME}, float32", 0.004)
    pairs = [timed("ours", 0.001, OURS), *peers]
    (ratio,) = ratios_to_peers(pairs, threads=2)
    assert (ratio["name"], ratio["to"], ratio["threads"]) == ("ours", DETECTOR_NAME, 2)
    assert ratio["value"] == pytest.approx(0.25)
    assert ratios_to_peers(pairs[:1], threads=2) == [] and ratios_to_peers(pairs[1:], threads=2) == []


def test_a_ratio_is_to_peers_with_the_same_delegate_or_in_another_runtime():
    pairs = [timed("ours", 0.001, OURS, delegate="builtin"), timed("ours", 0.004, OURS, stage="screening")]
    pairs += [timed("a", 0.002), timed("b", 0.002, delegate="builtin"), timed("c", 0.002, runtime="onnxruntime 1")]
    assert [(its["name"], its["to"], its["delegate"]) for its in ratios_to_peers(pairs, threads=1)] == [
        *(("ours", "b", "builtin"), ("ours", "c", "builtin"))
    ]


@pytest.mark.slow
def test_the_detector_converts_in_three_precisions_without_custom_operators():
    detectors = load_detectors(threads=1)
    assert [its.name.rpartition(", ")[2] for its in detectors] == ["float32", "dynamic int8", "static int8"]
    sizes = [its.facts["model_bytes"] for its in detectors]
    assert max(sizes[1:]) < 0.5 * sizes[0]
    for its in detectors:
        its.run()
        assert its.audio_s == 2.0
