"""Reads any PCM or float WAV in blocks, and writes 16-bit PCM."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.errors import AudioError
from core.files import write_atomically

# A writer that cannot seek back leaves the size of the data open: 0, 0xFFFFFFFF (ffmpeg), 0x7FFFF000 (sox) or
# something just under 2**31 (arecord). It then means "to the end of the file", unless the file really is that long.
OPEN_SIZE_BYTES = 0x7FFFF000
MAX_CHUNKS = 10_000
MAX_PCM_BYTES = 0xFFFFFFFF - 36  # what a 16-bit header can declare
PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of every sub-format that stands for a plain codec number
SAMPLE_TYPES = {(PCM, 1): "u1", (PCM, 2): "<i2", (PCM, 3): "i24", (PCM, 4): "<i4", (FLOAT, 4): "<f4", (FLOAT, 8): "<f8"}
CODEC_NAMES = {
    0x02: "Microsoft ADPCM", 0x06: "A-law", 0x07: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x45: "G.726 ADPCM",
    0x50: "MPEG", 0x55: "MP3", 0x92: "AC-3", 0xFF: "AAC", 0x161: "Windows Media", 0x674F: "Vorbis", 0xF1AC: "FLAC",
}  # fmt: skip


@dataclass(frozen=True)
class WavFormat:
    """Where the samples of a WAV file lie and how they are stored.

    Attributes
    ----------
    sample_rate_hz, n_channels : int
        As declared; whether Tussis takes them is for `core.audio` to say.
    sample_type : str
        ``"u1"``, ``"<i2"``, ``"i24"``, ``"<i4"``, ``"<f4"`` or ``"<f8"``.
    frame_bytes : int
        Bytes of one sample of every channel.
    start_byte : int
        Offset of the first sample in the file.
    n_frames : int
        Samples per channel.
    """

    sample_rate_hz: int
    n_channels: int
    sample_type: str
    frame_bytes: int
    start_byte: int = 0
    n_frames: int = 0


def is_wav(head: bytes) -> bool:
    """Whether a file that begins with these (at least 12) bytes is a WAV of any kind, supported or not."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def read_wav_format(file: BinaryIO, name: str | Path) -> WavFormat:
    """Find the format and the samples of a WAV file (RIFF; RF64 and BW64 where it is longer than 4 GB).

    Parameters
    ----------
    file : binary file, seekable
    name : str or Path
        The name that errors give.

    Raises
    ------
    AudioError
        If it is no WAV, is cut short, or holds anything but 8 to 32-bit integer or 32 or 64-bit float samples.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if not is_wav(head):
        raise AudioError(f"{name} is not a WAV recording.")
    if head[:4] == b"RIFX":
        raise AudioError(f"{name} is a big-endian WAV (RIFX), which is not supported; convert it to an ordinary WAV.")
    is_closed = int.from_bytes(head[4:8], "little") + 8 == file_bytes
    wav, long_data_bytes = None, None
    for chunk_id, size, start in _chunks(file, file_bytes):
        if chunk_id == b"ds64":
            long_data_bytes = int.from_bytes(file.read(16)[8:], "little")
        elif chunk_id == b"fmt ":
            wav = _sample_format(file.read(min(size, 40)), name)
        elif chunk_id == b"data" and wav is None:
            raise AudioError(f"{name} is damaged: its samples come before the description of their format.")
        elif chunk_id == b"data":
            if size == 0xFFFFFFFF and long_data_bytes is not None:
                size, is_closed = long_data_bytes, True
            data_bytes = _data_bytes(size, file_bytes - start, is_closed, name)
            return replace(wav, start_byte=start, n_frames=data_bytes // wav.frame_bytes)
    raise AudioError(f"{name} is cut short: it ends within its header, before any sound.")


def decode_frames(stored: bytes, wav: WavFormat) -> np.ndarray:
    """Stored samples as float32, shape (n_frames, n_channels): integers map to [-1, 1), floats stay as they are.

    8-bit samples are unsigned, as the container demands. A float64 beyond the range of float32 becomes infinite.
    """
    if wav.sample_type == "u1":
        samples = (np.frombuffer(stored, np.uint8).astype(np.float32) - 128.0) / 128.0
    elif wav.sample_type == "i24":
        widened = np.zeros((len(stored) // 3, 4), np.uint8)
        widened[:, 1:] = np.frombuffer(stored, np.uint8).reshape(-1, 3)
        samples = widened.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    elif wav.sample_type in ("<i2", "<i4"):
        full_scale = 2.0 ** (8 * int(wav.sample_type[-1]) - 1)
        samples = np.frombuffer(stored, wav.sample_type).astype(np.float32)
        samples /= full_scale
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            samples = np.frombuffer(stored, wav.sample_type).astype(np.float32)
    return samples.reshape(-1, wav.n_channels)


class WavDecoder:
    """The frames of an open WAV file, read where asked for.

    Attributes
    ----------
    sample_rate_hz, n_channels, n_frames : int
        As in `WavFormat`.
    slack_frames : int
        By how much `n_frames` may be wrong: 0.
    """

    slack_frames = 0

    def __init__(self, file: BinaryIO, name: str | Path) -> None:
        self._file = file
        self._wav = read_wav_format(file, name)
        self.sample_rate_hz = self._wav.sample_rate_hz
        self.n_channels = self._wav.n_channels
        self.n_frames = self._wav.n_frames

    def rewind(self) -> None:
        """Go to the first frame."""
        self._file.seek(self._wav.start_byte)

    def read(self, n_frames: int) -> np.ndarray:
        """The next frames, float32, shape (n, n_channels); fewer than asked for where the file has become shorter."""
        stored = self._file.read(n_frames * self._wav.frame_bytes)
        return decode_frames(stored[: len(stored) // self._wav.frame_bytes * self._wav.frame_bytes], self._wav)


def write_wav(path_or_fileobj: str | Path | BinaryIO, waveform: np.ndarray, sample_rate_hz: int = 16_000) -> None:
    """Write a mono waveform as 16-bit PCM: rounded to the nearest step, saturated outside [-1, 1), never wrapped.

    Parameters
    ----------
    path_or_fileobj : path, or binary file open for writing
        A path is written whole or not at all.
    waveform : ndarray, shape (n,), float in [-1, 1]
    sample_rate_hz : int

    Raises
    ------
    AudioError
        If the waveform is not one row of finite numbers, or takes more than 4 GB.
    OutputError
        If the path cannot be written.
    """
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise AudioError(f"a waveform of shape {waveform.shape} cannot be written; expected (n,), all numbers finite.")
    pcm = np.clip(np.rint(waveform.astype(np.float64) * 32768.0), -32768, 32767).astype("<i2").tobytes()
    if len(pcm) > MAX_PCM_BYTES:
        raise AudioError(f"a waveform of {len(pcm)} bytes does not fit in a WAV file (at most {MAX_PCM_BYTES}).")
    content = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, PCM, 1,
        sample_rate_hz, 2 * sample_rate_hz, 2, 16, b"data", len(pcm),
    ) + pcm  # fmt: skip
    if isinstance(path_or_fileobj, str | os.PathLike):
        write_atomically(path_or_fileobj, content)
    else:
        path_or_fileobj.write(content)


def _chunks(file: BinaryIO, file_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, declared size and offset of each chunk's content, at which the file then stands."""
    header_start = 12
    for _ in range(MAX_CHUNKS):
        if header_start + 8 > file_bytes:
            return
        file.seek(header_start)
        chunk_id, size = struct.unpack("<4sI", file.read(8))
        yield chunk_id, size, header_start + 8
        header_start += 8 + size + size % 2  # content is padded to an even length


