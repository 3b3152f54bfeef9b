"""Says which spellings of subject ids are one person, which name nobody, and which words are which sex."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

# What people and programs write where nobody knows the person; so is what has no letter and no digit.
_NOBODY = frozenset(
    {"n/a", "#n/a", "<na>", "na", "n.a.", "nan", "nat", "nil", "none", "null", "unknown", "unk", "unnamed", "anonymous"}
    | {"missing", "undefined", "not available", "not known", "no id", "no_id", "tbd", "#ref!", "#value!", "unbekannt"}
)
SEXES = {"f": "female", "female": "female", "woman": "female", "m": "male", "male": "male", "man": "male"}
_NEGATIVE = re.compile(r"-\d+(?:\.0+)?")  # -1, -99: a code for a missing value
_WHOLE_DECIMALS = re.compile(r"(?<=\d)[.,]0+$")  # a column of numbers with a gap in it becomes 5.0
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_SEPARATOR = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=\d)|(?<=\d)[\s_-]+(?=[^\W\d_])")  # between a letter and a digit
_AROUND = " \t\"'="


def names_nobody(subject_id: str) -> bool:
    """Whether an id is empty, a word for an unknown person, or a negative number."""
    folded = _folded(subject_id)
    return folded in _NOBODY or not any(map(str.isalnum, folded)) or bool(_NEGATIVE.fullmatch(folded))


def subject_key(subject_id: str) -> str:
    """What spellings of one person have in common: ``S05``, ``s5``, ``s-05`` and ``S 5.0`` are one.

    Two people may rarely have one key. Then they stay on one side of a split together, which leaks nothing.
    """
    key = _WHOLE_DECIMALS.sub("", _folded(subject_id))
    return _LEADING_ZEROS.sub("", _SEPARATOR.sub("", key))


def one_spelling(subject_ids: Iterable[str]) -> Mapping[str, str]:
    """For each id the first one that has the same key, in the order given."""
    first: dict[str, str] = {}
    return {
        subject_id: first.setdefault(subject_key(subject_id), subject_id) for subject_id in dict.fromkeys(subject_ids)
    }


def _folded(subject_id: str) -> str:
    """An id without case, invisible characters, and what spreadsheets put around it."""
    if subject_id.isascii() and subject_id.isprintable():
        return subject_id.casefold().strip(_AROUND)
    text = unicodedata.normalize("NFKC", subject_id)
    visible = "".join(character for character in text if unicodedata.category(character) not in ("Cf", "Cc"))
    return unicodedata.normalize("NFKC", visible.casefold()).strip(_AROUND)
