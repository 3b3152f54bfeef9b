"""Opens recordings: checks them, decodes them in blocks and mixes them to one channel."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import numpy as np

from core.errors import AudioError
from core.files import sha256_of_file
from core.resample import resample_blocks
from core.wav import WavDecoder, is_wav, write_wav

__all__ = [
    "MAX_AMPLITUDE", "MAX_CHANNELS", "MAX_SAMPLE_RATE_HZ", "MIN_SAMPLE_RATE_HZ", "SAMPLE_RATE_HZ",
    "RecordingReader", "open_recording", "read_waveform", "write_wav",
]  # fmt: skip

SAMPLE_RATE_HZ = 16_000
MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 384_000
MAX_CHANNELS = 2
MAX_AMPLITUDE = (
    100.0  # of a float sample, +40 dBFS: beyond it the numbers are no sound in [-1, 1] but, say, int16 steps
)
PIECE_FRAMES = 65_536  # decoded at once: the grid on which everything is computed, whatever the block size

# Two channels of opposite polarity cancel when averaged: a wrongly wired balanced microphone. Where the average keeps
# less than a tenth (-10 dB) of the louder channel's power (correlation below -0.8), the louder channel is taken alone.
MIN_AVERAGED_POWER = 0.1

SOUNDFILE_FORMATS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}
OTHER_FORMATS = {
    b"FORM": "AIFF", b"caff": "CAF", b".snd": "AU", b"riff": "W64", b"#!AMR": "AMR", b"wvpk": "WavPack",
    b"MThd": "MIDI", b"PK\x03\x04": "a ZIP archive", b"\x1a\x45\xdf\xa3": "WebM or Matroska",
    b"\x30\x26\xb2\x75": "Windows Media",
}  # fmt: skip
MP3_SLACK_FRAMES = 2 * 1152  # some encoders count their own header among an MP3's frames
UNKNOWN_FRAMES = 2**40  # more than this is libsndfile's word for a length that the header does not give


class _Decoder(Protocol):
    """A source of frames: float32, shape (n, n_channels)."""

    sample_rate_hz: int
    n_channels: int
    n_frames: int
    slack_frames: int

    def rewind(self) -> None: ...

    def read(self, n_frames: int) -> np.ndarray: ...


class RecordingReader:
    """An open recording; a context manager, made by `open_recording`.

    Attributes
    ----------
    path : Path
    sample_rate_hz : int
        Native, 4000 to 384000 Hz.
    n_channels : int
        1 or 2 in the file; `blocks` gives one.
    n_frames : int
        Samples per channel, at least 1.
    """

    def __init__(self, path: Path, file: BinaryIO, decoder: _Decoder) -> None:
        self.path = path
        self.sample_rate_hz = decoder.sample_rate_hz
        self.n_channels = decoder.n_channels
        self.n_frames = decoder.n_frames
        self._file = file
        self._decoder = decoder

    def __enter__(self) -> "RecordingReader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the attributes stay readable."""
        self._file.close()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.sample_rate_hz

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, hexadecimal; read through once, when first asked for."""
        return sha256_of_file(self.path)

    def blocks(self, block_s: float = 10.0) -> Iterator[np.ndarray]:
        """Yield the recording from its beginning as one channel at its native rate.

        Parameters
        ----------
        block_s : float
            Length of each block but the last, seconds. The samples do not depend on it.

        Yields
        ------
        ndarray, shape (n,), float32
            In [-1, 1], except where a float recording exceeds it.

        Raises
        ------
        AudioError
            If a sample is NaN, infinite or beyond `MAX_AMPLITUDE`, or if the file ends early.
        """
        block_frames = round(block_s * self.sample_rate_hz)
        if block_frames < 1:
            raise ValueError(f"block_s is {block_s}; expected at least one sample, {1 / self.sample_rate_hz} s")
        weights = self._channel_weights
        pending, n_pending = [], 0
        for piece in self._pieces():
            pending.append(_mix(piece, weights))
            n_pending += len(piece)
            if n_pending >= block_frames:
                joined = np.concatenate(pending)
                n_whole = n_pending // block_frames * block_frames
                for start in range(0, n_whole, block_frames):
                    yield joined[start : start + block_frames].copy()
                pending, n_pending = [joined[n_whole:]], n_pending - n_whole
        if n_pending:
            yield np.concatenate(pending)

    @cached_property
    def _channel_weights(self) -> np.ndarray:
        """Weight of each channel, shape (n_channels,), float32, from one pass over the whole recording if stereo."""
        if self.n_channels == 1:
            return np.ones(1, np.float32)
        sums, products = np.zeros(2), np.zeros((2, 2))
        for piece in self._pieces():
            tracks = np.ascontiguousarray(piece.T, np.float64)  # numpy sums along rows ten times as fast as columns
            sums += tracks.sum(axis=1)
            products += np.einsum("cn,dn->cd", tracks, tracks)
        means = sums / self.n_frames
        (left, crossed), (_, right) = products / self.n_frames - np.outer(means, means)  # without the mean: no DC
        if (left + 2 * crossed + right) / 4 >= MIN_AVERAGED_POWER * max(left, right):
            return np.full(2, 0.5, np.float32)
        return np.array([1, 0] if left >= right else [0, 1], np.float32)

    def _pieces(self) -> Iterator[np.ndarray]:
        """Checked frames on a fixed grid of `PIECE_FRAMES`, float32, shape (n, n_channels)."""
        self._decoder.rewind()
        for start in range(0, self.n_frames, PIECE_FRAMES):
            expected = min(PIECE_FRAMES, self.n_frames - start)
            frames = self._decoder.read(expected)
            lowest, highest = frames.min(initial=0.0), frames.max(initial=0.0)
            if not -MAX_AMPLITUDE <= lowest <= highest <= MAX_AMPLITUDE:  # "not" so that NaN is caught too
                raise AudioError(_unusable_sample(frames, start, self))
            if len(frames) < expected - self._decoder.slack_frames:
                n_read = start + len(frames)
                raise AudioError(f"{self.path} is cut short: {n_read} of {self.n_frames} samples are there.")
            yield frames


def open_recording(path: str | Path) -> RecordingReader:
    """Open a recording, whatever its file name ends in, and check all that can be known before decoding it.

    WAV is read without any other package; FLAC, Ogg (Vorbis, Opus) and MP3 need `soundfile`. A WAV or FLAC that ends
    early is refused. An Ogg that was cut off reads as a shorter one, because its header does not tell its length.

    Raises
    ------
    AudioError
        If there is no such file or it is not sound that Tussis can use; one sentence that names the file.
    """
    path = Path(path)
    file = _open_file(path)
    try:
        decoder = _decoder(file, path)
        _check_properties(decoder, path)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise AudioError(f"{path} cannot be read: {error.strerror or error}.") from error
        raise
    return RecordingReader(path, file, decoder)


def read_waveform(path: str | Path) -> np.ndarray:
    """A whole recording as float32 at 16 kHz, shape (n,); for short recordings and the workstation.

    Raises
    ------
    AudioError
        As `open_recording` and `RecordingReader.blocks`.
    """
    with open_recording(path) as recording:
        return np.concatenate(list(resample_blocks(recording.blocks(), recording.sample_rate_hz)))


class _SoundFileDecoder:
    """A compressed recording through `soundfile`; the interface of `core.wav.WavDecoder`."""

    def __init__(self, file: BinaryIO, path: Path, format_name: str) -> None:
        try:
            import soundfile
        except (ImportError, OSError) as error:  # OSError: the package is there, its C library is not
            requirement = "needs the soundfile package: install it or convert the file to WAV"
            raise AudioError(f"{path} is {format_name}, which {requirement}.") from error
        self._error = soundfile.SoundFileError
        self._damaged = f"{path} cannot be decoded to its end: the {format_name} is damaged or cut short."
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # the buffered file has read ahead
        try:  # by descriptor, because soundfile judges a path by its ending
            self._sound = soundfile.SoundFile(file.fileno(), closefd=False)
        except self._error as error:
            raise AudioError(self._damaged) from error
        if self._sound.frames > UNKNOWN_FRAMES:
            raise AudioError(f"{path} does not say how long it is (a streamed {format_name}); convert it to WAV.")
        self.sample_rate_hz, self.n_channels = self._sound.samplerate, self._sound.channels
        self.n_frames = self._sound.frames
        self.slack_frames = MP3_SLACK_FRAMES if format_name == "MP3" else 0

    def rewind(self) -> None:
        """Go to the first frame."""
        try:
            self._sound.seek(0)
        except self._error as error:
            raise AudioError(self._damaged) from error

    def read(self, n_frames: int) -> np.ndarray:
        """The next frames, float32, shape (n, n_channels); fewer than asked for at the end."""
        try:
            return self._sound.read(n_frames, dtype="float32", always_2d=True)
        except self._error as error:
            raise AudioError(self._damaged) from error


def _open_file(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder; a recording is expected.")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path} is a device or pipe; a recording in a file is expected.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise AudioError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error


def _decoder(file: BinaryIO, path: Path) -> _Decoder:
    """Choose by the first bytes, never by the file name."""
    head = file.read(12)
    file.seek(0)
    if not head:
        raise AudioError(f"{path} is an empty file.")
    if is_wav(head):
        return WavDecoder(file, path)
    if head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return _SoundFileDecoder(file, path, "MP3")
    for magic, format_name in SOUNDFILE_FORMATS.items():
        if head.startswith(magic):
            return _SoundFileDecoder(file, path, format_name)
    for magic, format_name in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise AudioError(f"{path} is {format_name}, which is not supported; convert it to WAV.")
    if head[4:8] == b"ftyp":
        raise AudioError(f"{path} is MPEG-4 (M4A, AAC or 3GP), which is not supported; convert it to WAV.")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        raise AudioError(f"{path} is not a WAV recording, or its header is cut short.")
    raise AudioError(f"{path} is not a sound recording.")


def _check_properties(decoder: _Decoder, path: Path) -> None:
    """Refuse what cannot be a recording of a person, before anything is decoded."""
    rate_hz, n_channels = decoder.sample_rate_hz, decoder.n_channels
    if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(
            f"{path} has a sample rate of {rate_hz} Hz; expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz."
        )
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise AudioError(f"{path} has {n_channels} channels; expected 1 or {MAX_CHANNELS}.")
    if decoder.n_frames < 1:
        raise AudioError(f"{path} holds no samples.")


def _mix(frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One channel from (n, n_channels) frames."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    return frames[:, 0] * weights[0] + frames[:, 1] * weights[1]


def _unusable_sample(frames: np.ndarray, start_frame: int, recording: RecordingReader) -> str:
    """The sentence about the first sample that is NaN, infinite or far out of range."""
    frame, channel = np.argwhere(~(np.abs(frames) <= MAX_AMPLITUDE))[0]
    at_s = (start_frame + frame) / recording.sample_rate_hz
    expected = f"expected numbers in [-1, 1], and never beyond {MAX_AMPLITUDE:g}"
    return f"{recording.path} holds the sample {frames[frame, channel]} at {at_s:.3f} s; {expected}."
