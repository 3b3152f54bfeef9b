"""Reads sound from standard input as it comes: raw PCM, or WAV by its header."""

import argparse
import io
import os
import select
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.audio import AVERAGE, MAX_AMPLITUDE, MAX_CHANNELS
from core.errors import AudioError, SettingsError
from core.screening.raw_sound import SAMPLE_TYPES, RawFormat, doubt
from core.sound.compressed import container_of
from core.wav import OPEN_LONG_SIZE_BYTES, OPEN_SIZE_BYTES, SampleFormat, decode_frames, is_wav, read_wav_layout

STANDARD_INPUT = "-"
NAME = "standard input"
BLOCK_S = 0.5
JUDGED_S = 4.0
POLL_S = 0.2  # how often it is looked whether the run was asked to end
PIECE_BYTES = 1 << 16
OTHER_NAMES = {
    b"RIFX": "a big-endian WAV (RIFX)",
    b"RIFF": "RIFF, but no WAV",
    b"MAC ": "Monkey's Audio",
    b"TTA1": "TTA",
}
ADVICE = "decode it first: ffmpeg -i … -f s16le -ar 16000 -ac 1 -"


@dataclass(frozen=True)
class RawOptions:
    """What the command line says about raw PCM on standard input; None where it says nothing.

    ``channel`` is the one to hear of any recording, as in `open_recording`; None is a stream's average.
    """

    sample_rate_hz: int | None = None
    n_channels: int | None = None
    format_name: str | None = None
    channel: int | None = None

    @property
    def raw_format(self) -> RawFormat:
        """The format with what was left out filled in."""
        given = {"sample_rate_hz": self.sample_rate_hz, "n_channels": self.n_channels, "name": self.format_name}
        return RawFormat(**{key: value for key, value in given.items() if value is not None})


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--channel``, and ``--rate``, ``--channels`` and ``--format``, which describe raw PCM on standard input."""
    raw = RawFormat()
    channel_help = (
        f"hear this channel, 1 to {MAX_CHANNELS}, or average (default: the one that stands out, else average)"
    )
    parser.add_argument("--channel", type=_channel, metavar="N", help=channel_help)
    group = parser.add_argument_group("standard input", "a WAV by its header, or raw PCM as these say:")
    rate_help = f"samples a second, 4000 to 384000 (default: {raw.sample_rate_hz})"
    group.add_argument("--rate", "--pcm-hz", type=int, metavar="HZ", help=rate_help)
    group.add_argument("--channels", type=int, choices=(1, 2), help=f"default: {raw.n_channels}")
    group.add_argument("--format", choices=tuple(SAMPLE_TYPES), help=f"of a sample, as in ffmpeg (default: {raw.name})")


def read_input_options(options: argparse.Namespace) -> RawOptions:
    """The options, checked; SettingsError where they make no sense."""
    if options.recordings.count(STANDARD_INPUT) > 1:
        raise SettingsError(f"{STANDARD_INPUT} was given more than once; standard input can be read only once.")
    given = {"--rate": options.rate, "--channels": options.channels, "--format": options.format}
    for name, value in given.items():
        if value is not None and STANDARD_INPUT not in options.recordings:
            raise SettingsError(f"{name} describes standard input, {STANDARD_INPUT}, which was not given.")
    return RawOptions(options.rate, options.channels, options.format, options.channel)


def _channel(text: str) -> int:
    if text == "average":
        return AVERAGE
    if not (text.isascii() and text.isdigit() and len(text) == 1 and 1 <= int(text) <= MAX_CHANNELS):
        raise argparse.ArgumentTypeError(f"{text!r} is no channel; expected 1 to {MAX_CHANNELS} or average")
    return int(text)


class _StreamedWav(NamedTuple):
    """``n_bytes`` of samples, 0 where the header leaves it open."""

    format: SampleFormat
    n_bytes: int


class StandardInput:
    """Sound on standard input, opened: its first bytes have been looked at.

    Parameters
    ----------
    options : RawOptions
    is_ended : callable
        Whether the run was asked to end; then the sound ends, too.

    Attributes
    ----------
    sample_rate_hz : int
    remark : str
        What was odd about its end; "" where nothing was.

    Raises
    ------
    AudioError
        If it is closed, holds a format that is not read from standard input, or is a WAV with a damaged header.
    """

    def __init__(self, options: RawOptions, is_ended: Callable[[], bool] = lambda: False):
        if sys.stdin is None:
            raise AudioError(f"{NAME} is closed; expected sound on it.")
        try:
            self._bytes = _Bytes(sys.stdin.fileno(), is_ended)
        except (OSError, ValueError) as error:  # replaced by something that is no file, or closed since
            raise AudioError(f"{NAME} - does not exist.") from error
        self._options, self._is_ended, self.remark = options, is_ended, ""
        head = self._bytes.peek(12)
        if is_wav(head) and head[:4] != b"RIFX":
            self._wav = self._wav_header()
            self._check_against(self._wav.format)
            self.sample_rate_hz = self._wav.format.sample_rate_hz
        else:
            _refuse_other(head)
            self._wav = None
            self.sample_rate_hz = options.raw_format.sample_rate_hz

    def blocks(self) -> Iterator[np.ndarray]:
        """Half seconds as one channel, float32, shape (n,).

        Raises
        ------
        AudioError
            If it sounds like another format than it was taken for, or holds less than a block and a broken sample.
        """
        for frames in self._wav_frames() if self._wav is not None else self._raw_frames():
            if not np.abs(frames).max(initial=0) <= MAX_AMPLITUDE:  # "not" so that NaN is caught too
                raise AudioError(f"{NAME} holds samples that are no numbers in [-1, 1], nor near them.")
            if self._options.channel not in (None, AVERAGE):
                if self._options.channel > frames.shape[1]:
                    raise AudioError(f"{NAME} has no channel {self._options.channel}; expected 1 to {frames.shape[1]}.")
                yield np.ascontiguousarray(frames[:, self._options.channel - 1])
            else:
                yield frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)

    def _raw_frames(self) -> Iterator[np.ndarray]:
        """Samples, held back until it is known that they do not sound like another format."""
        raw = self._options.raw_format
        is_trusted = self._options.format_name is not None
        block_bytes = _block_bytes(raw.frame_bytes, raw.sample_rate_hz)
        held: list[bytes] = []
        n_read = 0
        while content := self._bytes.read(block_bytes):
            n_read += len(content)
            held.append(self._whole(content, raw.frame_bytes, is_first=n_read <= block_bytes, words=_words(raw)))
            if is_trusted or len(held) * BLOCK_S >= JUDGED_S:
                is_trusted = is_trusted or self._is_fitting(held)
                yield from (raw.decode(block) for block in held if block)
                held = []
        if held:
            self._is_fitting(held)
        yield from (raw.decode(block) for block in held if block)

    def _is_fitting(self, blocks: list[bytes]) -> bool:
        """Whether the samples are surely of the format; False where it cannot be told, AudioError where not."""
        reason = doubt(b"".join(blocks), self._options.n_channels is None)
        if reason:
            remedy = f"give its --format, --channels and --rate, or {ADVICE}"
            raise AudioError(f"{NAME} is not raw PCM as it was taken for: {reason}; {remedy}.")
        return reason is not None

    def _wav_frames(self) -> Iterator[np.ndarray]:
        wav = self._wav
        while True:
            yield from self._wav_data(wav)
            if (following := self._next_wav()) is None:
                return
            if following.format != wav.format:
                raise AudioError(f"{NAME} goes on with a WAV of another rate or format; it was heard up to there.")
            wav = following

    def _wav_data(self, wav: "_StreamedWav") -> Iterator[np.ndarray]:
        """The samples of one WAV; where its header says too few, which wraps at 4 GiB, those that follow as well."""
        frame_bytes = wav.format.frame_bytes
        block_bytes = _block_bytes(frame_bytes, wav.format.sample_rate_hz)
        left = wav.n_bytes or None
        n_read = 0
        while content := self._bytes.read(block_bytes if left is None else min(block_bytes, left)):
            n_read += len(content)
            whole = self._whole(content, frame_bytes, n_read <= block_bytes, "whole samples")
            yield decode_frames(whole, wav.format)
            left = None if left is None else left - len(content)
            if left == 0:
                if n_read % 2 and self._bytes.peek(1) == b"\0":
                    self._bytes.skip(1)  # chunks begin at even places
                if len(following := self._bytes.peek(8)) < 8 or _is_chunk(following):
                    return
                self.remark = f"the header of the WAV says {n_read} bytes of sound; what followed was heard as well"
                left = None
        if left and not self._is_ended():
            self.remark = f"the WAV ended {left} bytes before the end that its header gives"

    def _next_wav(self) -> "_StreamedWav | None":
        """Pass over chunks after the samples; the header of the WAV that follows, if one does."""
        while len(head := self._bytes.peek(12)) >= 8:
            if is_wav(head):
                return self._wav_header()
            _, size = struct.unpack("<4sI", self._bytes.read(8))
            self._bytes.skip(size + size % 2)
        return None

    def _wav_header(self) -> "_StreamedWav":
        """The format and the size, which is 0 where the header leaves it open."""
        self._bytes.read(12)
        description, long_bytes = b"", 0
        while len(head := self._bytes.read(8)) == 8:
            chunk_id, size = struct.unpack("<4sI", head)
            if chunk_id == b"data":
                break
            content = self._bytes.read(min(size, 64))
            self._bytes.skip(size + size % 2 - len(content))
            if chunk_id == b"fmt ":
                description = struct.pack("<4sI", b"fmt ", len(content)) + content
            elif chunk_id == b"ds64" and len(content) >= 16:
                long_bytes = int.from_bytes(content[8:16], "little")
        else:
            raise AudioError(f"{NAME} ends within the header of a WAV, before any sound.")
        head = b"RIFF\xff\xff\xff\xffWAVE" + description + b"data\xff\xff\xff\xff"
        sample_format = read_wav_layout(io.BytesIO(head), NAME).format
        n_bytes = long_bytes % OPEN_LONG_SIZE_BYTES if size >= OPEN_SIZE_BYTES else size
        return _StreamedWav(sample_format, n_bytes // sample_format.frame_bytes * sample_format.frame_bytes)

    def _check_against(self, wav: SampleFormat) -> None:
        asked = {"--rate": self._options.sample_rate_hz, "--channels": self._options.n_channels}
        for option, value, own in zip(asked, asked.values(), (wav.sample_rate_hz, wav.n_channels), strict=True):
            if value not in (None, own):
                raise AudioError(f"{NAME} is a WAV whose header says {own}, and {option} says {value}; leave it out.")
        if self._options.format_name is not None:
            raise AudioError(f"{NAME} is a WAV, which tells its own format; leave --format out.")
        if wav.n_channels > MAX_CHANNELS:
            raise AudioError(f"{NAME} has {wav.n_channels} channels; expected 1 to {MAX_CHANNELS}.")

    def _whole(self, content: bytes, frame_bytes: int, is_first: bool, words: str) -> bytes:
        """`content` without a sample that is cut off at its end."""
        odd_bytes = len(content) % frame_bytes
        if odd_bytes and not self._is_ended():
            if is_first:
                raise AudioError(f"{NAME} ends within a sample; expected {words}.")
            self.remark = f"{NAME} ended within a sample; its last {odd_bytes} byte(s) were dropped"
        return content[: len(content) - odd_bytes]


class _Bytes:
    """The bytes of a descriptor, in pieces of any size; ends early once `is_ended`, however silent the writer is."""

    def __init__(self, descriptor: int, is_ended: Callable[[], bool]) -> None:
        self._descriptor, self._is_ended = descriptor, is_ended
        self._ahead = bytearray()

    def read(self, n_bytes: int) -> bytes:
        """As many bytes, fewer at the end."""
        self.peek(n_bytes)
        content = bytes(self._ahead[:n_bytes])
        del self._ahead[:n_bytes]
        return content

    def peek(self, n_bytes: int) -> bytes:
        """The same, which stay to be read."""
        while len(self._ahead) < n_bytes and not self._is_ended():
            ready, _, _ = select.select([self._descriptor], [], [], POLL_S)
            if not ready:
                continue
            try:
                piece = os.read(self._descriptor, n_bytes - len(self._ahead))
            except BlockingIOError:  # another reader of the same pipe was faster
                continue
            if not piece:
                break
            self._ahead += piece
        return bytes(self._ahead[:n_bytes])

    def skip(self, n_bytes: int) -> None:
        """Read and forget."""
        while n_bytes > 0 and (piece := self.read(min(n_bytes, PIECE_BYTES))):
            n_bytes -= len(piece)


def _refuse_other(head: bytes) -> None:
    """Refuse what is certainly no raw PCM."""
    name = next((name for magic, name in OTHER_NAMES.items() if head.startswith(magic)), None)
    if (container := container_of(head)) is not None and head[0] != 0xFF:  # which is MPEG, or a sample
        name = container.name
    if name is not None:
        raise AudioError(f"{NAME} is {name}, which is read only from files; {ADVICE}.")


def _block_bytes(frame_bytes: int, sample_rate_hz: int) -> int:
    return frame_bytes * max(1, round(BLOCK_S * sample_rate_hz))


def _is_chunk(head: bytes) -> bool:
    """Whether bytes after the samples of a WAV are the beginning of another chunk."""
    return head[:4].isascii() and head[:4].decode().isprintable() and not head[:4].isspace()


def _words(raw: RawFormat) -> str:
    if raw == RawFormat(sample_rate_hz=raw.sample_rate_hz):
        return "signed 16-bit little-endian PCM"
    return f"{raw.name} PCM with {raw.n_channels} channel(s)"
