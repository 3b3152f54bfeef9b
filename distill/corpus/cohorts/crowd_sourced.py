"""Reads the cohorts that people recorded themselves: COUGHVID and Coswara."""

from collections.abc import Iterator
from pathlib import Path

from distill.corpus.cohorts.rows import (
    SOUND_ENDINGS,
    CohortRow,
    by_person,
    find_file,
    known,
    sex_of,
    sound_named,
    sounds_by_stem,
    yes_or_no,
)
from distill.corpus.tables import Row, read_table

COUGHVID_STATUS = {"covid-19": 1.0, "healthy": 0.0, "symptomatic": 0.0}
COSWARA_NAMES = {"a": "age_years", "g": "sex", "l_c": "country", "l_s": "site", "smoker": "smoker"}
COSWARA_STATUS = {"healthy": 0.0, "positive_mild": 1.0, "positive_moderate": 1.0, "positive_asymp": 1.0}


def read_coughvid(folder: Path) -> Iterator[CohortRow]:
    """COUGHVID: ``metadata_compiled.csv`` and one sound file for each ``uuid``, which stands for a person.

    Labels: ``covid`` (COVID-19 against healthy and symptomatic) and ``sex_male``. The experts' columns, which may
    contradict each other, and ``cough_detected`` are covariates.
    """
    sounds = sounds_by_stem(folder)
    table = find_file(folder, "metadata_compiled*.csv")
    for row in read_table(table, ("uuid", "cough_detected", "status"), ("age", "gender"), others=True):
        labels = known(
            covid=COUGHVID_STATUS.get(row["status"].casefold()),
            sex_male=sex_of(row.get("gender", "")),
        )
        covariates = {"age_years" if name == "age" else name: cell for name, cell in row.items() if name != "uuid"}
        covariates["sex"] = covariates.pop("gender", "")
        uuid = row.text("uuid")
        yield CohortRow(sound_named(sounds, uuid, folder), uuid, labels, covariates, row.place)


def read_coswara(folder: Path) -> Iterator[CohortRow]:
    """Coswara: ``combined_data.csv`` and, for each day and person, a folder of nine sounds (``cough-heavy`` and so on).

    Labels: ``covid`` (positive against healthy), ``smoker`` and ``sex_male``. The sound's name is the covariate
    ``sound``, the folder's day ``day``.
    """
    table = find_file(folder, "combined_data*.csv")
    people = by_person(read_table(table, ("id", "covid_status"), ("a", "g", "smoker"), others=True), "id")
    recorded = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SOUND_ENDINGS and path.parent.name in people:
            recorded.add(path.parent.name)
            facts = people[path.parent.name]
            covariates = {**_coswara_covariates(facts), "sound": path.stem, "day": path.parent.parent.name}
            yield CohortRow(path, path.parent.name, _coswara_labels(facts), covariates, facts.place)
    for person in sorted(people.keys() - recorded):
        yield CohortRow(folder / person, person, _coswara_labels(people[person]), {}, people[person].place)


def _coswara_labels(row: Row) -> dict[str, float]:
    return known(
        covid=COSWARA_STATUS.get(row["covid_status"].casefold()),
        smoker=yes_or_no(row, "smoker") if "smoker" in row else None,
        sex_male=sex_of(row.get("g", "")),
    )


def _coswara_covariates(row: Row) -> dict[str, str]:
    return {COSWARA_NAMES.get(name, name): cell for name, cell in row.items() if name != "id"}
