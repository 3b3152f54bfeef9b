"""Finds what the recordings of a report share with those that the model or the probe was fitted on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distill.corpus.subjects import names_nobody, subject_key
from distill.corpus.tables import listed

# What two sides may share, and the words for it. The first four make a test worthless; the last two make it easy.
SHARED = {
    "subject": "a subject",
    "source": "a source recording",
    "file": "a file",
    "sound": "a sound",
    "site": "a site",
    "device": "a device",
}
_SPELLED = frozenset({"subject", "site", "device"})  # people write these; the others are compared as they are


@dataclass(frozen=True)
class Identity:
    """Whose recording it is and where it is from; "" where that is not known."""

    subject: str
    source: str = ""
    file: str = ""
    sound: str = ""
    site: str = ""
    device: str = ""


def find_shared(training: Iterable[Identity], test: Sequence[Identity]) -> dict[str, Any]:
    """For each of `SHARED`: how many values both sides have, the recordings of the test that they are in, some of them.

    None where one side knows no value, so that nothing can be said.
    """
    sides: tuple[Mapping[str, dict[str, list[str]]], ...] = _by_value(training), _by_value(test)
    found: dict[str, Any] = {}
    for name in SHARED:
        ours, theirs = (side[name] for side in sides)
        both = sorted(ours.keys() & theirs.keys())
        found[name] = None
        if ours and theirs:
            found[name] = {
                "n_shared": len(both),
                "n_test_recordings": sum(len(theirs[key]) for key in both),
                "examples": [theirs[key][0] for key in both[:3]],
            }
    return found


def warn_of_shared(shared: Mapping[str, Any]) -> list[str]:
    """A sentence for each thing that training and test share."""
    return [
        f"Training and test share {words}: {listed(found['examples'])}, in {found['n_test_recordings']} recordings "
        "of the test."
        for name, words in SHARED.items()
        if (found := shared[name]) and found["n_shared"]
    ]


def _by_value(identities: Iterable[Identity]) -> Mapping[str, dict[str, list[str]]]:
    """For each of `SHARED` the values as they are compared, each with the values as they are written."""
    values: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in SHARED}
    for identity in identities:
        for name in SHARED:
            if (text := getattr(identity, name)) and not names_nobody(text):
                values[name][subject_key(text) if name in _SPELLED else text].append(text)
    return values
