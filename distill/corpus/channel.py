"""Augments clips of every class with a channel: band limits, rooms, level, noise and clipping."""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_SAMPLES

_BINS_PER_STEP = 8  # a response is drawn every 4 Hz, which no ear and no filter bank here resolves
_RESPONSE_STEP_HZ = _BINS_PER_STEP * SAMPLE_RATE_HZ / CLIP_SAMPLES
_N_BINS = CLIP_SAMPLES // 2 + 1
_NOISE_POOL_CLIPS = 64
_LOWEST_PEAK = 0.05
_OVERDRIVEN_PEAK = (1.2, 3.0)


class ChannelSettings(NamedTuple):
    """Probabilities of each augmentation, and its ranges."""

    low_pass_probability: float = 0.45
    low_pass_hz: tuple[float, float] = (2_500.0, 7_500.0)
    high_pass_probability: float = 0.35
    high_pass_hz: tuple[float, float] = (60.0, 400.0)
    tilt_probability: float = 0.4
    tilt_db_per_octave: float = 3.0
    room_probability: float = 0.25
    noise_probability: float = 0.4
    noise_snr_db: tuple[float, float] = (10.0, 50.0)
    clipping_probability: float = 0.08


class ChannelDraws(NamedTuple):
    """What chance decides of a channel: each (n,), uniform in [0, 1); whether something is done, and with what."""

    low_pass: Tensor
    low_pass_cutoff: Tensor
    low_pass_order: Tensor
    high_pass: Tensor
    high_pass_cutoff: Tensor
    high_pass_order: Tensor
    tilt: Tensor
    tilt_slope: Tensor
    room: Tensor
    room_number: Tensor
    noise: Tensor
    noise_start: Tensor
    noise_level: Tensor
    peak: Tensor
    clipping: Tensor
    overdriven_peak: Tensor


N_CHANNEL_DRAWS = len(ChannelDraws._fields)


