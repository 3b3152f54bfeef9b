"""Takes the sound of a record while it is made, and tells afterwards how much was kept and whether it is whole."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.records import Record, Records
from app.sealed_audio import ALTERED, UNFINISHED, SealedAudioError, SealedAudioWriter


@dataclass(frozen=True)
class KeptSound:
    """How much sound a record has; ``state`` is "complete", "unfinished" or "altered", ``n_bytes`` is of the file."""

    duration_s: float = 0.0
    gaps: tuple[tuple[float, float], ...] = ()
    state: str = UNFINISHED
    n_bytes: int = 0

    def content(self) -> dict[str, Any]:
        """The same as a record holds it."""
        return {"sound": self.state, "sound_s": self.duration_s, "gaps": self.gaps, "sound_bytes": self.n_bytes}


class OpenSound:
    """A record whose sound is being made; all calls but `n_samples` and `duration_s` come from one thread.

    Attributes
    ----------
    record_id : str
    """

    def __init__(
        self, record_id: str, writer: SealedAudioWriter | None, when_closed: Callable[[KeptSound | None], None]
    ) -> None:
        self.record_id = record_id
        self._writer, self._when_closed = writer, when_closed
        self._is_closed = False

    @property
    def n_samples(self) -> int:
        """Samples that were given so far."""
        return self._writer.n_samples if self._writer else 0

    @property
    def duration_s(self) -> float:
        """Seconds of sound that were given so far."""
        return self._writer.duration_s if self._writer else 0.0

    def append(self, samples: np.ndarray) -> None:
        """Keep int16 samples, shape (n_samples,); raises as `SealedAudioWriter.append` does."""
        self._sound().append(samples)

    def mark_gap(self, lost_s: float) -> None:
        """Note that sound was lost here; raises as `append` does."""
        self._sound().mark_gap(lost_s)

    def sync_if_due(self) -> None:
        """Bring to the disk what waits for long; raises as `append` does."""
        self._sound().sync_if_due()

    def close(self) -> None:
        """End the sound, and keep in the record how long it is. May be called twice.

        Raises
        ------
        SealedAudioError, RecordsError
            If the disk takes nothing; what was written before stays, and is found at the next start.
        """
        if self._is_closed:
            return
        self._is_closed, kept = True, None
        try:
            if self._writer is not None:
                self._writer.close()
                kept = sound_of(self._writer)
        finally:
            self._when_closed(kept)

    def _sound(self) -> SealedAudioWriter:
        if self._writer is None:
            raise SealedAudioError("This monitoring keeps no sound.")
        return self._writer


def sound_of(writer: SealedAudioWriter) -> KeptSound | None:
    """What a closed writer kept; None where no sample came, so that it left no file."""
    if not writer.n_samples:
        return None
    return KeptSound(writer.duration_s, writer.gaps, writer.state, writer.path.stat().st_size)


def kept_sound(records: Records, record: Record) -> KeptSound:
    """What the record tells of its sound, checked by the file's length; where a kill ended it, the file is read."""
    path, content = records.audio_path(record.id), record.content
    if "sound" not in content:
        return _read_sound(records, record)
    n_bytes = 0
    with contextlib.suppress(OSError):
        n_bytes = path.stat().st_size
    state = content["sound"] if n_bytes == content["sound_bytes"] else ALTERED
    gaps = tuple((at_s, lost_s) for at_s, lost_s in content["gaps"])
    return KeptSound(content["sound_s"], gaps, state, n_bytes)


def _read_sound(records: Records, record: Record) -> KeptSound:
    path = records.audio_path(record.id)
    try:
        n_bytes = path.stat().st_size
    except OSError:
        return KeptSound()
    try:
        reader = records.audio_reader(record.id)
        state = reader.check()
    except SealedAudioError:
        return KeptSound(state=ALTERED, n_bytes=n_bytes)
    return KeptSound(reader.duration_s, reader.gaps, state, n_bytes)
