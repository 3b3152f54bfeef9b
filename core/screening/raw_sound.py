"""Reads raw PCM of any sample format, and doubts PCM that sounds like another format than it was taken for."""

from dataclasses import dataclass

import numpy as np

from core.wav import SampleFormat, decode_frames

SAMPLE_TYPES = {
    "s16le": "<i2", "s16be": "<i2", "s24le": "i24", "s24be": "i24", "s32le": "<i4", "s32be": "<i4", "u8": "u1",
    "f32le": "<f4", "f32be": "<f4", "f64le": "<f8", "f64be": "<f8",
}  # fmt: skip
DEFAULT_FORMAT = "s16le"
MIN_JUDGED_SAMPLES = 4_000
FAINTEST = 2.0 / 32768  # of a signal that can be judged
FLOAT_RANGE = (1e-7, 8.0)  # of the size of a float sample
LOUD, LEAST_NOISY, FULL_SCALE_NOISE = 0.25, 0.35, 0.5  # rms; correlation of neighbours; rms
MUCH_FAINTER = 1 / 8
AT_FULL_SCALE = 0.8  # mean size of samples


@dataclass(frozen=True)
class RawFormat:
    """How raw samples are stored: the name of a sample format as ffmpeg has it, the rate and 1 or 2 channels."""

    name: str = DEFAULT_FORMAT
    sample_rate_hz: int = 16_000
    n_channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of a sample of every channel."""
        return _width(self.name) * self.n_channels

    def decode(self, content: bytes) -> np.ndarray:
        """Whole frames as float32, shape (n, n_channels)."""
        sample_type = SAMPLE_TYPES[self.name]
        if self.name.endswith("be"):
            content = np.frombuffer(content, np.uint8).reshape(-1, _width(self.name))[:, ::-1].tobytes()
        return decode_frames(content, SampleFormat(self.sample_rate_hz, self.n_channels, sample_type))


def _width(name: str) -> int:
    return int(name.strip("sufble")) // 8


def doubt(content: bytes, is_stereo_possible: bool = True) -> str | None:
    """Why bytes that were taken for signed 16-bit little-endian mono are something else; "" where all seems well.

    None where they are too few or too faint to tell.
    """
    samples = np.frombuffer(content[: len(content) // 8 * 8], "<i2").astype(np.float32) / 32768
    if len(samples) >= MIN_JUDGED_SAMPLES and np.mean(np.abs(samples)) > AT_FULL_SCALE and _is_faint_u8(content):
        return f"its bytes are sound as u8 and not as {DEFAULT_FORMAT}"
    if len(samples) < MIN_JUDGED_SAMPLES or samples.std() < FAINTEST or np.count_nonzero(samples) < len(samples) / 10:
        return None
    if name := _float_format(content, samples) or _other_integers(content, samples):
        return f"its bytes are sound as {name} and not as {DEFAULT_FORMAT}"
    size, correlation = _size_and_correlation(samples)
    if size > FULL_SCALE_NOISE and abs(correlation) < LEAST_NOISY / 3:
        return f"as {DEFAULT_FORMAT} it is noise at full scale: compressed, or another sample format"
    if is_stereo_possible and _alternates(samples):
        return "every second sample belongs to another sound: it is stereo, or has samples of 32 bits"
    return ""


def _is_faint_u8(content: bytes) -> bool:
    return bool(np.mean(np.abs(np.frombuffer(content, np.uint8).astype(np.float32) / 128 - 1)) < 0.1)


def _float_format(content: bytes, samples: np.ndarray) -> str | None:
    """The float format in which nearly all samples have a likely size; halves of a float are unlike each other."""
    if np.mean(np.abs(samples[::2] - samples[1::2])) < 0.05:
        return None
    for name in ("f32le", "f32be", "f64le", "f64be"):
        width = _width(name)
        with np.errstate(all="ignore"):
            sizes = np.abs(np.frombuffer(content[: len(content) // width * width], f"{'><'[name[-2] == 'l']}f{width}"))
            sounding = sizes[sizes != 0]  # NaN too
            likely = (sounding >= FLOAT_RANGE[0]) & (sounding <= FLOAT_RANGE[1])
        if len(sounding) > len(sizes) / 10 and likely.mean() > 0.98:
            return name
    return None


def _other_integers(content: bytes, samples: np.ndarray) -> str | None:
    """The integer format in which the same bytes are much fainter, or smooth where they are noise as they were taken.

    8-bit sound in the upper bytes is faint with its bytes swapped, too, but its lower bytes are all zero.
    """
    size, correlation = _size_and_correlation(samples)
    if size < LOUD or np.mean(np.frombuffer(content, np.uint8)[::2] == 0) > 0.9:
        return None
    for name in ("s16be", "u8", "s24le", "s32le", "s24be", "s32be"):
        width = _width(name)
        other = RawFormat(name).decode(content[: len(content) // width * width])[:, 0]
        other_size, other_correlation = _size_and_correlation(other)
        is_smooth = abs(correlation) < LEAST_NOISY and other_correlation > 0.6 and other_size < size
        if 0 < other_size < MUCH_FAINTER * size or is_smooth:
            return name
    return None


def _alternates(samples: np.ndarray) -> bool:
    """Whether even and odd samples are of two sounds, or are the same one twice."""
    even, odd = samples[0:-2:2], samples[1:-1:2]
    inside, across = np.mean((even - odd) ** 2), np.mean((odd - samples[2::2]) ** 2)
    powers = np.var(even), np.var(odd)
    if min(inside, across) < 0.25 * max(inside, across) or min(powers) < 0.25 * max(powers):
        return True
    _, next_one = _size_and_correlation(samples)
    centred = samples - samples.mean()
    next_but_one = float(np.mean(centred[2:] * centred[:-2]) / np.var(samples))
    return next_but_one > max(0.4, abs(next_one) + 0.25)


def _size_and_correlation(samples: np.ndarray) -> tuple[float, float]:
    """Root mean square, and correlation of each sample with the next, both around the mean."""
    centred = samples - samples.mean()
    power = float(np.mean(centred**2))
    return power**0.5, float(np.mean(centred[1:] * centred[:-1])) / power if power else 0.0