class Channel:
    """A random recording channel for each clip of a batch, on the CPU or a GPU.

    Band limits hide which pack a clip came from. Half of the packs were recorded through 8 kHz phones: a detector that
    does not see the same band in every class learns the phone.
    """

    def __init__(self, rooms: list[np.ndarray], settings: ChannelSettings | None = None) -> None:
        self.settings = settings or ChannelSettings()
        self.n_rooms = len(rooms)
        no_room = torch.ones(_N_BINS, dtype=torch.complex64)
        self._rooms = torch.stack([no_room, *map(_room_response, rooms)])
        pool = np.random.default_rng(0).standard_normal(_NOISE_POOL_CLIPS * CLIP_SAMPLES, dtype=np.float32)
        self._noise_pool = torch.from_numpy(pool)
        self._frequency_hz = torch.arange(0, SAMPLE_RATE_HZ / 2 + _RESPONSE_STEP_HZ, _RESPONSE_STEP_HZ)

    def to(self, device: torch.device) -> Self:
        """Move what it holds, about 20 MB, to the device that the waveforms are on; returns itself."""
        self._rooms, self._noise_pool = self._rooms.to(device), self._noise_pool.to(device)
        self._frequency_hz = self._frequency_hz.to(device)
        return self

    def __call__(self, waveforms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pass `waveforms` (batch, 32000), float32, through one random channel each; the peak ends at 0.05 to 1."""
        draws = torch.from_numpy(rng.random((len(waveforms), N_CHANNEL_DRAWS)))
        return self.apply(torch.from_numpy(waveforms), draws).numpy()

    def apply(self, waveforms: Tensor, draws: Tensor) -> Tensor:
        """Pass clips through the channels that were drawn for them; what becomes of one does not depend on the others.

        Parameters
        ----------
        waveforms : Tensor, shape (batch, 32000), float32
        draws : Tensor, shape (batch, N_CHANNEL_DRAWS), float64, uniform in [0, 1), in the order of `ChannelDraws`

        Returns
        -------
        Tensor, shape (batch, 32000), float32, with a peak of 0.05 to 1
        """
        chosen = ChannelDraws(*draws.unbind(1))
        spectra = torch.fft.rfft(waveforms)  # circular: a room's tail wraps to the start, as an earlier sound's would
        spectra *= self._responses(chosen).repeat_interleave(_BINS_PER_STEP, dim=1)[:, :_N_BINS]
        if self.n_rooms:
            number = 1 + (chosen.room_number * self.n_rooms).long()
            spectra *= self._rooms[number.where(chosen.room < self.settings.room_probability, 0)]
        filtered = torch.fft.irfft(spectra, n=CLIP_SAMPLES)
        return self._level(self._noise(filtered, chosen), chosen)

    def _responses(self, chosen: ChannelDraws) -> Tensor:
        """Gains every 4 Hz, shape (batch, 2001)."""
        frequency_hz, settings = self._frequency_hz, self.settings
        low_hz = _column(_between(chosen.low_pass_cutoff, settings.low_pass_hz))
        low_order = _column(2 * (4 + (36 * chosen.low_pass_order).floor()))
        low = (1 + (frequency_hz / low_hz) ** low_order).rsqrt()
        high_hz = _column(_log_between(chosen.high_pass_cutoff, settings.high_pass_hz))
        high_order = _column(2 * (1 + (4 * chosen.high_pass_order).floor()))
        high = (1 + (high_hz / frequency_hz.clamp(min=1.0)) ** high_order).rsqrt()
        octaves = (frequency_hz.clamp(min=50.0) / 1000.0).log2()
        tilt = 10 ** (_column(2 * chosen.tilt_slope - 1) * settings.tilt_db_per_octave * octaves / 20)
        response = torch.ones_like(low)
        for draw, probability, part in (
            (chosen.low_pass, settings.low_pass_probability, low),
            (chosen.high_pass, settings.high_pass_probability, high),
            (chosen.tilt, settings.tilt_probability, tilt),
        ):
            response = response * part.where((draw < probability)[:, None], 1.0)
        return response

    def _noise(self, waveforms: Tensor, chosen: ChannelDraws) -> Tensor:
        """Add a stretch of the noise pool to some, at a level below their own."""
        snr_db = _column(_between(chosen.noise_level, self.settings.noise_snr_db))
        amplitude = waveforms.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-snr_db / 20)
        amplitude = amplitude.where((chosen.noise < self.settings.noise_probability)[:, None], 0.0)
        start = (chosen.noise_start * (len(self._noise_pool) - CLIP_SAMPLES)).long()
        stretches = self._noise_pool.unfold(0, CLIP_SAMPLES, 1)
        return waveforms.addcmul_(amplitude, stretches[start])

    def _level(self, waveforms: Tensor, chosen: ChannelDraws) -> Tensor:
        """Bring each clip to a random peak, some above full scale, where they are clipped."""
        peak = _log_between(chosen.peak, (_LOWEST_PEAK, 1.0))
        overdriven = _between(chosen.overdriven_peak, _OVERDRIVEN_PEAK)
        peak = overdriven.where(chosen.clipping < self.settings.clipping_probability, peak)
        gain = _column(peak) / (waveforms.abs().amax(dim=1, keepdim=True) + 1e-9)
        return waveforms.mul_(gain).clamp_(-1.0, 1.0)


def _column(values: Tensor) -> Tensor:
    return values.float()[:, None]


def _between(draw: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return low + (high - low) * draw


def _log_between(draw: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return low * (high / low) ** draw


def _room_response(impulse_response: np.ndarray) -> Tensor:
    """Spectrum of a room, its direct sound moved to the start and its energy scaled to 1."""
    start = int(np.argmax(np.abs(impulse_response)))
    tail = impulse_response[start : start + CLIP_SAMPLES].astype(np.float32)
    tail = tail / (np.sqrt(np.sum(tail**2)) + 1e-9)
    return torch.fft.rfft(torch.from_numpy(tail), n=CLIP_SAMPLES)


def turned_at_speed(
    waveform: np.ndarray, frames: np.ndarray, speed: float, start_frame: int
) -> tuple[np.ndarray, np.ndarray]:
    """Play a clip that goes round and round from a frame on at another speed, and move its frames with it.

    Parameters
    ----------
    waveform : array, shape (n_samples,), float32
    frames : array, shape (n_frames,), one value for each equal part of the clip
    speed : float
        Above 1 is faster and higher: the end of what is heard is the beginning once more. Below 1 a part is not heard.
    start_frame : int in [0, n_frames)

    Returns
    -------
    Arrays of the same shapes; samples by linear interpolation, a frame that of its middle.
    """
    n_samples, n_frames = len(waveform), len(frames)
    place = start_frame * (n_samples // n_frames) + np.arange(n_samples) * speed
    closed = np.append(waveform, waveform[0])
    turned = np.interp(place % n_samples, np.arange(n_samples + 1), closed).astype(np.float32)
    of_frame = (start_frame + (np.arange(n_frames) + 0.5) * speed) % n_frames
    return turned, frames[of_frame.astype(np.int64)]