def _sample_format(chunk: bytes, name: str | Path) -> WavFormat:
    """Read the ``fmt`` chunk; the place of the samples is not known yet."""
    if len(chunk) < 16:
        raise AudioError(
            f"{name} is damaged or cut short: its format description has {len(chunk)} bytes, at least 16 are expected."
        )
    codec, n_channels, sample_rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if codec == EXTENSIBLE:
        if len(chunk) < 40 or chunk[26:40] != GUID_TAIL:
            raise AudioError(f"{name} holds a codec that is not supported; convert it to 16-bit PCM.")
        codec = int.from_bytes(chunk[24:26], "little")
    sample_type = SAMPLE_TYPES.get((codec, bits // 8)) if bits % 8 == 0 else None
    if codec not in (PCM, FLOAT):
        codec_name = CODEC_NAMES.get(codec, "an unknown codec")
        raise AudioError(
            f"{name} holds {codec_name} (WAV codec {codec:#06x}), not supported; convert it to 16-bit PCM."
        )
    if sample_type is None:
        kind = "integer" if codec == PCM else "float"
        raise AudioError(
            f"{name} has {bits}-bit {kind} samples; expected 8, 16, 24 or 32-bit integer or 32 or 64 float."
        )
    if n_channels == 0 or frame_bytes != n_channels * bits // 8:
        raise AudioError(f"{name} is damaged: {n_channels} channels of {bits} bits cannot take {frame_bytes} bytes.")
    return WavFormat(sample_rate_hz, n_channels, sample_type, frame_bytes)


def _data_bytes(declared: int, present: int, is_closed: bool, name: str | Path) -> int:
    """How many bytes of samples to read; AudioError where the file ends before the declared size."""
    is_open = not is_closed and (declared == 0 or declared >= OPEN_SIZE_BYTES)
    if declared <= present and not (is_open and declared == 0):
        return declared
    if is_open:
        return present
    raise AudioError(f"{name} is cut short: its header says {declared} bytes of sound, {present} are there.")
