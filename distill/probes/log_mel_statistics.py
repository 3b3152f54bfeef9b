"""The only place for the floor that an embedding has to beat: statistics of a clip's log-mel, with nothing learnt."""

import torch
from torch import Tensor

from core.audio import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
N_MELS = 64
MEL_MIN_HZ, MEL_MAX_HZ = 60.0, 7_800.0
RELATIVE_FLOOR = 1e-5  # 50 dB below the clip's mean energy
SILENCE_POWER = 1e-12


class LogMelStatistics:
    """Per mel band: mean, standard deviation and maximum over time.

    Of the sets of statistics that were tried the one that gives the highest floor (EXPERIMENTS.md).
    64 HTK bands of 25 ms windows every 10 ms, relative to the clip's mean energy, so that gain changes nothing.
    """

    embedding_size = 3 * N_MELS

    def __init__(self) -> None:
        from librosa.filters import mel  # seconds to import

        filters = mel(
            sr=SAMPLE_RATE_HZ,
            n_fft=WINDOW_SAMPLES,
            n_mels=N_MELS,
            fmin=MEL_MIN_HZ,
            fmax=MEL_MAX_HZ,
            htk=True,
            norm=None,
        )
        self._filters = torch.tensor(filters.T.copy())
        self._window = torch.hann_window(WINDOW_SAMPLES)

    def embed(self, waveform: Tensor) -> Tensor:
        """Describe waveforms (batch, 32000), float32 at 16 kHz, as (batch, 192)."""
        frames = waveform.unfold(1, WINDOW_SAMPLES, HOP_SAMPLES) * self._window
        energy = torch.fft.rfft(frames).abs().square() @ self._filters
        relative = energy / (energy.mean(dim=(1, 2), keepdim=True) + SILENCE_POWER)
        log_mel = torch.log(relative + RELATIVE_FLOOR)
        return torch.cat([log_mel.mean(dim=1), log_mel.std(dim=1), log_mel.amax(dim=1)], dim=1)
