"""Scores the event labels and embeds clips with EfficientAT's mn04_as: an event teacher and an embedding teacher."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.clips import CLIP_SAMPLES
from core.errors import DataError
from core.files import sha256_of_file
from distill.corpus.labels import EVENT_LABELS

RATE_HZ = 32_000
N_CLASSES = 527
N_MELS = 128
MEL_MAX_HZ = 15_000.0
FFT_SAMPLES = 1_024
WINDOW_SAMPLES = 800
HOP_SAMPLES = 320
PREEMPHASIS = 0.97
FLOOR_POWER = 1e-5

# AudioSet's classes of each event by their index among its 527; a score is their maximum. The same sounds as YAMNet's.
AUDIOSET_CLASSES = {
    "cough": (47,),
    "snore": (43,),
    "breathing": (26, 41, 42, 44, 45),  # sigh, breathing, wheeze, gasp, pant
    "sneeze": (49,),
    "throat_clear": (48,),
    "laugh": (16, 17, 18, 19, 20, 21),
    "speech": (0, 1, 2, 3, 4, 5, 6, 7, 15),
    "cry": (22, 23, 24),
}


def kaldi_mel_weights() -> np.ndarray:
    """Triangles in mel (1127 ln(1 + f / 700)) from 0 to 15 kHz over 513 bins, shape (513, 128), float64."""
    mel_of = lambda hz: 1127.0 * np.log1p(np.asarray(hz) / 700.0)  # noqa: E731
    edges = np.linspace(0.0, mel_of(MEL_MAX_HZ), N_MELS + 2)
    bins = mel_of(np.arange(FFT_SAMPLES // 2 + 1) * RATE_HZ / FFT_SAMPLES)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


class EfficientAtFrontEnd:
    """mn04_as's spectrogram, which is defined at 32 kHz, of sound at 16 kHz.

    Frames of half as many samples have the same bins up to 8 kHz. Each sample counts twice, and the pre-emphasis
    multiplies a bin's power. Above 8 kHz nothing sounds.
    """

    def __init__(self) -> None:
        n_bins = FFT_SAMPLES // 4 + 1
        angle = 2 * np.pi * np.arange(n_bins) / FFT_SAMPLES
        sharpened = 1 + PREEMPHASIS**2 - 2 * PREEMPHASIS * np.cos(angle)
        self._mel = torch.tensor(4 * sharpened[:, None] * kaldi_mel_weights()[:n_bins], dtype=torch.float32)
        self._window = torch.hann_window(WINDOW_SAMPLES // 2, periodic=False)

    def __call__(self, waveform: Tensor) -> Tensor:
        """Map waveforms (batch, n), float32 in [-1, 1], to spectrograms (batch, 1, 128, 1 + n // 160)."""
        spectrum = torch.stft(
            waveform, FFT_SAMPLES // 2, HOP_SAMPLES // 2, WINDOW_SAMPLES // 2, self._window, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        energy = power.transpose(1, 2) @ self._mel
        return ((energy + FLOOR_POWER).log() + 4.5).div(5.0).transpose(1, 2).unsqueeze(1)


class EfficientAtTeacher:
    """mn04_as on one thread: AudioSet's 527 logits of a clip, and what its last layer takes."""

    def __init__(self, path: Path) -> None:
        self.name = f"mn04:{path}"
        self._session, self._inner = _open(path)
        self._front_end = EfficientAtFrontEnd()
        self.embedding_size = self.run(torch.zeros(1, CLIP_SAMPLES))[1].shape[1]
        self.block_sizes = (self.embedding_size,)
        self.fingerprint = f"mn04:{sha256_of_file(path)}"

    def run(self, waveform: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Logits (batch, 527) and embeddings (batch, d) of waveforms (batch, n), float32 at 16 kHz in [-1, 1]."""
        with torch.inference_mode():
            spec = self._front_end(waveform).numpy()
        logits, embedding = self._session.run(["logits", self._inner], {"spec": spec})
        return logits.reshape(len(spec), N_CLASSES), embedding.reshape(len(spec), -1)

    def embed(self, waveform: Tensor) -> Tensor:
        """Embed waveforms (batch, 32000), float32 at 16 kHz, as (batch, embedding_size)."""
        return torch.from_numpy(self.run(waveform)[1])


def event_logits(logits: np.ndarray) -> np.ndarray:
    """Logits of the event labels, shape (n, n_events), from AudioSet's (n, 527)."""
    return np.stack([logits[:, list(AUDIOSET_CLASSES[label])].max(axis=1) for label in EVENT_LABELS], axis=1)


def _open(path: Path) -> tuple[Any, str]:
    """Open the model with one more output, what its last layer takes; returns it and that output's name."""
    import onnx
    import onnxruntime

    try:
        model = onnx.load(path)
        last = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
        model.graph.output.append(onnx.ValueInfoProto(name=last.input[0]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"cannot load EfficientAT's model from {path}: {error}") from error
    (spec,) = session.get_inputs()
    if spec.name != "spec" or list(spec.shape)[2] != N_MELS or session.get_outputs()[0].name != "logits":
        raise DataError(f"{path} is not mn04_as: expected spec (batch, 1, {N_MELS}, frames) -> logits")
    return session, last.input[0]
