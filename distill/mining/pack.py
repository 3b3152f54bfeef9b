"""Writes a mined pack: clips without near-duplicates, journal, manifest and list of skipped files."""

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from core.errors import DataError, OutputError
from core.files import write_atomically
from core.interpreter import EMBEDDING_SIZE
from distill.corpus.tables import table_text
from distill.mining.recordings import Skipped, Source
from distill.settings import first_difference

JOURNAL_FORMAT = "tussis.mining/1"
JOURNAL_FILE, MANIFEST_FILE, SKIPPED_FILE, AUDIO_FOLDER = "journal.jsonl", "manifest.csv", "skipped.csv", "audio"
SCRATCH_PREFIX = ".mining-"
MIN_KEPT = 2  # clips before a centre of embeddings is worth comparing with
_CLIP_NAME = re.compile(r"[0-9a-f]{16}_\d{9,}ms\.flac")
_UNFINISHED_NAME = re.compile(r"\.tussis-[0-9a-f]{16}\.part")
SKIPPED_COLUMNS = ("source_id", "reason")
_COLUMNS = ("path", "dataset", "source_id", "subject_id", "start_s", "duration_s", "licence")


@dataclass(frozen=True, eq=False)
class MinedClip:
    """A clip that was heard to hold a health sound, in a FLAC file of its own that may still turn out a duplicate.

    ``scores`` has one probability per event label; ``embedding`` is (512,), float16.
    """

    file: Path
    start_s: float
    duration_s: float
    scores: tuple[float, ...]
    samples_sha256: str
    embedding: np.ndarray


@dataclass(frozen=True)
class MinedRecording:
    """What was heard in one recording; ``sha256`` is that of its file."""

    sha256: str
    duration_s: float
    clips: tuple[MinedClip, ...]


class NearDuplicates:
    """Compares each clip with those kept before it, in constant memory but for 100 bytes per kept clip.

    A clip is a duplicate if its samples are those of any kept clip. It is one also if its embedding is close to that of
    one of the newest `n_compared` kept clips: a cosine above `cosine`, both less the mean embedding of all kept clips.
    Without that centring the cosines of unlike sounds crowd near 1. What was kept first stays.

    Parameters
    ----------
    cosine : float in (0, 1)
    n_compared : int
        2 KiB each, and about 1 us of time for each clip that is asked about.
    """

    def __init__(self, cosine: float, n_compared: int) -> None:
        self._cosine = cosine
        self._newest = np.zeros((n_compared, EMBEDDING_SIZE), np.float32)
        self._sum = np.zeros(EMBEDDING_SIZE)
        self._n_kept = 0
        self._digests: set[str] = set()

    def has(self, samples_sha256: str, embedding: np.ndarray) -> bool:
        """Whether a clip with these samples and this embedding, shape (512,), is a duplicate of a kept one."""
        if samples_sha256[:16] in self._digests:
            return True
        if self._n_kept < MIN_KEPT:
            return False
        centre = (self._sum / self._n_kept).astype(np.float32)
        kept = self._newest[: self._n_kept] - centre
        own = embedding.astype(np.float32) - centre
        lengths = np.sqrt(np.einsum("ij,ij->i", kept, kept)) * np.linalg.norm(own)
        return bool(np.any(kept @ own > self._cosine * lengths))

    def keep(self, samples_sha256: str, embedding: np.ndarray) -> None:
        """Remember a clip that was kept."""
        self._digests.add(samples_sha256[:16])
        self._newest[self._n_kept % len(self._newest)] = embedding
        self._sum += embedding
        self._n_kept += 1


