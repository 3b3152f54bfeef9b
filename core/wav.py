"""Reads any PCM or float WAV in blocks, and writes 16-bit PCM."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.errors import AudioError
from core.files import write_atomically

# A writer that cannot seek back leaves the size of the data open: 0, 0xFFFFFFFF (ffmpeg), 0x7FFFF000 (sox) or
# something just under 2**31 (arecord). It then means "to the end of the file", unless the file really is that long.
OPEN_SIZE_BYTES = 0x7FFFF000
OPEN_LONG_SIZE_BYTES = 2**62
MAX_CHUNKS = 10_000
RIFF_IDS = (b"RIFF", b"RF64", b"BW64")
FOREIGN_TAGS = (b"ID3", b"TAG", b"APETAGEX")  # which tools for music put behind the last chunk
MAX_PCM_BYTES = 0xFFFFFFFF - 36  # what a 16-bit header can declare
PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of every sub-format that stands for a plain codec number
SAMPLE_TYPES = {(PCM, 1): "u1", (PCM, 2): "<i2", (PCM, 3): "i24", (PCM, 4): "<i4", (FLOAT, 4): "<f4", (FLOAT, 8): "<f8"}
CODEC_NAMES = {
    0x02: "Microsoft ADPCM", 0x06: "A-law", 0x07: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x45: "G.726 ADPCM",
    0x50: "MPEG", 0x55: "MP3", 0x92: "AC-3", 0xFF: "AAC", 0x161: "Windows Media", 0x674F: "Vorbis", 0xF1AC: "FLAC",
}  # fmt: skip


@dataclass(frozen=True)
class SampleFormat:
    """How the samples of a WAV file are stored.

    Attributes
    ----------
    sample_rate_hz, n_channels : int
        As declared; whether Tussis takes them is for `core.audio` to say.
    sample_type : str
        ``"u1"``, ``"<i2"``, ``"i24"``, ``"<i4"``, ``"<f4"`` or ``"<f8"``.
    """

    sample_rate_hz: int
    n_channels: int
    sample_type: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.n_channels * (3 if self.sample_type == "i24" else int(self.sample_type[-1]))


@dataclass(frozen=True)
class WavLayout:
    """Where the samples of a WAV file lie: ``stretches`` of (first byte, number of frames), one after the other.

    There are several where files were joined. ``n_missing`` frames are declared and not there. ``remark`` is None or a
    sentence about what is there and cannot be read.
    """

    format: SampleFormat
    stretches: tuple[tuple[int, int], ...]
    n_missing: int = 0
    remark: str | None = None


def is_wav(head: bytes) -> bool:
    """Whether a file that begins with these (at least 12) bytes is a WAV of any kind, supported or not."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"


class OtherCodecError(AudioError):
    """A WAV file whose sound is stored in a way that another decoder may read."""


def read_wav_layout(file: BinaryIO, name: str | Path, first_byte: int = 0) -> WavLayout:
    """Find the format and the samples of a WAV file (RIFF; RF64 and BW64 where it is longer than 4 GB).

    What is there counts, not what the header says: sizes that were never filled in, wrapped at 4 GiB or count the
    header, a wrong block length, and files that were joined are all read to the end.

    Parameters
    ----------
    file : binary file, seekable
    name : str or Path
        The name that errors give.
    first_byte : int
        Where the WAV begins in the file.

    Raises
    ------
    OtherCodecError
        If it holds anything but 8 to 32-bit integer or 32 or 64-bit float samples, low byte first.
    AudioError
        If it is no WAV, or ends before any sound.
    """
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(first_byte)
    head = file.read(12)
    if not is_wav(head):
        raise AudioError(f"{name} is not a WAV recording.")
    if head[:4] == b"RIFX":
        raise OtherCodecError(f"{name} is a big-endian WAV (RIFX), not supported; convert it to 16-bit PCM.")
    sample_format, long_data_bytes = None, None
    for chunk_id, size, start in _chunks(file, first_byte + 12, file_bytes):
        if chunk_id == b"ds64":
            long_data_bytes = int.from_bytes(file.read(16)[8:], "little")
        elif chunk_id == b"fmt ":
            sample_format = _sample_format(file.read(min(size, 40)), name)
        elif chunk_id == b"data" and sample_format is None:
            raise AudioError(f"{name} is damaged: its samples come before the description of their format.")
        elif chunk_id == b"data":
            is_open = size >= OPEN_SIZE_BYTES
            if size == 0xFFFFFFFF and long_data_bytes is not None:
                size, is_open = long_data_bytes, long_data_bytes >= OPEN_LONG_SIZE_BYTES
            return _layout(file, name, sample_format, start, 0 if is_open and size > file_bytes else size)
    raise AudioError(f"{name} is cut short: it ends within its header, before any sound.")


