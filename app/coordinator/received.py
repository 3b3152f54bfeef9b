"""Keeps what phones handed over in a folder, each record once, and erases what participants withdrew."""

import contextlib
import hashlib
import json
import struct
import time
import wave
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from app.coordinator.contents import ContentError, Withdrawal, contents_of
from app.coordinator.handover_file import SEALED_ENDING, AlteredRecordError, Entry, HandOverFile
from app.data_folder import FolderInUseError, FolderLock
from app.handover import HandOverError
from app.sealed_audio import ALTERED, COMPLETE, UNFINISHED, SealedAudioError, SealedAudioReader
from app.study import Study
from core.errors import OutputError
from core.files import make_folder, replacing, write_atomically
from core.json_fields import parse_object

STATE_FILE, SOUND_FOLDER, SCHEMA = "received.json", "recordings", "tussis.received/1"
MAX_STATE_BYTES = 2**31
FACTS_ENDING = ".json"
FILE_ENDINGS = (".wav", f"-{UNFINISHED}.wav", f"-{ALTERED}.wav", FACTS_ENDING)
OWNER_ONLY = 0o700


@dataclass(frozen=True)
class Sound:
    """The WAV file of a record, or that its sound does not open (then ``file`` is "")."""

    state: str
    file: str = ""
    duration_s: float = 0.0
    sample_rate_hz: int = 0
    n_bytes: int = 0
    sha1: str = ""
    sha256: str = ""
    gaps: tuple[tuple[float, float], ...] = ()
    sealed_sha256: str = ""


@dataclass(frozen=True)
class KeptRecord:
    """A record as it was received last; ``order`` says how far the phone had come by then: sequence, then clock."""

    id: str
    kind: str
    sequence: int
    content: dict[str, Any]
    row_sha256: str
    order: tuple[int, float]
    handover_id: str
    study_version: int
    sound: Sound | None = None


