"""Decodes compressed recordings through PyAV (FFmpeg's libraries), which counts samples as players do."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from core.errors import AudioError, one_line


class Container(NamedTuple):
    """``demuxer`` is FFmpeg's name; ``declares_length``, whether its duration is written in it, not reckoned."""

    name: str
    demuxer: str
    declares_length: bool = True


AAC, AMR = Container("AAC", "aac", False), Container("AMR", "amr", False)
FLAC, OGG, MP3 = Container("FLAC", "flac"), Container("Ogg", "ogg"), Container("MP3", "mp3", False)
WAV, MPEG4 = Container("WAV", "wav", False), Container("MPEG-4", "mov")
BY_MAGIC = {
    b"fLaC": FLAC, b"OggS": OGG, b"ID3": MP3, b"FORM": Container("AIFF", "aiff"), b"caff": Container("CAF", "caf"),
    b".snd": Container("AU", "au", False), b"riff": Container("W64", "w64"), b"#!AMR": AMR,
    b"wvpk": Container("WavPack", "wv"), b"\x1a\x45\xdf\xa3": Container("WebM or Matroska", "matroska"),
    b"\x30\x26\xb2\x75": Container("Windows Media", "asf"),
}  # fmt: skip

MAX_MISSING_S = 0.1  # that a declared length may exceed what is there: a rounded duration, an encoder's padding
OGG_HEADER_BYTES = 27
OGG_PAGE = b"OggS\0"
OGG_SEARCH_BYTES = 2**20
FIRST_PAGE, LAST_PAGE = 0x02, 0x04  # flags of an Ogg page
XING_BYTES = 4096  # of an MP3's first frames, in which a count of its frames may stand
FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31, "int64": 2.0**63}


def container_of(head: bytes) -> Container | None:
    """The container of a file that begins with these (at least 12) bytes; None where it is none that Tussis reads."""
    for magic, container in BY_MAGIC.items():
        if head.startswith(magic):
            return container
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return MPEG4
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return AAC if head[1] & 0x06 == 0 else MP3  # MPEG's layer, which is 0 in AAC alone
    return None


