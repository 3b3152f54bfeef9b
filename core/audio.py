"""Opens recordings: checks them, decodes them in blocks and takes one channel of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import numpy as np

from core.errors import AudioError
from core.files import sha256_of_file
from core.resample import resample_blocks
from core.sound import SAMPLE_RATE_HZ
from core.sound.channels import ChannelMeter, average, one_channel
from core.sound.compressed import WAV, CompressedDecoder, container_of
from core.wav import OtherCodecError, WavDecoder, is_wav, write_wav

__all__ = [
    "AVERAGE", "MAX_AMPLITUDE", "MAX_CHANNELS", "MAX_SAMPLE_RATE_HZ", "MIN_SAMPLE_RATE_HZ", "SAMPLE_RATE_HZ",
    "RecordingReader", "open_recording", "read_waveform", "write_wav",
]  # fmt: skip

MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 384_000
MAX_CHANNELS = 8
AVERAGE = 0  # the number that stands for all channels
MAX_AMPLITUDE = (
    100.0  # of a float sample, +40 dBFS: beyond it the numbers are no sound in [-1, 1] but, say, int16 steps
)
PIECE_FRAMES = 2**18  # decoded at once: the grid on which everything is computed
NOT_SOUND = {b"MThd": "MIDI", b"PK\x03\x04": "a ZIP archive", b"%PDF": "a PDF document"}


class _Decoder(Protocol):
    """A source of frames: float32, shape (n, n_channels), fewer than asked for at the end alone."""

    sample_rate_hz: int
    n_channels: int
    n_frames: int
    truncated: bool
    remark: str | None

    def rewind(self) -> None: ...

    def read(self, n_frames: int) -> np.ndarray: ...


class RecordingReader:
    """An open recording; a context manager, made by `open_recording`.

    Attributes
    ----------
    path : Path
    sample_rate_hz : int
        Native, 4000 to 384000 Hz.
    n_channels : int in [1, 8]
        In the file; `blocks` gives one.
    n_frames : int
        Samples per channel: of a WAV those that are there, of others those that it declares, 0 where it does not. Once
        `blocks` has come to its end, those that were read.
    """

    def __init__(self, path: Path, file: BinaryIO, decoder: _Decoder, channel: int | None) -> None:
        self.path = path
        self.sample_rate_hz = decoder.sample_rate_hz
        self.n_channels = decoder.n_channels
        self.n_frames = decoder.n_frames
        self._file = file
        self._decoder = decoder
        self._channel = channel

    def __enter__(self) -> "RecordingReader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the attributes stay readable."""
        self._file.close()

    @property
    def duration_s(self) -> float:
        """Length in seconds, of `n_frames`."""
        return self.n_frames / self.sample_rate_hz

    @property
    def truncated(self) -> bool:
        """Whether less is there than the recording says of itself; known once `blocks` has come to its end."""
        return self._decoder.truncated

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know about how the recording was read, in sentences; known as `truncated` is."""
        return () if self._decoder.remark is None else (self._decoder.remark,)

    @property
    def channel(self) -> str:
        """What `blocks` gives: the number of a channel, from 1 on, or ``"average"``."""
        weights = self._channel_weights
        return str(int(weights.argmax()) + 1) if weights.max() == 1 else "average"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, hexadecimal; read through once, when first asked for."""
        return sha256_of_file(self.path)

    def blocks(self, block_s: float | None = None) -> Iterator[np.ndarray]:
        """Yield the recording from its beginning as one channel at its native rate.

        Parameters
        ----------
        block_s : float or None
            Length of each block but the last, seconds; None for what is decoded at once. The samples do not depend on
            it.

        Yields
        ------
        ndarray, shape (n,), float32
            In [-1, 1], except where a float recording exceeds it.

        Raises
        ------
        AudioError
            If a sample is NaN, infinite or beyond `MAX_AMPLITUDE`, the file cannot be read on, or holds no sample.
        """
        weights = self._channel_weights
        mixed = (_mix(piece, weights) for piece in self._pieces())
        if block_s is None:
            yield from mixed
            return
        block_frames = round(block_s * self.sample_rate_hz)
        if block_frames < 1:
            raise ValueError(f"block_s is {block_s}; expected at least one sample, {1 / self.sample_rate_hz} s")
        held = np.zeros(0, np.float32)
        for piece in mixed:
            held = np.concatenate([held, piece])
            n_whole = len(held) // block_frames * block_frames
            for start in range(0, n_whole, block_frames):
                yield held[start : start + block_frames].copy()
            held = held[n_whole:]
        if len(held):
            yield held

    @cached_property
    def _channel_weights(self) -> np.ndarray:
        """Weight of each channel, shape (n_channels,), float32, from a pass over the whole recording if not told."""
        if self._channel == AVERAGE:
            return average(self.n_channels)
        if self._channel is not None or self.n_channels == 1:
            return one_channel(self._channel or 1, self.n_channels)
        meter = ChannelMeter(self.n_channels, self.sample_rate_hz)
        for piece in self._pieces():
            meter.push(piece)
        return meter.weights()

    def _pieces(self) -> Iterator[np.ndarray]:
        """Checked frames on a fixed grid of `PIECE_FRAMES`, float32, shape (n, n_channels)."""
        n_read = 0
        with _read_errors(self.path):
            self._decoder.rewind()
            while len(frames := self._decoder.read(PIECE_FRAMES)):
                lowest, highest = frames.min(), frames.max()
                if not -MAX_AMPLITUDE <= lowest <= highest <= MAX_AMPLITUDE:  # "not" so that NaN is caught too
                    raise AudioError(_unusable_sample(frames, n_read, self))
                n_read += len(frames)
                yield frames
        self.n_frames = n_read
        if not n_read:
            raise AudioError(f"{self.path} holds no samples.")