@dataclass
class Summary:
    """What one hand-over brought."""

    new: int = 0
    changed: int = 0
    known: int = 0
    withdrawn_before: int = 0
    sounds: list[str] = field(default_factory=list)
    withdrawals: list[tuple[Withdrawal, list[str]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_repeated(self) -> bool:
        """Whether every record had been received before, as it is."""
        return not (self.new or self.changed or self.withdrawals)


class Received:
    """The folder of received records, for one command at a time.

    Parameters
    ----------
    folder : Path
        Made where it is not there, for its owner only.
    study : Study

    Raises
    ------
    OutputError
        If it cannot be written, holds another study's records or something else.
    FolderInUseError
        If another command receives into it.
    """

    def __init__(self, folder: Path, study: Study):
        self.folder, self.study = folder, study
        is_new = not folder.exists()
        make_folder(folder / SOUND_FOLDER)
        if is_new:
            folder.chmod(OWNER_ONLY)
        try:
            self._lock = FolderLock(folder)
        except FolderInUseError as reason:
            raise FolderInUseError(f"another command receives into {folder} already.") from reason
        self.records: dict[str, KeptRecord] = {}
        self.withdrawn: dict[str, dict[str, Any]] = {}
        self.handovers: dict[str, dict[str, Any]] = {}
        try:
            for left in (folder / SOUND_FOLDER).glob(f"*{SEALED_ENDING}"):  # by a kill
                left.unlink()
            self._load()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Let another command use the folder."""
        self._lock.release()

    def take(self, file: HandOverFile) -> Summary:
        """Take over a hand-over's records; what was taken is on the disk when this returns.

        Raises
        ------
        HandOverError
            If it belongs to another study, or was altered; then nothing was taken.
        OutputError
            If the disk takes nothing; the same command again goes on.
        """
        self._check_study(file)
        file.check()
        summary, opened = Summary(), {}
        for entry in file.entries:
            with self._noting(summary):
                opened[entry] = file.content(entry)
        for entry, content in opened.items():
            with self._noting(summary):
                self._withdraw(entry, content, summary)
        for entry, content in opened.items():
            self._take_record(file, entry, content, summary)
        facts = {"written_s": file.written_s, "n_records": len(file.entries), "study_version": file.study_version}
        self.handovers.setdefault(file.id, {"received_s": time.time(), **facts})
        self._save()
        return summary

    def path(self, sound: Sound) -> Path:
        """Where a record's WAV file lies."""
        return self.folder / sound.file

    def _check_study(self, file: HandOverFile) -> None:
        if file.study_id != self.study.id:
            raise HandOverError(f"{file.path} is of the study {file.study_id}; expected {self.study.id}.")
        if file.is_practice != self.study.is_practice:
            kinds = ["a study in earnest", "practice"]
            raise HandOverError(
                f"{file.path} is of {kinds[file.is_practice]}; {self.study.id} is {kinds[self.study.is_practice]}."
            )

    def _withdraw(self, entry: Entry, content: Any, summary: Summary) -> None:
        """Erase what a withdrawal names, and remember it: an older hand-over must not bring it back."""
        said = contents_of(entry.kind, content, entry.id)
        if not isinstance(said, Withdrawal):
            return
        here = sorted(said.record_ids & self.records.keys())
        if entry.id not in self.records:
            summary.withdrawals.append((said, here))
        for record_id in said.record_ids:
            was_here = self.records.pop(record_id, None) is not None
            for ending in FILE_ENDINGS:
                (self.folder / SOUND_FOLDER / f"{record_id}{ending}").unlink(missing_ok=True)
            facts = {"participant_id": said.participant_id, "erased_s": time.time() if was_here else None}
            self.withdrawn.setdefault(record_id, facts)

    def _take_record(self, file: HandOverFile, entry: Entry, content: Any, summary: Summary) -> None:
        if entry.id in self.withdrawn:
            summary.withdrawn_before += 1
            return
        present = self.records.get(entry.id)
        if present and (present.row_sha256 == entry.row.sha256 or present.order > file.order):
            summary.known += 1
        else:
            summary.changed += present is not None
            summary.new += present is None
            self.records[entry.id] = KeptRecord(
                id=entry.id,
                kind=entry.kind,
                sequence=entry.sequence,
                content=content,
                row_sha256=entry.row.sha256,
                order=file.order,
                handover_id=file.id,
                study_version=file.study_version,
                sound=present.sound if present else None,
            )
        if entry.audio:
            self._take_sound(file, entry, summary)

    def _take_sound(self, file: HandOverFile, entry: Entry, summary: Summary) -> None:
        """Write the WAV file of a record, unless a longer or the same one is there."""
        record = self.records[entry.id]
        if record.sound and (self._is_there(record.sound, entry) or record.order > file.order):
            return
        with self._noting(summary):
            try:
                with file.audio(entry, self.folder / SOUND_FOLDER) as reader:
                    sound = self._write_wav(reader, entry)
            except SealedAudioError:
                sound = Sound(ALTERED, sealed_sha256=entry.audio.sha256)
            if record.sound and record.sound.file not in ("", sound.file):
                self.path(record.sound).unlink(missing_ok=True)
            self.records[entry.id] = replace(record, sound=sound)
            summary.sounds.append(sound.state)

    def _is_there(self, sound: Sound, entry: Entry) -> bool:
        is_file = not sound.file or self.path(sound).is_file()
        return sound.sealed_sha256 == entry.audio.sha256 and is_file

    def _write_wav(self, reader: SealedAudioReader, entry: Entry) -> Sound:
        """A WAV file of the samples up to the first bad block; its name says where it is not complete."""
        path = self.folder / SOUND_FOLDER / f"{entry.id}.wav"
        with replacing(path) as file:
            with contextlib.closing(wave.open(file, "wb")) as sound:
                sound.setparams((1, 2, reader.sample_rate_hz, 0, "NONE", ""))
                for block in reader.blocks():
                    sound.writeframesraw(block.astype("<i2").tobytes())
            file.flush()
            digests = []
            for algorithm in ("sha1", "sha256"):  # FHIR's attachments have SHA-1
                file.seek(0)
                digests.append(hashlib.file_digest(file, algorithm).hexdigest())
            n_bytes = file.tell()
        name = f"{entry.id}.wav" if reader.state == COMPLETE else f"{entry.id}-{reader.state}.wav"
        path = path.rename(path.with_name(name))
        return Sound(
            state=reader.state,
            file=path.relative_to(self.folder).as_posix(),
            duration_s=reader.duration_s,
            sample_rate_hz=reader.sample_rate_hz,
            n_bytes=n_bytes,
            sha1=digests[0],
            sha256=digests[1],
            gaps=reader.gaps,
            sealed_sha256=entry.audio.sha256,
        )

    @contextlib.contextmanager
    def _noting(self, summary: Summary) -> Iterator[None]:
        """Go on past a record that the phone spoilt, and name it in the summary."""
        try:
            yield
        except (AlteredRecordError, ContentError) as reason:
            summary.problems.append(str(reason))
        except struct.error:
            summary.problems.append("a sound is longer than a WAV file can be; it is left out.")
        except OSError as reason:
            raise OutputError(f"{self.folder} cannot be written: {reason.strerror or reason}.") from reason

    def _load(self) -> None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return
        try:
            with path.open("rb") as file:
                fields = parse_object(file.read(MAX_STATE_BYTES), str(path), OutputError)
            fields.one_of("schema", (SCHEMA,))
            if (study_id := fields.text("study_id")) != self.study.id:
                raise OutputError(f"{self.folder} holds records of the study {study_id}; expected {self.study.id}.")
            self.records = {record.id: record for record in map(_record, fields.values["records"])}
            self.withdrawn, self.handovers = fields.values["withdrawn"], fields.values["handovers"]
        except OSError as reason:
            raise OutputError(f"{path} cannot be read: {reason.strerror or reason}.") from reason
        except (LookupError, TypeError, ValueError) as reason:
            raise OutputError(f"{path} was not written by this command; it is left as it is.") from reason

    def _save(self) -> None:
        state = {
            "schema": SCHEMA,
            "study_id": self.study.id,
            "handovers": self.handovers,
            "withdrawn": self.withdrawn,
            "records": [asdict(record) for record in in_order(self.records.values())],
        }
        write_atomically(self.folder / STATE_FILE, json.dumps(state, indent=1))


def in_order(records: Iterable[KeptRecord]) -> list[KeptRecord]:
    """Records by the hand-over's phone and its order: by sequence, then by id."""
    return sorted(records, key=lambda record: (record.sequence, record.id))


def _record(values: dict[str, Any]) -> KeptRecord:
    sound = values.pop("sound")
    gaps = tuple((at_s, lost_s) for at_s, lost_s in sound.pop("gaps")) if sound else ()
    values["order"] = tuple(values["order"])
    return KeptRecord(**values, sound=Sound(**sound, gaps=gaps) if sound else None)
