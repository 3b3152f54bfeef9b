"""Says what a recording of a cohort is: its file, its person, its labels and what else is known."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError
from distill.corpus.subjects import SEXES, names_nobody
from distill.corpus.tables import FALSE_WORDS, TRUE_WORDS, Row

SOUND_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".opus", ".webm", ".mp3", ".m4a"})
_SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".ods"})
_POSITIVE = TRUE_WORDS | {"positive", "pos", "tb", "tb positive", "detected"}
_NEGATIVE = FALSE_WORDS - {""} | {"negative", "neg", "no tb", "tb negative", "not detected"}


@dataclass(frozen=True)
class CohortRow:
    """One recording. ``labels`` are 0 or 1, or a measured value; ``covariates`` are text; ``place`` names its line."""

    path: Path
    subject_id: str
    labels: Mapping[str, float]
    covariates: Mapping[str, str] = field(default_factory=dict)
    place: str = ""


def yes_or_no(row: Row, column: str) -> float | None:
    """1 or 0, None where the cell is empty or says that nobody knows.

    Raises
    ------
    DataError
        If it says anything else.
    """
    word = row.get(column, "").casefold().replace("_", " ").strip()
    if names_nobody(word) or word in ("indeterminate", "not sure", "other"):
        return None
    if word not in _POSITIVE | _NEGATIVE:
        raise row.refused(column, "yes or no (1 or 0, positive or negative)")
    return float(word in _POSITIVE)


def sex_of(word: str) -> float | None:
    """1 for male, 0 for female, None for anything else."""
    sex = SEXES.get(word.strip().casefold())
    return None if sex is None else float(sex == "male")


def known(**labels: float | None) -> dict[str, float]:
    """The labels that have a value."""
    return {name: value for name, value in labels.items() if value is not None}


def find_file(folder: Path, *patterns: str) -> Path:
    """The first file below `folder` whose name is like one of the patterns.

    Raises
    ------
    DataError
        If there is none.
    """
    for pattern in patterns:
        if found := sorted(path for path in folder.rglob(pattern) if path.is_file()):
            return found[0]
    raise not_found(folder, f"no file {' or '.join(patterns)}")


def not_found(folder: Path, what: str) -> DataError:
    """The error for a folder that lacks something, such as a table that a spreadsheet's program still holds."""
    if spreadsheets := sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SPREADSHEETS):
        return DataError(f"{folder} has {what}, but the spreadsheet {spreadsheets[0].name}: save it as CSV")
    return DataError(f"{folder} has {what}; is this the data set's folder?")


def sounds_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The sound files below `folder` by their names without ending, in capitals or not."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SOUND_ENDINGS and path.is_file():
            found[path.stem.casefold()].append(path)
    return found


def sound_named(sounds: Mapping[str, list[Path]], name: str, folder: Path) -> Path:
    """The sound file of this name, with any ending; a path that does not exist where there is none."""
    stem = name.casefold()
    for ending in SOUND_ENDINGS:
        stem = stem.removesuffix(ending)
    return sounds.get(stem, [folder / name])[0]


def by_person(rows: Iterable[Row], column: str) -> dict[str, Row]:
    """Rows by the person that a column names, those of nobody left out.

    Raises
    ------
    DataError
        If one person has two rows that differ.
    """
    people: dict[str, Row] = {}
    for row in rows:
        person = row.text(column)
        first = people.setdefault(person, row)
        if first is not row and dict(first) != dict(row):
            raise DataError(f"{row.place}, column {column} names {person!r} again, otherwise than {first.place}")
    return people
