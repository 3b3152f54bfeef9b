"""Writes a microphone's blocks into a WAV file that survives a kill at any moment."""

import math
import os
import queue
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app import strings
from app.devices.microphone import Microphone
from core.errors import OutputError

HEADER_BYTES = 44
SAMPLE_BYTES = 2
MAX_DATA_BYTES = 2**32 - 1 - HEADER_BYTES
SYNC_S = 0.5
QUEUE_BLOCKS = 1024
FLOOR_DBFS = -100.0


def wav_header(sample_rate_hz: int, n_samples: int) -> bytes:
    """The 44 bytes before `n_samples` of 16-bit mono PCM."""
    data_bytes = n_samples * SAMPLE_BYTES
    fmt = struct.pack("<HHIIHH", 1, 1, sample_rate_hz, sample_rate_hz * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    return b"RIFF%bWAVEfmt %b%bdata%b" % (
        struct.pack("<I", HEADER_BYTES - 8 + data_bytes),
        struct.pack("<I", len(fmt)),
        fmt,
        struct.pack("<I", data_bytes),
    )


def to_pcm16(block: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16: rounded, then saturated; a sample that is not a number becomes 0."""
    scaled = np.rint(np.nan_to_num(block.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype("<i2")


def dbfs(amplitude: float) -> float:
    """dB relative to full scale (amplitude 1.0), not below `FLOOR_DBFS`."""
    return max(FLOOR_DBFS, 20.0 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DBFS


class WavAppender:
    """A new WAV file whose header never promises more sound than the disk holds.

    Sound is appended first and brought to the disk; only then does one write of 44 bytes raise the sizes in the header.
    A kill between the two leaves a sound file that ends at the last header, at most `SYNC_S` and one block earlier.
    """

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        self.path = path
        self.sample_rate_hz = sample_rate_hz
        self.n_samples = 0
        self._n_samples_in_header = 0
        self._synced_at_s = time.monotonic()
        self._file = path.open("xb", buffering=0)
        self._write_header()
        _sync_folder(path.parent)

    def append(self, samples: np.ndarray) -> None:
        """Append int16 samples; raises `OSError` where the disk refuses."""
        data = memoryview(samples.tobytes())
        if (self.n_samples * SAMPLE_BYTES) + len(data) > MAX_DATA_BYTES:
            raise OSError("the recording has reached the 4 GiB that a WAV file can hold")
        while data:
            data = data[self._file.write(data) :]
        self.n_samples += len(samples)
        self.sync_if_due()

    def sync_if_due(self) -> None:
        """Bring what was appended to the disk and into the header, at most every `SYNC_S`."""
        if self.n_samples > self._n_samples_in_header and time.monotonic() - self._synced_at_s >= SYNC_S:
            self._sync()

    def close(self) -> None:
        """Bring everything to the disk and close the file; a second call does nothing."""
        if self._file.closed:
            return
        try:
            self._sync()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._write_header()
        self._synced_at_s = time.monotonic()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(wav_header(self.sample_rate_hz, self.n_samples))
        self._n_samples_in_header = self.n_samples
        self._file.seek(0, os.SEEK_END)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a flat battery; Windows has no such call."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class RecordingProgress:
    """The state of a recording while it is made.

    `n_gaps` counts the places where sound was lost: the device's overflows and ours. `stalled_for_s` is how long no
    block has come; `error` is a sentence once the disk has refused.
    """

    duration_s: float = 0.0
    rms_dbfs: float = FLOOR_DBFS
    peak_dbfs: float = FLOOR_DBFS
    n_gaps: int = 0
    stalled_for_s: float = 0.0
    error: str | None = None


class Recorder:
    """One recording: the microphone's thread fills a queue, a thread of the recorder empties it onto the disk."""

    def __init__(self, microphone: Microphone, path: Path, queue_blocks: int = QUEUE_BLOCKS) -> None:
        self.path = path
        self._microphone = microphone
        self._blocks: queue.Queue[np.ndarray] = queue.Queue(queue_blocks)
        self._n_dropped_blocks = 0
        self._last_block_at_s = time.monotonic()
        self._level = (FLOOR_DBFS, FLOOR_DBFS)
        self._error: str | None = None
        self._ended = threading.Event()
        self._appender: WavAppender | None = None
        self._writer = threading.Thread(target=self._write, name="recording-writer", daemon=True)

    @property
    def progress(self) -> RecordingProgress:
        """The state of this moment; may be asked from any thread."""
        appender = self._appender
        rms_dbfs, peak_dbfs = self._level
        return RecordingProgress(
            duration_s=appender.n_samples / appender.sample_rate_hz if appender else 0.0,
            rms_dbfs=rms_dbfs,
            peak_dbfs=peak_dbfs,
            n_gaps=self._n_dropped_blocks + self._microphone.n_overflows,
            stalled_for_s=time.monotonic() - self._last_block_at_s,
            error=self._error,
        )

    def start(self) -> None:
        """Start the microphone and the file; raises `MicrophoneError` or `OutputError`, and then leaves neither."""
        sample_rate_hz = self._microphone.start(self._on_block)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._appender = WavAppender(self.path, sample_rate_hz)
        except OSError as error:
            self._microphone.stop()
            raise OutputError(strings.cannot_write(self.path, error)) from error
        self._last_block_at_s = time.monotonic()
        self._writer.start()

    def stop(self) -> RecordingProgress:
        """Stop the microphone, write what is still queued, close the file."""
        self._microphone.stop()
        self._ended.set()
        self._writer.join()
        return self.progress

    def _on_block(self, block: np.ndarray) -> None:
        self._last_block_at_s = time.monotonic()
        try:
            self._blocks.put_nowait(block.copy())
        except queue.Full:
            self._n_dropped_blocks += 1

    def _write(self) -> None:
        assert self._appender is not None
        try:
            while not (self._ended.is_set() and self._blocks.empty()):
                self._write_next(self._appender)
        except OSError as error:
            self._error = strings.cannot_write(self.path, error)
        try:
            self._appender.close()
        except OSError as error:
            self._error = self._error or strings.cannot_write(self.path, error)

    def _write_next(self, appender: WavAppender) -> None:
        try:
            block = self._blocks.get(timeout=SYNC_S / 5)
        except queue.Empty:
            appender.sync_if_due()
            return
        appender.append(to_pcm16(block))
        if len(block):
            finite = np.clip(np.nan_to_num(block), -1.0, 1.0)
            self._level = (dbfs(float(np.sqrt(np.mean(np.square(finite))))), dbfs(float(np.abs(finite).max())))