class CompressedDecoder:
    """The frames of a compressed recording, one after the other; the interface of `core.wav.WavDecoder`.

    Parameters
    ----------
    file : binary file, seekable
    path : Path
        The name that errors give.
    container : Container

    Raises
    ------
    AudioError
        If PyAV is not installed, or the file cannot be decoded at all.
    """

    def __init__(self, file: BinaryIO, path: Path, container: Container) -> None:
        try:
            import av
        except ImportError as error:
            requirement = "needs the package av (PyAV): install it or convert the file to WAV"
            raise AudioError(f"{path} is {container.name}, which {requirement}.") from error
        self._av, self._file, self._path, self._container = av, file, path, container
        self.rewind()

    def rewind(self) -> None:
        """Go to the first frame."""
        self._n_mp3_frames = _mp3_frames(self._file) if self._container == MP3 else None
        links, self._lacks_end = _ogg_links(self._file) if self._container == OGG else ([0], False)
        self._resampler: Any = None
        self._n_read, self._damaged_s = 0, 0.0
        self.truncated, self.remark = False, None
        self._open_link(links[0], links[1] if len(links) > 1 else None)
        codec = self._stream.codec_context
        self.sample_rate_hz, self.n_channels = codec.sample_rate, codec.channels
        self.n_frames = round((self._declared_s or 0.0) * self.sample_rate_hz)
        self._pieces = self._decoded(links)
        self._held: list[np.ndarray] = []

    def _open_link(self, start: int, end: int | None) -> None:
        """Open the file, or the part of a chained Ogg that lies between two bytes."""
        whole = start == 0 and end is None
        self._file.seek(start)
        source = self._file if whole else io.BytesIO(self._file.read(-1 if end is None else end - start))
        try:
            self._open = self._av.open(source, format=self._container.demuxer)
        except self._av.error.FFmpegError as error:
            raise AudioError(_refusal(self._path, self._container, error)) from error
        if not self._open.streams.audio:
            raise AudioError(f"{self._path} ({self._container.name}) holds no sound.")
        self._stream = self._open.streams.audio[0]
        codec = self._stream.codec_context
        if codec is None or not codec.sample_rate:
            raise AudioError(f"{self._path} ({self._container.name}) holds a codec that is not supported.")
        self._declared_s = self._sum_of_lengths_s(start)
        codec.thread_count = 1
        codec.options = {"err_detect": "+crccheck"}

    def read(self, n_frames: int) -> np.ndarray:
        """The next frames, float32, shape (n, n_channels); fewer than asked for at the end alone."""
        n_held = sum(len(piece) for piece in self._held)
        while n_held < n_frames and (piece := next(self._pieces, None)) is not None:
            self._held.append(piece)
            n_held += len(piece)
        joined = np.concatenate([np.zeros((0, self.n_channels), np.float32), *self._held])
        self._held = [joined[n_frames:]]
        self._n_read += min(n_frames, len(joined))
        if len(joined) < n_frames:
            self._note_end()
        return joined[:n_frames]

    def _decoded(self, links: list[int]) -> Iterator[np.ndarray]:
        """Decoded pieces of all links of a chain; a packet that is damaged is left out and counted."""
        for place, start in enumerate(links):
            if place:
                self._open_link(start, links[place + 1] if place + 1 < len(links) else None)
                self._resampler = None
            for packet in self._packets():
                try:
                    frames = packet.decode()
                except self._av.error.FFmpegError:
                    self._damaged_s += float((packet.duration or 0) * (packet.time_base or 0))
                    continue
                for frame in frames:
                    yield from self._samples(frame)

    def _packets(self) -> Iterator[Any]:
        packets = self._open.demux(self._stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except self._av.error.FFmpegError:
                self._damaged_s += MAX_MISSING_S
                return

    def _samples(self, frame: Any) -> Iterator[np.ndarray]:
        """A frame as float32, shape (n, n_channels), at the recording's first rate, however joined files differ."""
        if frame.sample_rate != self.sample_rate_hz or frame.layout.nb_channels != self.n_channels:
            if self._resampler is None:
                layout = {1: "mono", 2: "stereo"}.get(self.n_channels, f"{self.n_channels}c")
                self._resampler = self._av.AudioResampler("fltp", layout, self.sample_rate_hz)
            for converted in self._resampler.resample(frame):
                yield np.ascontiguousarray(converted.to_ndarray().T)
            return
        stored = frame.to_ndarray()
        samples = stored.T if frame.format.is_planar else stored.reshape(-1, self.n_channels)
        if samples.dtype == np.uint8:
            yield (samples.astype(np.float32) - 128.0) / 128.0
        elif samples.dtype.kind == "i":
            yield samples.astype(np.float32) / np.float32(FULL_SCALE[samples.dtype.name])
        else:
            yield samples.astype(np.float32)

    def _sum_of_lengths_s(self, start: int) -> float | None:
        """The length that is written in the file, that of the links so far; None where it would be an estimate."""
        if self._n_mp3_frames is not None:
            rate_hz = self._stream.codec_context.sample_rate
            return self._n_mp3_frames * (1152 if rate_hz >= 32_000 else 576) / rate_hz
        if not self._container.declares_length:
            return None
        length_s = None
        if self._stream.duration is not None:
            length_s = float(self._stream.duration * self._stream.time_base)
        elif self._open.duration is not None:
            length_s = self._open.duration / self._av.time_base
        if start == 0:
            return length_s
        return None if length_s is None or self._declared_s is None else self._declared_s + length_s

    def _note_end(self) -> None:
        """Say what was not read, now that all else was."""
        missing_s = self._damaged_s
        if self._declared_s is not None:
            missing_s = max(missing_s, self._declared_s - self._n_read / self.sample_rate_hz)
        slack_s = MAX_MISSING_S + (2 * 1152 / self.sample_rate_hz if self._container == MP3 else 0.0)
        self.truncated = missing_s > slack_s or self._lacks_end
        if self._damaged_s:
            self.remark = f"The recording is damaged: {missing_s:.2f} s of it could not be decoded."
        elif missing_s > slack_s:
            self.remark = f"The recording is cut short or damaged: {missing_s:.1f} s that it promises are not there."
        elif self._lacks_end:
            self.remark = "The recording is cut short: the mark at the end of an Ogg is missing."


def _ogg_links(file: BinaryIO) -> tuple[list[int], bool]:
    """The bytes at which the links of a chained Ogg begin, and whether the mark at its end is missing."""
    links, header, was_first, start = [], b"", False, file.seek(0)
    overlap = b""
    while block := file.read(OGG_SEARCH_BYTES):
        searched = overlap + block
        place = searched.find(OGG_PAGE)
        while 0 <= place < len(searched) - OGG_HEADER_BYTES:
            header, is_first = searched[place : place + OGG_HEADER_BYTES], bool(searched[place + 5] & FIRST_PAGE)
            if is_first and not was_first:  # the streams of one link begin together
                links.append(start - len(overlap) + place)
            was_first, last_page = is_first, start - len(overlap) + place
            place = searched.find(OGG_PAGE, place + OGG_HEADER_BYTES)
        start += len(block)
        overlap = searched[-OGG_HEADER_BYTES:]
    if not header:
        return [0], True
    file.seek(last_page + OGG_HEADER_BYTES)
    page_end = last_page + OGG_HEADER_BYTES + header[26] + sum(file.read(header[26]))
    return links or [0], not header[5] & LAST_PAGE or page_end > start


def _mp3_frames(file: BinaryIO) -> int | None:
    """The number of frames that an MP3 declares (in a frame named Xing or Info); None where it declares none."""
    file.seek(0)
    head = file.read(XING_BYTES)
    if head[:3] == b"ID3" and len(head) >= 10:  # a tag, whose size stands in four bytes of seven bits
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        file.seek(10 + size)
        head = file.read(XING_BYTES)
    place = max(head.find(b"Xing"), head.find(b"Info"))
    if place < 0 or len(head) < place + 12 or not head[place + 7] & 1:
        return None
    return int.from_bytes(head[place + 8 : place + 12], "big")


def _refusal(path: Path, container: Container, error: Exception) -> str:
    """The sentence about a file that cannot be opened."""
    if container == MPEG4:
        reason = "its index, which is written when the recording is ended, is missing or damaged"
        return f"{path} is a {container.name} recording that cannot be read: {reason}."
    return f"{path} is {container.name} that cannot be decoded ({one_line(error)})."
