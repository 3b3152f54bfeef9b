"""Walks folders for recordings and says whose recording each one is."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError
from core.files import encodable
from distill.corpus.manifests import PACK_COLUMNS, TEST_PACKS
from distill.corpus.subjects import names_nobody
from distill.corpus.tables import OtherColumnsError, Row, read_table

RECORDING_ENDINGS = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".3gp", ".amr", ".webm"),
    *(".wma", ".aif", ".aiff", ".au", ".caf", ".w64", ".mka", ".wv"),
)
MAX_PACK_DEPTH = 3  # folders between a recording and its pack's manifest.csv, and one for the pack


@dataclass(frozen=True)
class Source:
    """A recording to mine, and whose it is.

    Attributes
    ----------
    path : Path
        Below the folder as the caller named it.
    path_key, key : str
        16 hexadecimal digits: of the real path, and of the path with the file's size and time of change.
    dataset, source_id, subject_id, licence : str
        Those of the pack whose manifest.csv lists the recording. Otherwise `source_id` is the path from its folder's
        name on, and `subject_id` the first folder below that, because a folder often holds one person. A recording that
        lies in no such folder is a subject of its own. All clips of a recording so share one subject.
    """

    path: Path
    path_key: str
    key: str
    dataset: str
    source_id: str
    subject_id: str
    licence: str


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not mined, and the sentence that says why."""

    path_key: str
    source_id: str
    sentence: str


@dataclass
class FoundRecordings:
    """What a walk found, in the order of the folders and, within each, of the names."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find_recordings(folders: Sequence[Path], excluded: Path, dataset: str, licence: str) -> FoundRecordings:
    """Find every recording below `folders` once, by the ending of its name.

    Links are followed, and no folder or file is visited twice, so that a loop of links ends. Recordings of the test
    packs are skipped: nothing may be trained on them.

    Parameters
    ----------
    folders : sequence of Path
    excluded : Path
        A folder that is passed over with all that lies in it: the one to write.
    dataset, licence : str
        For recordings that no pack's manifest.csv lists.

    Raises
    ------
    DataError
        If a folder is not there, or none holds a recording, or a pack's manifest cannot be read.
    """
    for folder in folders:
        if not folder.is_dir():
            reason = " is not a folder" if folder.exists() else ": there is no such folder"
            raise DataError(f"{encodable(str(folder))}{reason}.")
    walk = _Walk(Path(_real(excluded)), dataset, licence)
    for folder in folders:
        walk.visit(folder)
    if not walk.result.sources:
        named, endings = ", ".join(map(str, folders)), ", ".join(RECORDING_ENDINGS)
        skipped = [skipped.sentence for skipped in walk.result.skipped]
        reason = skipped[0] if skipped else f"nothing there ends in {endings}."
        raise DataError(f"no recordings to mine were found in {encodable(named)}: {reason}")
    return walk.result


class _Walk:
    """One walk over all folders: remembers what it has visited and which recordings the packs list."""

    def __init__(self, excluded: Path, dataset: str, licence: str) -> None:
        self.result = FoundRecordings()
        self._excluded, self._dataset, self._licence = excluded, dataset, licence
        self._visited: set[str] = set()  # real paths
        self._listings: dict[Path, dict[str, dict[str, str]]] = {}  # of each folder: manifest records by real path

    def visit(self, top: Path) -> None:
        """Add the recordings below `top`."""
        for path in self._files(top):
            if path.suffix.lower() in RECORDING_ENDINGS:
                self._add(path, top)

    def _files(self, top: Path) -> Iterator[Path]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            real = _real(folder)
            if real in self._visited or Path(real).is_relative_to(self._excluded):
                continue
            self._visited.add(real)
            try:
                entries = sorted(folder.iterdir())
            except OSError as error:
                sentence = encodable(f"{folder} cannot be read: {error.strerror or error}.")
                self.result.skipped.append(Skipped(_digest(real), _source_id(folder, top), sentence))
                continue
            waiting.extend(entry for entry in reversed(entries) if _is_folder(entry))
            yield from (entry for entry in entries if not _is_folder(entry))

    def _add(self, path: Path, top: Path) -> None:
        real = _real(path)
        if real in self._visited or Path(real).is_relative_to(self._excluded):
            return
        self._visited.add(real)
        source_id = _source_id(path, top)
        if pack := TEST_PACKS & set(Path(real).parts):
            sentence = encodable(f"{path} is of the test pack {min(pack)}, on which nothing may be trained.")
            self.result.skipped.append(Skipped(_digest(real), source_id, sentence))
            return
        inside = source_id.split("/")
        record = self._record(Path(real))
        self.result.sources.append(
            Source(
                path=path,
                path_key=_digest(real),
                key=_digest(f"{real}|{_state(path)}"),
                dataset=record.get("dataset", self._dataset),
                source_id=record.get("source_id", source_id),
                subject_id=record.get("subject_id", "/".join(inside[:2])),
                licence=record.get("licence") or self._licence,
            )
        )

    def _record(self, real: Path) -> dict[str, str]:
        """What the manifest.csv of the pack in which a recording really lies says of it; empty where none does."""
        for folder in list(real.parents)[:MAX_PACK_DEPTH]:
            if folder not in self._listings:
                self._listings[folder] = _read_listing(folder)
            if record := self._listings[folder].get(str(real)):
                return record
        return {}


def _read_listing(folder: Path) -> dict[str, dict[str, str]]:
    """Records of a pack's manifest.csv by real path; a manifest.csv of another kind is none of ours."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    try:
        rows = list(read_table(manifest, PACK_COLUMNS))
    except OtherColumnsError as error:
        if {"path", "subject_id"} <= set(error.columns):
            raise
        return {}
    return {_real(folder / row.relative_path("path")): _record_of(row) for row in rows}


def _record_of(row: Row) -> dict[str, str]:
    record = {name: row.text(name) for name in PACK_COLUMNS}
    return record | {"subject_id": "" if names_nobody(record["subject_id"]) else record["subject_id"]}


def _source_id(path: Path, top: Path) -> str:
    """The path from the name of `top` on, with /."""
    return encodable(Path(Path(_real(top)).name or "root", path.relative_to(top)).as_posix())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _state(path: Path) -> str:
    """Size and time of change of a file; of one that cannot be asked, nothing."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}|{status.st_mtime_ns}"


def _real(path: Path) -> str:
    """The path without links; unlike Path.resolve it takes a loop of links as it is."""
    return os.path.realpath(path)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
