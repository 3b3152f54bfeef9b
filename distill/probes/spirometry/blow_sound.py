"""Makes the sound of a forced expiration: turbulent noise at a mouth, a distance, a room and a phone."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.audio import SAMPLE_RATE_HZ
from distill.probes.spirometry.forced_expiration import FLOW_RATE_HZ

AIR_VISCOSITY_M2_PER_S = 1.6e-5  # kinematic, of breath
CRITICAL_REYNOLDS = 1800.0  # below it a jet is silent; amplitude grows as Re^2 - Rec^2 (Meyer-Eppler 1953)
STROUHAL = 0.2  # the loudest frequency of a jet is this many jet speeds per diameter
REFERENCE_FLOW_L_PER_S = 10.0
REFERENCE_LEVEL_DB_SPL = 75.0  # at 1 m, of that flow through lips 15 mm wide
REFERENCE_WIDTH_M = 0.015
SPL_OF_PASCAL_DB = 94.0  # of 1 Pa
CRITICAL_DISTANCE_FACTOR = 0.057  # where a room is as loud as the source: this times sqrt(volume m3 / decay s), in m
FIRST_REFLECTION_S = 0.006  # behind the direct sound: 2 m of way
_FRAME_SAMPLES = 320
_HOP_SAMPLES = _FRAME_SAMPLES // 2
_FREQUENCY_HZ = np.fft.rfftfreq(_FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """A room by its volume, the time in which sound falls by 60 dB, and its noise."""

    volume_m3: float = 40.0
    decay_s: float = 0.4
    noise_db_spl: float = 32.0

    def share_at(self, distance_m: float) -> float:
        """The power that the walls give back, as a share of the direct sound's."""
        return distance_m**2 * self.decay_s / (CRITICAL_DISTANCE_FACTOR**2 * self.volume_m3)


@dataclass(frozen=True)
class Phone:
    """A phone's microphone: its level in dBFS (rms) at 1 Pa, its band and its own noise.

    ``gain_power`` above 0 is automatic gain: the level is divided by that power of its own slow level.
    """

    dbfs_at_pascal: float = -14.0
    band_hz: tuple[float, float] = (80.0, 7000.0)
    noise_db_spl: float = 28.0
    gain_power: float = 0.0

    def response(self, frequency_hz: Array) -> Array:
        """Power response at each frequency: second order below the band, fourth above it (Butterworth)."""
        low_hz, high_hz = self.band_hz
        rise = np.asarray(frequency_hz, dtype=np.float64) / low_hz
        return rise**4 / (1 + rise**4) / (1 + (frequency_hz / high_hz) ** 8)


@dataclass(frozen=True)
class Place:
    """Where a blow is recorded: how wide the lips are, how far the phone is, the room and the phone."""

    lips_m: float = REFERENCE_WIDTH_M
    distance_m: float = 0.3
    room: Room = field(default_factory=Room)
    phone: Phone = field(default_factory=Phone)


def source_pascal(flow_l_per_s: Array, lips_m: float) -> Array:
    """Sound pressure (rms) at 1 m without a room, of each flow."""

    def strength(flow: Array, width_m: float) -> Array:
        reynolds = 4e-3 * np.asarray(flow, dtype=np.float64) / (np.pi * width_m * AIR_VISCOSITY_M2_PER_S)
        return np.maximum(reynolds**2 - CRITICAL_REYNOLDS**2, 0.0)

    reference = 10 ** ((REFERENCE_LEVEL_DB_SPL - SPL_OF_PASCAL_DB) / 20)
    return reference * strength(flow_l_per_s, lips_m) / strength(np.float64(REFERENCE_FLOW_L_PER_S), REFERENCE_WIDTH_M)


def source_spectrum(flow_l_per_s: Array, lips_m: float) -> Array:
    """The share of the power in each of 161 bins of 50 Hz, (..., 161): 6 dB an octave to both sides of the peak."""
    speed_m_per_s = 4e-3 * np.asarray(flow_l_per_s, dtype=np.float64) / (np.pi * lips_m**2)
    peak_hz = np.maximum(STROUHAL * speed_m_per_s / lips_m, 1.0)[..., None]
    shape = (_FREQUENCY_HZ / peak_hz) ** 2 / (1 + (_FREQUENCY_HZ / peak_hz) ** 2) ** 2
    return shape / shape.sum(axis=-1, keepdims=True)


