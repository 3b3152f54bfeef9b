"""Reads folders of forced blows with a spirometer's values, such as SpiroSmart's."""

from collections.abc import Iterator
from pathlib import Path

from distill.corpus.cohorts.rows import CohortRow, known, not_found, sex_of
from distill.corpus.tables import Row, read_table

# What people call a column, and what it is called here; a value out of the range is in another unit.
NAMES = {
    "path": ("path", "file", "filename", "file_name", "recording", "audio"),
    "subject_id": ("subject_id", "subject", "participant", "participant_id", "patient_id", "id"),
    "fev1_l": ("fev1_l", "fev1", "fev_1", "fev1 (l)", "fev1_liters", "fev1_litres"),
    "fvc_l": ("fvc_l", "fvc", "fvc (l)", "fvc_liters", "fvc_litres"),
    "pef_l_per_s": ("pef_l_per_s", "pef", "pef (l/s)", "pef_lps"),
    "exhale_s": ("exhale_s", "fet", "fet_s", "exhale_duration_s", "fet (s)"),
    "age_years": ("age_years", "age"),
    "sex": ("sex", "gender"),
    "height_cm": ("height_cm", "height", "height (cm)"),
}
REQUIRED = ("path", "subject_id", "fev1_l")
RANGES = {"fev1_l": (0.1, 12.0), "fvc_l": (0.1, 12.0), "pef_l_per_s": (0.2, 20.0), "exhale_s": (0.2, 30.0)}


def read_spirometry(folder: Path) -> Iterator[CohortRow]:
    """A table of recordings with FEV1 and any of FVC, PEF, duration, age, sex and height; columns by any of `NAMES`.

    Labels: ``fev1_l``, ``fvc_l``, ``fev1_fvc``, ``pef_l_per_s``, ``exhale_s`` and ``sex_male``. The covariates have
    the names that ``tussis-probe spirometry agreement`` takes.

    Raises
    ------
    DataError
        If no table has these columns, or a value is in millilitres, per minute, or FEV1 is above FVC.
    """
    table, rows, columns = _table(folder)
    for row in rows:
        cells = {name: row[column] for name, column in columns.items()}
        labels = {name: row.number(columns[name], *RANGES[name]) for name in RANGES if cells.get(name)}
        if "fvc_l" in labels and "fev1_l" in labels:
            if labels["fev1_l"] > labels["fvc_l"]:
                raise row.refused(columns["fev1_l"], f"at most the FVC of {labels['fvc_l']:g} L")
            labels["fev1_fvc"] = labels["fev1_l"] / labels["fvc_l"]
        labels |= known(sex_male=sex_of(cells.get("sex", "")))
        others = {name: cell for name, cell in row.items() if name and name not in columns.values()}
        covariates = {**others, **{name: cell for name, cell in cells.items() if name not in REQUIRED}}
        path = table.parent / Row(row.place, [("path", cells["path"])]).relative_path("path")
        yield CohortRow(path, cells["subject_id"], labels, covariates, row.place)


def _table(folder: Path) -> tuple[Path, list[Row], dict[str, str]]:
    """The first table that has the required columns, its rows, and its name for each of `NAMES` that it has."""
    spellings = [spelling for names in NAMES.values() for spelling in names]
    for path in sorted(folder.rglob("*.csv")):
        rows = list(read_table(path, (), spellings, others=True))
        present = rows[0].keys() if rows else ()
        columns = {
            name: known_as for name, names in NAMES.items() for known_as in reversed(names) if known_as in present
        }
        if all(name in columns for name in REQUIRED):
            return path, rows, columns
    raise not_found(folder, f"no table with the columns {', '.join(REQUIRED)}")
