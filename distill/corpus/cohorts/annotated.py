"""Reads the data sets whose sounds are annotated: FluSense, FSD50K and ICBHI 2017."""

import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import DataError
from distill.corpus.cohorts.rows import CohortRow, find_file, known, sex_of, sound_named, sounds_by_stem
from distill.corpus.cohorts.text_grid import read_text_grid
from distill.corpus.tables import parsed_number, read_table

FLUSENSE_EVENTS = ("breathe", "cough", "gasp", "sneeze", "sniffle", "speech", "throat-clearing")
FSD50K_EVENTS = ("Breathing", "Cough", "Laughter", "Respiratory_sounds", "Sneeze", "Speech")
ICBHI_NAME = re.compile(r"(?P<patient>\d+)_(?P<index>\w+?)_(?P<site>\w+?)_(?P<mode>\w+?)_(?P<device>\w+)")


def read_flusense(folder: Path) -> Iterator[CohortRow]:
    """FluSense: a TextGrid beside or below each sound of the same name; a label for each event, 1 where it occurs.

    Who is heard is unknown: each recording stands for a person.
    """
    sounds = sounds_by_stem(folder)
    grids = sorted(folder.rglob("*.TextGrid")) or sorted(folder.rglob("*.textgrid"))
    if not grids:
        raise DataError(f"{folder} has no TextGrid; is this the data set's folder?")
    for grid in grids:
        heard = {interval.label.strip().casefold().replace("_", "-") for interval in read_text_grid(grid)}
        labels = {event.replace("-", "_"): float(event in heard) for event in FLUSENSE_EVENTS}
        yield CohortRow(sound_named(sounds, grid.stem, folder), grid.stem, labels, {}, str(grid))


def read_fsd50k(folder: Path) -> Iterator[CohortRow]:
    """FSD50K: ``dev.csv`` and ``eval.csv`` of its ground truth; the covariate ``split`` is train, val or test."""
    sounds = sounds_by_stem(folder)
    for name in ("dev.csv", "eval.csv"):
        for row in read_table(find_file(folder, name), ("fname", "labels"), ("split",)):
            heard = {label.strip() for label in row.text("labels").split(",")}
            labels = {event.lower(): float(event in heard) for event in FSD50K_EVENTS}
            split = row.get("split") or ("test" if name == "eval.csv" else "train")
            number = row.text("fname")
            yield CohortRow(sound_named(sounds, number, folder), number, labels, {"split": split}, row.place)


def read_icbhi(folder: Path) -> Iterator[CohortRow]:
    """ICBHI 2017: sounds named ``101_1b1_Al_sc_Meditron`` with a text of their breath cycles beside each.

    Labels: ``crackles`` and ``wheezes`` in any cycle, ``healthy`` and ``copd`` by the list of diagnoses, ``sex_male``.
    Covariates: the place on the chest, the device, age, sex, and ``split`` where the official list is there.
    """
    diagnoses = _listed(find_file(folder, "*diagnosis*.csv", "*diagnosis*.txt"), 2)
    people = {cells[0]: cells[1:] for cells in _optional(folder, "*demographic*.txt", 3)}
    splits = {cells[0]: cells[1] for cells in _optional(folder, "*train_test*.txt", 2)}
    diagnosis_of = {cells[0]: cells[1].casefold() for cells in diagnoses}
    sounds = sounds_by_stem(folder)
    lost = {text.stem.casefold(): [text.with_suffix(".wav")] for text in folder.rglob("*.txt")}
    found = False
    for stem, paths in sorted({**lost, **sounds}.items()):
        match = ICBHI_NAME.fullmatch(paths[0].stem)
        if match is None:
            continue
        found, patient = True, match["patient"]
        diagnosis = diagnosis_of.get(patient)
        age, sex = (*people.get(patient, []), "", "")[:2]
        labels = known(
            healthy=None if diagnosis is None else float(diagnosis == "healthy"),
            copd=None if diagnosis is None else float(diagnosis == "copd"),
            sex_male=sex_of(sex),
        )
        covariates = {"chest": match["site"], "device": match["device"], "age_years": age, "sex": sex}
        covariates |= {"split": splits[paths[0].stem]} if paths[0].stem in splits else {}
        yield CohortRow(paths[0], patient, {**_cycles(paths[0].with_suffix(".txt")), **labels}, covariates, stem)
    if not found:
        raise DataError(f"{folder} has no sound named as 101_1b1_Al_sc_Meditron.wav; is this the data set's folder?")


def _cycles(path: Path) -> dict[str, float]:
    """Whether any breath cycle of a recording has crackles or wheezes; nothing where its text is missing."""
    if not path.is_file():
        return {}
    cells = _listed(path, 4)
    if not all(cell[2] in ("0", "1") and cell[3] in ("0", "1") for cell in cells):
        raise DataError(f"{path} has a breath cycle without 0 or 1 for crackles and for wheezes")
    if any(not parsed_number(cell[0]) <= parsed_number(cell[1]) for cell in cells):
        raise DataError(f"{path} has a breath cycle that ends before it begins")
    return {"crackles": float(any(cell[2] == "1" for cell in cells)), "wheezes": float(any(c[3] == "1" for c in cells))}


def _optional(folder: Path, pattern: str, n_cells: int) -> list[list[str]]:
    found = sorted(folder.rglob(pattern))
    return _listed(found[0], n_cells) if found else []


def _listed(path: Path, n_cells: int) -> list[list[str]]:
    """The cells of a list without a header, between commas, tabs or spaces; each line has at least so many."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = [re.split(r"[,;\s]+", line.strip()) for line in lines if line.strip()]
    for number, cells in enumerate(rows, 1):
        if len(cells) < n_cells:
            raise DataError(f"{path}, line {number} has {len(cells)} cells; expected at least {n_cells}")
    return rows