def recorded_power(flow_l_per_s: Array, place: Place) -> Array:
    """The mean square of full scale that each steady flow makes in a recording, above the noise."""
    pascal = source_pascal(flow_l_per_s, place.lips_m) / place.distance_m
    passed = source_spectrum(flow_l_per_s, place.lips_m) @ place.phone.response(_FREQUENCY_HZ)
    gain = 10 ** (place.phone.dbfs_at_pascal / 10)
    return gain * pascal**2 * passed * (1 + place.room.share_at(place.distance_m))


def blow_sound(flow_l_per_s: Array, place: Place, generator: Generator, pause_s: float = 0.5) -> NDArray[np.float32]:
    """The recording of a flow (`FLOW_RATE_HZ` values a second), with `pause_s` of the room before and after it.

    Returns
    -------
    array, shape (n,), float32
        Sound at 16 kHz, full scale 1, clipped as the phone clips.
    """
    n_pause = round(pause_s * SAMPLE_RATE_HZ)
    source = np.pad(_turbulence(flow_l_per_s, place.lips_m, generator) / place.distance_m, n_pause)
    heard = _in_room(source, place, generator) + _noise(len(source), place.room.noise_db_spl, generator)
    return _recorded(heard, place.phone, generator)


def _turbulence(flow_l_per_s: Array, lips_m: float, generator: Generator) -> Array:
    """Noise whose level and spectrum follow the flow, in pascals at 1 m."""
    n_frames = int(np.ceil(len(flow_l_per_s) / FLOW_RATE_HZ * SAMPLE_RATE_HZ / _HOP_SAMPLES)) + 1
    middle_s = np.arange(n_frames) * _HOP_SAMPLES / SAMPLE_RATE_HZ
    flow = np.interp(middle_s, np.arange(len(flow_l_per_s)) / FLOW_RATE_HZ, flow_l_per_s, right=0.0)
    power = source_pascal(flow, lips_m)[:, None] ** 2 * source_spectrum(flow, lips_m)
    spectra = generator.standard_normal((n_frames, _FREQUENCY_HZ.size, 2)) @ np.array([1, 1j])
    frames = np.fft.irfft(spectra * np.sqrt(power) * _FRAME_SAMPLES / 2, _FRAME_SAMPLES)
    frames *= np.sin(np.pi * (np.arange(_FRAME_SAMPLES) + 0.5) / _FRAME_SAMPLES)
    sound = np.zeros((n_frames + 1) * _HOP_SAMPLES)
    sound[:-_HOP_SAMPLES] += frames[:, :_HOP_SAMPLES].ravel()
    sound[_HOP_SAMPLES:] += frames[:, _HOP_SAMPLES:].ravel()
    return sound[_HOP_SAMPLES:]


def _in_room(source: Array, place: Place, generator: Generator) -> Array:
    """The direct sound and a diffuse tail that decays; the tail's power is the room's share at this distance."""
    from scipy.signal import fftconvolve  # a second to import, for nobody who only reads the help

    time_s = np.arange(round(place.room.decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = generator.standard_normal(len(time_s)) * 10 ** (-3 * time_s / place.room.decay_s)
    tail *= np.sqrt(place.room.share_at(place.distance_m) / np.sum(tail**2))
    delayed = np.concatenate([[1.0], np.zeros(round(FIRST_REFLECTION_S * SAMPLE_RATE_HZ)), tail])
    return fftconvolve(source, delayed)[: len(source)]


def _recorded(pascal: Array, phone: Phone, generator: Generator) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(pascal)
    frequency_hz = np.fft.rfftfreq(len(pascal), 1 / SAMPLE_RATE_HZ)
    passed = np.fft.irfft(spectrum * np.sqrt(phone.response(frequency_hz)), len(pascal))
    passed += _noise(len(pascal), phone.noise_db_spl, generator)
    sound = passed * 10 ** (phone.dbfs_at_pascal / 20)
    if phone.gain_power > 0:
        sound = _with_automatic_gain(sound, phone.gain_power)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _with_automatic_gain(sound: Array, power: float) -> Array:
    """Sound divided by a power of its own level over some 0.3 s, brought back to its peak."""
    from scipy.ndimage import uniform_filter1d

    level = np.sqrt(uniform_filter1d(sound**2, round(0.3 * SAMPLE_RATE_HZ)) + 1e-10)
    levelled = sound / level**power
    return levelled * np.abs(sound).max() / np.abs(levelled).max()


def _noise(n_samples: int, level_db_spl: float, generator: Generator) -> Array:
    return 10 ** ((level_db_spl - SPL_OF_PASCAL_DB) / 20) * generator.standard_normal(n_samples)
