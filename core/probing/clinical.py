"""Reads the clinical values that a probe takes beside the sound, and standardizes them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.json_fields import Fields, is_number

NOT_GIVEN = "which was not given"
MAX_COLUMNS, MAX_CODES = 16, 40
SMALLEST_DIVISOR = 1e-9
COLUMN_PATTERN = re.compile(r"\w(?:[\w .-]{0,38}\w)?\Z")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class ClinicalColumn:
    """A column of the table that a probe was fitted on.

    A number from ``lowest`` to ``highest``, the range that was seen; or, where ``codes`` is not None, one of its words,
    in lower case, which stand for numbers. ``mean`` and ``scale`` standardize the number.
    """

    name: str
    codes: Mapping[str, float] | None
    lowest: float
    highest: float
    mean: float
    scale: float

    def number_of(self, text: str) -> float | None:
        """The number of a cell; None where it is empty, no number, out of range, or another word."""
        text = text.strip()
        if self.codes is not None:
            return self.codes.get(text.casefold())
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        return value if self.lowest <= value <= self.highest else None

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        if self.codes is not None:
            return ", ".join(list(self.codes)[:6]) + (" and others" if len(self.codes) > 6 else "")
        return f"a number from {self.lowest:g} to {self.highest:g}"


def standard_values(columns: Sequence[ClinicalColumn], given: Mapping[str, str]) -> np.ndarray:
    """The standardized values (n_columns,) of a person; NaN where a value is missing or cannot be used."""
    numbers = [column.number_of(given.get(column.name, "")) for column in columns]
    pairs = zip(columns, numbers, strict=True)
    return np.array([math.nan if number is None else (number - c.mean) / c.scale for c, number in pairs])


def missing_reason(columns: Sequence[ClinicalColumn], given: Mapping[str, str]) -> str | None:
    """Why a person's values do not suffice; None where they do."""
    for column in columns:
        text = given.get(column.name, "").strip()
        if not text:
            return f"the probe needs {column.name}, {NOT_GIVEN}"
        if column.number_of(text) is None:
            return f"{column.name} is not what the probe can use; it takes {column.expected}"
    return None


def parse_columns(fields: Fields) -> tuple[ClinicalColumn, ...]:
    """Read the list ``columns`` of a probe file."""
    values = fields.values.get("columns")
    if not isinstance(values, list) or len(values) > MAX_COLUMNS:
        fields.refuse("columns", f"a list of at most {MAX_COLUMNS} objects")
    columns = tuple(
        _column(Fields(value if isinstance(value, dict) else {}, fields.source, fields.error, f"columns[{i}]."))
        for i, value in enumerate(values)
    )
    if len({column.name for column in columns}) < len(columns):
        fields.refuse("columns", "different names")
    return columns


def _column(fields: Fields) -> ClinicalColumn:
    name = fields.text("name", at_most=40)
    if not COLUMN_PATTERN.match(name):
        fields.refuse("name", "letters, digits and _ . - between them, at most 40")
    codes = None if fields.is_null("codes") else _codes(fields.object("codes"))
    lowest = fields.number("lowest")
    return ClinicalColumn(
        name=name,
        codes=codes,
        lowest=lowest,
        highest=fields.number("highest", lowest=lowest),
        mean=fields.number("mean"),
        scale=fields.number("scale", lowest=SMALLEST_DIVISOR),
    )


def _codes(fields: Fields) -> dict[str, float]:
    if not 2 <= len(fields.values) <= MAX_CODES:
        raise fields.error(
            f'{fields.source}: "{fields.prefix[:-1]}" holds {len(fields.values)} words; expected 2 or more.'
        )
    for word, number in fields.values.items():
        if not (word and word.isprintable() and len(word) <= 40 and word == word.casefold() and is_number(number)):
            raise fields.error(f'{fields.source}: "{fields.prefix[:-1]}" holds a word or number that cannot be used.')
    return {word: float(number) for word, number in fields.values.items()}