def open_recording(path: str | Path, channel: int | None = None) -> RecordingReader:
    """Open a recording, whatever its file name ends in.

    WAV with PCM or float samples is read without any other package. All else needs `av` (PyAV): FLAC, MP3, Ogg, AAC,
    AMR, MPEG-4, WebM and others. What is there is read: a recording that was cut short is read to its end and says so.

    Parameters
    ----------
    path : str or Path
    channel : int or None
        A channel from 1 on, `AVERAGE` for all of them, or None: the one that stands out, else the average.

    Raises
    ------
    AudioError
        If there is no such file or it is not sound that Tussis can use; one sentence that names the file.
    """
    path = Path(path)
    file = _open_file(path)
    try:
        with _read_errors(path):
            decoder = _decoder(file, path)
        _check_properties(decoder, path, channel)
    except BaseException:
        file.close()
        raise
    return RecordingReader(path, file, decoder, channel)


def read_waveform(path: str | Path) -> np.ndarray:
    """A whole recording as float32 at 16 kHz, shape (n,); for short recordings and the workstation.

    Raises
    ------
    AudioError
        As `open_recording` and `RecordingReader.blocks`.
    """
    with open_recording(path) as recording:
        return np.concatenate(list(resample_blocks(recording.blocks(), recording.sample_rate_hz)))


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a file that cannot be read on into an AudioError."""
    try:
        yield
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}.") from error


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
        return _wav_decoder(file, path)
    if (container := container_of(head)) is not None:
        return CompressedDecoder(file, path, container)
    for magic, format_name in NOT_SOUND.items():
        if head.startswith(magic):
            raise AudioError(f"{path} is {format_name}, not a sound recording.")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        raise AudioError(f"{path} is not a WAV recording, or its header is cut short.")
    raise AudioError(f"{path} is not a sound recording.")


def _wav_decoder(file: BinaryIO, path: Path) -> _Decoder:
    """Our own decoder of PCM and float; another one for other codecs, whose true name is given where it is missing."""
    try:
        return WavDecoder(file, path)
    except OtherCodecError as reason:
        try:
            return CompressedDecoder(file, path, WAV)
        except AudioError:
            raise reason from None


def _check_properties(decoder: _Decoder, path: Path, channel: int | None) -> None:
    """Refuse what cannot be a recording of a person, before anything is decoded."""
    rate_hz, n_channels = decoder.sample_rate_hz, decoder.n_channels
    if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(
            f"{path} has a sample rate of {rate_hz} Hz; expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz."
        )
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise AudioError(f"{path} has {n_channels} channels; expected 1 to {MAX_CHANNELS}.")
    if channel is not None and not 0 <= channel <= n_channels:
        raise AudioError(f"{path} has no channel {channel}; expected 1 to {n_channels}.")


def _mix(frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One channel from (n, n_channels) frames: float32, shape (n,)."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    if weights.max() == 1:
        return np.ascontiguousarray(frames[:, weights.argmax()])
    mixed = frames[:, 0] * weights[0]
    for place in range(1, frames.shape[1]):
        mixed += frames[:, place] * weights[place]
    return mixed


def _unusable_sample(frames: np.ndarray, start_frame: int, recording: RecordingReader) -> str:
    """The sentence about the first sample that is NaN, infinite or far out of range."""
    frame, channel = np.argwhere(~(np.abs(frames) <= MAX_AMPLITUDE))[0]
    at_s = (start_frame + frame) / recording.sample_rate_hz
    expected = f"expected numbers in [-1, 1], and never beyond {MAX_AMPLITUDE:g}"
    return f"{recording.path} holds the sample {frames[frame, channel]} at {at_s:.3f} s; {expected}."
