"""Reads the cohorts of coughs with a tuberculosis diagnosis: CODA TB DREAM and CIDRZ."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from core.errors import DataError
from distill.corpus.cohorts.rows import (
    CohortRow,
    by_person,
    find_file,
    known,
    not_found,
    sex_of,
    sound_named,
    sounds_by_stem,
    yes_or_no,
)
from distill.corpus.tables import OtherColumnsError, Row, read_table

# What CODA TB DREAM calls a covariate, and what it is called here.
CODA_NAMES = {"age": "age_years", "height": "height_cm", "weight": "weight_kg", "country": "site", "hivstatus": "hiv"}
CIDRZ_IDS = ("barcode", "participant_id", "subject_id", "patient_id", "study_id", "record_id")
# The reference standard, and what a program said of the chest X-ray, which stands for it where a table has no other.
CIDRZ_TRUTHS = ("ground_truth_tb", "tb_decision")
CIDRZ_NAMES = {"age": "age_years", "hiv_status": "hiv"}
_CIDRZ_FOLDER = re.compile(
    r"audio[ _-]*recorder[ _-]+(?P<recorded>.+)|(?P<site>.+?)[ _-]+phone[ _-]*(?P<phone>\w+)", re.IGNORECASE
)
_CIDRZ_ANSWERS = re.compile(r"ground_truth_tb|tb_decision.*|tb_prediction.*|abn_.*", re.IGNORECASE)


def read_coda(folder: Path) -> Iterator[CohortRow]:
    """Solicited coughs of CODA TB DREAM: the clinical table, the table of files and, where there, further variables.

    Labels: ``tb`` (``tb_status``) and ``sex_male``; the clinical columns are covariates.
    """
    clinical = by_person(
        read_table(find_file(folder, "CODA_TB_Clinical_Meta_Info*.csv"), ("participant", "tb_status"), others=True),
        "participant",
    )
    additional = {
        person: row
        for path in sorted(folder.rglob("CODA_TB_additional_variables*.csv"))
        for person, row in by_person(read_table(path, ("participant",), others=True), "participant").items()
    }
    files = find_file(folder, "CODA_TB_Solicited_Meta_Info*.csv")
    sounds = sounds_by_stem(folder)
    for row in read_table(files, ("participant", "filename"), ("sound_prediction_score",)):
        person = row.text("participant")
        if person not in clinical:
            raise DataError(f"{row.place}, column participant names {person!r}, who has no row in the clinical table")
        facts = clinical[person]
        labels = known(tb=yes_or_no(facts, "tb_status"), sex_male=sex_of(facts.get("sex", "")))
        covariates = {**_coda_covariates(additional.get(person, Row("", ()))), **_coda_covariates(facts)}
        yield CohortRow(sound_named(sounds, row.text("filename"), folder), person, labels, covariates, row.place)


def _coda_covariates(row: Row) -> dict[str, str]:
    left_out = ("participant", "tb_status", "microbiologicreferencestandard", "sputumxpertreferencestandard")
    return {
        CODA_NAMES.get(name.casefold(), name): cell for name, cell in row.items() if name.casefold() not in left_out
    }


def read_cidrz(folder: Path) -> Iterator[CohortRow]:
    """Coughs of CIDRZ: folders ``SITE Phone X`` and ``Audio-Recorder-SITE`` of recordings, and a table of people.

    A recording belongs to the person whose id its name begins with. The site and the device are those of its folder.
    Labels: ``tb`` (the first of `CIDRZ_TRUTHS` that the table has), ``sex_male`` and every other column that only says
    yes or no. What a program said of the chest X-ray (``abn_*``, ``tb_decision*``, ``tb_predictions*``) is never a
    covariate.
    """
    table, truth = _table_with(folder, CIDRZ_TRUTHS)
    rows = list(read_table(table, (truth,), others=True))
    id_column = next((name for name in CIDRZ_IDS if rows and name in rows[0]), None)
    if id_column is None:
        raise DataError(f"{table} has no column that names a person; expected one of {', '.join(CIDRZ_IDS)}")
    people = by_person(rows, id_column)
    spelled = {person.casefold(): person for person in people}
    binary = _binary_columns(rows, {id_column, *CIDRZ_TRUTHS})
    for paths in sounds_by_stem(folder).values():
        for path in paths:
            match = _CIDRZ_FOLDER.fullmatch(path.parent.name)
            if match is None or (person := _person_of(path.stem, spelled)) is None:
                continue
            facts = people[person]
            labels = {name: value for name in binary if (value := yes_or_no(facts, name)) is not None}
            labels |= known(tb=yes_or_no(facts, truth), sex_male=_cidrz_sex(facts))
            site = " ".join(re.split(r"[ _-]+", match["site"] or match["recorded"]))
            device = f"phone {match['phone']}" if match["phone"] else "recorder"
            covariates = {**_cidrz_covariates(facts, id_column), "site": site, "device": device}
            yield CohortRow(path, person, labels, covariates, facts.place)


def _cidrz_sex(facts: Row) -> float | None:
    return next((sex_of(facts[name]) for name in ("sex", "gender") if name in facts), None)


def _cidrz_covariates(facts: Row, id_column: str) -> dict[str, str]:
    return {
        CIDRZ_NAMES.get(name, name): cell
        for name, cell in facts.items()
        if name not in (id_column, "anon_id") and not _CIDRZ_ANSWERS.fullmatch(name)
    }


def _table_with(folder: Path, columns: Sequence[str]) -> tuple[Path, str]:
    """The first table that has one of the columns, the first of which is sought everywhere before the second."""
    for column in columns:
        for path in sorted(folder.rglob("*.csv")):
            try:
                next(read_table(path, (column,), others=True), None)
            except OtherColumnsError:
                continue
            return path, column
    raise not_found(folder, f"no table with the column {' or '.join(columns)}")


def _binary_columns(rows: list[Row], left_out: set[str]) -> list[str]:
    """The columns in which every cell is yes, no or unknown, and both occur."""
    found = []
    for name in (column for column in rows[0] if column and column not in left_out):
        try:
            values = {yes_or_no(row, name) for row in rows}
        except DataError:
            continue
        if {0.0, 1.0} <= values:
            found.append(name)
    return found


def _person_of(stem: str, people: Mapping[str, str]) -> str | None:
    """The longest id (known in small letters) that a name begins with, up to a sign neither letter nor digit."""
    for end in range(len(stem), 0, -1):
        if (end == len(stem) or not stem[end].isalnum()) and (person := people.get(stem[:end].casefold())):
            return person
    return None
