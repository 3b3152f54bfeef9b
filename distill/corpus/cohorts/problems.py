"""Finds what is wrong with a cohort: lost files, one sound or person under two ids, labels that contradict."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.progress import track

from core.errors import AudioError
from distill.corpus.cohorts.rows import CohortRow
from distill.corpus.sound_hash import sha256_of_sound
from distill.corpus.subjects import names_nobody, one_spelling, subject_key
from distill.corpus.tables import listed
from distill.shown_text import PlainConsole

# Labels of a person, of whom there is one truth; others are of a sound, or a measured value.
PERSON_LABELS = frozenset({"tb", "covid", "smoker", "sex_male", "copd", "healthy"})


@dataclass(frozen=True)
class Problem:
    """What is wrong, in a sentence, and the places in the list of rows that `drop` leaves out."""

    kind: str
    sentence: str
    dropped: tuple[int, ...]


def find_problems(rows: Sequence[CohortRow]) -> list[Problem]:
    """Every problem of a cohort; each recording is read once."""
    problems = _lost(rows) + _of_nobody(rows) + _spellings(rows) + _contradictions(rows)
    lost = {i for problem in problems if problem.kind == "missing" for i in problem.dropped}
    sounds: dict[str, list[int]] = defaultdict(list)
    console = PlainConsole(stderr=True)
    present = [i for i in range(len(rows)) if i not in lost]
    for i in track(present, "checking", console=console, disable=not console.is_terminal):
        row = rows[i]
        try:
            sounds[sha256_of_sound(row.path)].append(i)
        except (AudioError, OSError) as error:
            problems.append(Problem("unreadable", f"{row.path.name} cannot be read: {error}", (i,)))
    return problems + [_repeated(rows, places) for places in sounds.values() if len(places) > 1]


def drop(rows: Sequence[CohortRow], problems: Iterable[Problem]) -> list[CohortRow]:
    """The rows without those that a problem leaves out, each person in one spelling."""
    dropped = {i for problem in problems for i in problem.dropped}
    kept = [row for i, row in enumerate(rows) if i not in dropped]
    first = one_spelling(row.subject_id for row in kept)
    return [replace(row, subject_id=first[row.subject_id]) for row in kept]


def _lost(rows: Sequence[CohortRow]) -> list[Problem]:
    return [
        Problem("missing", f"{row.place}: there is no recording {row.path.name}", (i,))
        for i, row in enumerate(rows)
        if not row.path.is_file()
    ]


def _of_nobody(rows: Sequence[CohortRow]) -> list[Problem]:
    return [
        Problem("nobody", f"{row.place}: {row.subject_id!r} names nobody", (i,))
        for i, row in enumerate(rows)
        if names_nobody(row.subject_id)
    ]


def _spellings(rows: Sequence[CohortRow]) -> list[Problem]:
    spelled = defaultdict(set)
    for row in rows:
        spelled[subject_key(row.subject_id)].add(row.subject_id)
    return [
        Problem("spelling", f"the ids {listed(ids)} are taken as one person", ())
        for ids in spelled.values()
        if len(ids) > 1
    ]


def _contradictions(rows: Sequence[CohortRow]) -> list[Problem]:
    """People with two truths of one label."""
    people: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        people[subject_key(row.subject_id)].append(i)
    found = []
    for places in people.values():
        for label in sorted(PERSON_LABELS):
            if len({rows[i].labels[label] for i in places if label in rows[i].labels}) > 1:
                person = rows[places[0]].subject_id
                sentence = f"{person!r} is both 0 and 1 of {label}, in {len(places)} recordings"
                found.append(Problem("contradiction", sentence, tuple(places)))
    return found


def _repeated(rows: Sequence[CohortRow], places: Sequence[int]) -> Problem:
    """One sound in several rows: of two people all go; of one person with one truth the first stays."""
    names = ", ".join(rows[i].path.name for i in places[:3])
    ids = {rows[i].subject_id for i in places}
    if len({subject_key(subject_id) for subject_id in ids}) > 1:
        sentence = f"one sound stands under the ids {listed(ids)} ({names}): one person, or a mistake"
        return Problem("two ids", sentence, tuple(places))
    shared = set.intersection(*(set(rows[i].labels) for i in places))
    if differing := sorted(label for label in shared if len({rows[i].labels[label] for i in places}) > 1):
        sentence = f"one sound has two values of {', '.join(differing)} ({names})"
        return Problem("contradiction", sentence, tuple(places))
    return Problem("repeated", f"one sound stands {len(places)} times ({names})", tuple(places[1:]))