def decode_frames(stored: bytes, wav: SampleFormat) -> np.ndarray:
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
    """The frames of an open WAV file, one after the other.

    Attributes
    ----------
    sample_rate_hz, n_channels : int
        As in `SampleFormat`.
    n_frames : int
        Samples per channel that are there.
    truncated : bool
        Whether the file holds less than it says; known for sure once all frames were read.
    remark : str or None
        A sentence about what was not read.
    """

    def __init__(self, file: BinaryIO, name: str | Path) -> None:
        self._file, self._layout = file, read_wav_layout(file, name)
        self._format = self._layout.format
        self.sample_rate_hz, self.n_channels = self._format.sample_rate_hz, self._format.n_channels
        self.n_frames = sum(n_frames for _, n_frames in self._layout.stretches)
        self.rewind()

    def rewind(self) -> None:
        """Go to the first frame."""
        self._stretches = list(self._layout.stretches)
        self._n_left = 0
        self._note_missing(self._layout.n_missing)

    def read(self, n_frames: int) -> np.ndarray:
        """The next frames, float32, shape (n, n_channels); fewer than asked for at the end alone."""
        pieces = []
        while n_frames and (self._n_left or self._stretches):
            if not self._n_left:
                start_byte, self._n_left = self._stretches.pop(0)
                self._file.seek(start_byte)
                continue
            n_wanted = min(n_frames, self._n_left)
            frame_bytes = self._format.frame_bytes
            stored = self._file.read(n_wanted * frame_bytes)
            n_read = len(stored) // frame_bytes
            pieces.append(decode_frames(stored[: n_read * frame_bytes], self._format))
            n_frames, self._n_left = n_frames - n_read, self._n_left - n_read
            if n_read < n_wanted:  # the file has become shorter since it was opened
                self._note_missing(self._layout.n_missing + self._n_left + sum(n for _, n in self._stretches))
                self._stretches, self._n_left = [], 0
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros((0, self.n_channels), np.float32), *pieces])

    def _note_missing(self, n_missing: int) -> None:
        self.truncated, self.remark = n_missing > 0 or self._layout.remark is not None, self._layout.remark
        if n_missing:
            missing_s = n_missing / max(1, self.sample_rate_hz)
            self.remark = f"The recording is cut short: {missing_s:.1f} s that its header promises are not there."


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


