"""Reads people's recordings with label tracks: Audacity's text, Praat's TextGrid or a table of start, end and label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.audio import open_recording
from core.errors import DataError, TussisError
from distill.corpus.cohorts.rows import SOUND_ENDINGS
from distill.corpus.cohorts.text_grid import LabelledInterval, read_text_grid
from distill.corpus.labels import OTHER_SPELLINGS, words_of
from distill.corpus.tables import listed, parsed_number, read_table
from distill.evaluation.event_scoring import Span

LATE_S = 1.0  # that a label may end after its recording: programs round, and codecs cut


@dataclass(frozen=True)
class LabelledRecording:
    """A recording below a folder; ``name`` is its path there, ``coughs`` (start_s, end_s) in order of time."""

    path: Path
    name: str
    coughs: tuple[Span, ...]


def find_labelled(folder: Path, label: str = "cough") -> tuple[list[LabelledRecording], list[str]]:
    """Every recording below a folder that has a label track of its name beside it, and a sentence for each bad file.

    A track without `label` says that none is heard in its recording.

    Raises
    ------
    DataError
        If there is no such folder, no recording, or no label of this name in any track.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    sounds = _by_place([path for path in paths if path.suffix.lower() in SOUND_ENDINGS])
    tracks = _by_place([path for path in paths if path.suffix.lower() in READERS])
    if not sounds:
        raise DataError(f"{folder} has no recording: WAV, FLAC, Ogg, Opus, WebM, MP3 or M4A")
    lost = sorted(track for place in tracks.keys() - sounds.keys() for track in tracks[place])
    found, problems, heard = [], [f"{track} has no recording of its name beside it" for track in lost], set()
    for place, (sound, *alike) in sounds.items():
        try:
            intervals = read_track(_track_of(sound, 1 + len(alike), tracks.get(place, ())), sound)
        except TussisError as error:
            problems.append(str(error))
            continue
        heard |= {interval.label.strip() for interval in intervals}
        spans = [(interval.start_s, interval.end_s) for interval in intervals if _is(interval.label, label)]
        found.append(LabelledRecording(sound, str(sound.relative_to(folder)), tuple(sorted(spans))))
    if (others := heard - {""}) and not any(recording.coughs for recording in found):
        raise DataError(f"no label track in {folder} has the label {label!r}; the labels are {listed(others)}")
    return found, problems


def read_track(path: Path, sound: Path) -> list[LabelledInterval]:
    """The labels of a track, in order of their beginning.

    Raises
    ------
    DataError
        If it cannot be read, or a label ends before it begins, or after its recording; with the line where it has one.
    AudioError
        If the recording cannot be read.
    """
    intervals = READERS[path.suffix.lower()](path)
    with open_recording(sound) as reader:
        duration_s = reader.duration_s
    for interval in intervals:
        if duration_s and interval.end_s > duration_s + LATE_S:
            raise DataError(
                f"{path} has a label that ends at {interval.end_s:g} s; {sound.name} ends at {duration_s:.2f} s"
            )
    return intervals


def read_audacity(path: Path) -> list[LabelledInterval]:
    """Audacity's label track: start, end and label between tabs; lines that begin with ``\\`` hold frequencies."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a label track: {error}") from error
    intervals = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("\\"):
            start, *others = line.split("\t")
            end, label = (others[0], "\t".join(others[1:]).strip()) if others else ("", "")
            times = [parsed_number(text.replace(",", ".")) for text in (start, end)]
            intervals.append(_interval(f"{path}, line {number}", *times, label))
    return sorted(intervals, key=lambda interval: interval.start_s)


def read_table_of_labels(path: Path) -> list[LabelledInterval]:
    """A table with the columns start, end and label; times in seconds."""
    rows = read_table(path, ("start", "end", "label"))
    intervals = [_interval(row.place, row.number("start"), row.number("end"), row.text("label")) for row in rows]
    return sorted(intervals, key=lambda interval: interval.start_s)


READERS = {".txt": read_audacity, ".textgrid": read_text_grid, ".csv": read_table_of_labels}


def _interval(place: str, start_s: float, end_s: float, label: str) -> LabelledInterval:
    if not (math.isfinite(start_s) and math.isfinite(end_s)):
        raise DataError(f"{place} does not begin with two times in seconds")
    if not 0 <= start_s <= end_s:
        raise DataError(f"{place} has a label from {start_s:g} to {end_s:g} s, which is no stretch of a recording")
    return LabelledInterval(start_s, end_s, label)


def _is(label: str, wanted: str) -> bool:
    """Whether a label names the wanted one, inflected or beside others: ``Coughing; talking`` is a cough."""
    return wanted.casefold() in {OTHER_SPELLINGS.get(word, word) for word in words_of(label)}


def _track_of(sound: Path, n_alike: int, beside: Sequence[Path]) -> Path:
    """The one track that has the sound's name and folder."""
    if n_alike > 1:
        raise DataError(f"{sound} has the name of another recording beside it; their labels cannot be told apart")
    if len(beside) != 1:
        what = "no label track" if not beside else "several label tracks"
        raise DataError(
            f"{sound} has {what} beside it ({sound.stem}.txt, .TextGrid or .csv); "
            "an empty one says that nothing is heard in it"
        )
    return beside[0]


def _by_place(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Files by their path without the ending."""
    found: dict[Path, list[Path]] = {}
    for path in paths:
        found.setdefault(path.with_suffix(""), []).append(path)
    return found