class MinedPack:
    """A pack that grows by one recording at a time; a context manager, which leaves a whole pack behind it.

    A recording is committed by one line of the journal, after its clips have been renamed into ``audio``. So after a
    kill at any moment the journal says what is done, and what it does not name is removed and mined again.

    Parameters
    ----------
    folder : Path
        A new or empty folder, or a pack that was begun with the same `header`.
    header : dict
        What the choice of clips depends on, as JSON: name, event_labels, model_sha256, near_duplicate_cosine, ...

    Raises
    ------
    OutputError
        If the folder holds something else, cannot be written, or is being written by another process.
    DataError
        If the journal is damaged or was begun with another header.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self.folder = folder
        self.n_clips = self.n_done = self.n_duplicates = 0
        self.heard_s = self.kept_s = 0.0
        self._header = json.loads(json.dumps({"format": JOURNAL_FORMAT, **header}))
        self._duplicates = NearDuplicates(header["near_duplicate_cosine"], header["n_compared"])
        self._done: set[str] = set()
        self._skipped: dict[str, Skipped] = {}
        check_pack_folder(folder)
        try:
            self._journal = self._open_journal()
            with _closed_on_error(self._journal):
                self._lock()
                self._resume()
                self.scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=folder))
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error

    def __enter__(self) -> "MinedPack":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        try:
            write_atomically(self.folder / MANIFEST_FILE, self._manifest())
            write_atomically(self.folder / SKIPPED_FILE, self._skipped_list())
        finally:
            self._journal.close()

    def has(self, source: Source) -> bool:
        """Whether this recording, in its present state, is already in the journal."""
        return source.key in self._done

    def commit(self, source: Source, mined: MinedRecording) -> int:
        """Take what was mined from a recording, without duplicates; returns how many clips were kept."""
        kept = []
        for clip in mined.clips:
            if not self._duplicates.has(clip.samples_sha256, clip.embedding):
                self._duplicates.keep(clip.samples_sha256, clip.embedding)
                kept.append(self._keep(source, clip))
        shutil.rmtree(self.scratch / source.key, ignore_errors=True)  # the duplicates
        whose = {name: getattr(source, name) for name in ("path_key", "key", "dataset", "source_id", "subject_id")}
        heard = {"licence": source.licence, "sha256": mined.sha256, "duration_s": mined.duration_s}
        self._append({**whose, **heard, "n_duplicates": len(mined.clips) - len(kept), "clips": kept})
        return len(kept)

    def skip(self, skipped: Skipped) -> None:
        """List a recording as skipped; it is tried again when the pack is resumed."""
        if self._skipped.get(skipped.path_key) != skipped:
            self._append({"skipped": vars(skipped)})

    @property
    def n_skipped(self) -> int:
        """Recordings that are listed as skipped."""
        return len(self._skipped)

    def _keep(self, source: Source, clip: MinedClip) -> dict[str, Any]:
        """Move a clip into the pack and describe it for the journal."""
        path = f"{AUDIO_FOLDER}/{source.key}_{round(clip.start_s * 1000):09d}ms.flac"
        try:
            clip.file.replace(self.folder / path)
        except OSError as error:
            raise OutputError(f"{self.folder / path} cannot be written: {error.strerror or error}.") from error
        return {
            "path": path,
            "start_s": round(clip.start_s, 4),
            "duration_s": round(clip.duration_s, 4),
            "scores": [round(score, 4) for score in clip.scores],
            "samples_sha256": clip.samples_sha256,
            "embedding": base64.b64encode(clip.embedding.astype("<f2").tobytes()).decode(),
        }

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self._journal.write(json.dumps(entry).encode() + b"\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise OutputError(f"{self.folder / JOURNAL_FILE} cannot be written: {error.strerror or error}.") from error
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        """Count a journal entry in; KeyError or TypeError where it is not one."""
        if skipped := entry.get("skipped"):
            self._skipped[skipped["path_key"]] = Skipped(**skipped)
            return
        self._skipped.pop(entry["path_key"], None)
        self._done.add(entry["key"])
        self.n_done += 1
        self.n_clips += len(entry["clips"])
        self.n_duplicates += entry["n_duplicates"]
        self.heard_s += entry["duration_s"]
        self.kept_s += sum(clip["duration_s"] for clip in entry["clips"])

    def _open_journal(self) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / JOURNAL_FILE
        if not journal.exists():
            write_atomically(journal, json.dumps(self._header) + "\n")
        (self.folder / AUDIO_FOLDER).mkdir(exist_ok=True)
        return journal.open("r+b")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"{self.folder} is being written by another tussis-mine; wait for it to end.") from error

    def _resume(self) -> None:
        """Read the journal, cut off a line that a kill left unfinished, and remove what it does not name."""
        named: set[str] = set()
        for number, entry in self._entries():
            try:
                for clip in entry.get("clips", ()):
                    embedding = np.frombuffer(base64.b64decode(clip["embedding"]), "<f2", EMBEDDING_SIZE)
                    self._duplicates.keep(clip["samples_sha256"], embedding)
                    named.add(Path(clip["path"]).name)
                self._take(entry)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise self._damaged(number) from error
        for path in (self.folder / AUDIO_FOLDER).iterdir():
            if _UNFINISHED_NAME.fullmatch(path.name) or (_CLIP_NAME.fullmatch(path.name) and path.name not in named):
                path.unlink()
        for path in self.folder.iterdir():
            if path.name.startswith(SCRATCH_PREFIX):
                shutil.rmtree(path, ignore_errors=True)
            elif _UNFINISHED_NAME.fullmatch(path.name):
                path.unlink()

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the journal's entries with their line numbers; leaves the file at its end, ready to append."""
        self._journal.seek(0)
        end = 0
        for number, line in enumerate(self._journal, 1):
            if not line.endswith(b"\n"):
                break
            end += len(line)
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._damaged(number) from error
            if number > 1:
                yield number, entry
            else:
                self._check_header(entry)
        self._journal.truncate(end)
        self._journal.seek(end)

    def _damaged(self, line: int) -> DataError:
        return DataError(f"{self.folder / JOURNAL_FILE}, line {line}, is damaged; mine into a new folder.")

    def _check_header(self, header: dict[str, Any]) -> None:
        if difference := first_difference(self._header, header):
            key, ours, theirs = difference
            remedy = "go on with the same settings, or mine into another folder"
            raise DataError(f"{self.folder} was begun with {key} {theirs!r}, and now it is {ours!r}; {remedy}.")

    def _manifest(self) -> str:
        """The clips as distill.corpus.manifests reads them; one whose file was deleted by hand is left out."""
        labels = self._header["event_labels"]
        columns = (*_COLUMNS, "source_sha256", "samples_sha256", *(f"score_{label}" for label in labels))
        records = (
            {
                **entry,
                "source_sha256": entry["sha256"],
                **clip,
                **{f"score_{label}": score for label, score in zip(labels, clip["scores"], strict=True)},
            }
            for _, entry in self._entries()
            for clip in entry.get("clips", ())
            if (self.folder / clip["path"]).exists()
        )
        return table_text(columns, records)

    def _skipped_list(self) -> str:
        rows = sorted((skipped.source_id, skipped.sentence) for skipped in self._skipped.values())
        return table_text(SKIPPED_COLUMNS, (dict(zip(SKIPPED_COLUMNS, row, strict=True)) for row in rows))


@contextlib.contextmanager
def _closed_on_error(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise


def check_pack_folder(folder: Path) -> None:
    """Raise OutputError where `folder` holds something other than a pack of ours, or is no folder."""
    expected = "expected a new or empty folder, or one that tussis-mine began"
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a folder; {expected}.")
    try:
        others = [path.name for path in folder.iterdir() if not _UNFINISHED_NAME.fullmatch(path.name)]
        if others and not _is_our_journal(folder / JOURNAL_FILE):
            raise OutputError(f"{folder} holds something else ({min(others)}); {expected}.")
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror or error}.") from error


def _is_our_journal(path: Path) -> bool:
    try:
        with path.open("rb") as journal:
            header = json.loads(journal.readline(1_000_000))
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("format") == JOURNAL_FORMAT