def _layout(file: BinaryIO, name: str | Path, sample_format: SampleFormat, start: int, declared: int) -> WavLayout:
    """The samples from byte `start` on, of which the header declares a number of bytes that may be wrong."""
    present = file.seek(0, os.SEEK_END) - start
    size = _data_bytes(file, start, declared, present)
    frame_bytes = sample_format.frame_bytes
    stretches, remark = [(start, size // frame_bytes)], None
    n_missing = 0 if declared - present <= start else (declared - present) // frame_bytes  # a size may count the header
    for chunk_id, chunk_bytes, chunk_start in _chunks(file, _next_chunk(file, start + size, size), start + present):
        if chunk_id == b"data":
            stretches.append((chunk_start, min(chunk_bytes, start + present - chunk_start) // frame_bytes))
        elif chunk_id in RIFF_IDS:
            more = read_wav_layout(file, name, chunk_start - 8)
            if more.format != sample_format:
                remark = "Another recording of another sample format is joined to this one, and was not read."
                break
            return WavLayout(sample_format, (*stretches, *more.stretches), n_missing + more.n_missing, more.remark)
    return WavLayout(sample_format, tuple(stretches), n_missing, remark)


def _data_bytes(file: BinaryIO, start: int, declared: int, present: int) -> int:
    """How many bytes of samples there are: the declared size where what follows it makes sense, else all."""
    if declared >= present:
        return present
    sizes = range(declared + (present - declared) // 2**32 * 2**32, declared - 1, -(2**32))  # wrapped, or as it says
    for size in sizes:
        if (size or not declared) and _is_followed_by_chunks(
            file, _next_chunk(file, start + size, size), start + present
        ):
            return size
    return present


def _is_followed_by_chunks(file: BinaryIO, position: int, end: int) -> bool:
    """Whether nothing, or whole chunks, or a tag of another format lie between two bytes of a file."""
    if end - position < 8:
        return True
    file.seek(position)
    if file.read(8).startswith(FOREIGN_TAGS):
        return True
    next_position = position
    for chunk_id, size, start in _chunks(file, position, end):
        if not chunk_id.isascii() or not chunk_id.decode("ascii").isprintable():
            return False
        if chunk_id in RIFF_IDS or (chunk_id == b"data" and size >= OPEN_SIZE_BYTES):
            return True
        next_position = start + size
    return end - 8 < next_position <= end


def _chunks(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, declared size and offset of each chunk's content, at which the file then stands."""
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        file.seek(position)
        chunk_id, size = struct.unpack("<4sI", file.read(8))
        yield chunk_id, size, position + 8
        position = _next_chunk(file, position + 8 + size, size)


def _next_chunk(file: BinaryIO, position: int, size: int) -> int:
    """Where the next chunk begins after one that ends at `position`: padded to an even length, which some forget."""
    if size % 2:
        file.seek(position)
        return position + (file.read(1) == b"\0")
    return position


def _sample_format(chunk: bytes, name: str | Path) -> SampleFormat:
    """Read the ``fmt`` chunk."""
    if len(chunk) < 16:
        raise AudioError(
            f"{name} is damaged or cut short: its format description has {len(chunk)} bytes, at least 16 are expected."
        )
    codec, n_channels, sample_rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if codec == EXTENSIBLE:
        if len(chunk) < 40 or chunk[26:40] != GUID_TAIL:
            raise AudioError(f"{name} holds a codec that is not supported; convert it to 16-bit PCM.")
        codec = int.from_bytes(chunk[24:26], "little")
    if codec not in (PCM, FLOAT):
        codec_name = CODEC_NAMES.get(codec, "an unknown codec")
        raise OtherCodecError(
            f"{name} holds {codec_name} (WAV codec {codec:#06x}), not supported; convert it to 16-bit PCM."
        )
    sample_type = SAMPLE_TYPES.get((codec, _sample_bytes(bits, frame_bytes, n_channels)))
    if sample_type is None:
        kind = "integer" if codec == PCM else "float"
        raise AudioError(
            f"{name} has {bits}-bit {kind} samples; expected 8, 16, 24 or 32-bit integer or 32 or 64 float."
        )
    if n_channels == 0:
        raise AudioError(f"{name} is damaged: its header says that it has no channel.")
    return SampleFormat(sample_rate_hz, n_channels, sample_type)


def _sample_bytes(bits: int, frame_bytes: int, n_channels: int) -> int:
    """Bytes of one sample; the declared block length, which is often wrong, counts only for samples that are padded."""
    if (bits % 8 or bits == 24) and n_channels and frame_bytes == 4 * n_channels:
        return 4
    return -(-bits // 8)
