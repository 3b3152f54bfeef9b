"""Goes through the recordings of a report once, and keeps on disk what was found so that a later run goes on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from core.files import sha256_of_file
from core.screening.journal import Journal
from distill.corpus.sound_hash import sha256_of_sound
from distill.evaluation.report.channel import describe_channel
from distill.shown_text import PlainConsole, progress_label

SCHEMA = "tussis.report/1"
KIND = SCHEMA.partition("/")[0]
Answer = Callable[[Path], Mapping[str, Any]]


def open_journal(out: Path | None) -> Journal:
    """The journal of the report that is written to ``out``; None keeps nothing on disk."""
    return Journal(out, SCHEMA, KIND)


def go_through(
    paths: Sequence[Path],
    answer: Answer | None,
    asked: str,
    journal: Journal,
    label: str,
    is_sound_hashed: bool = True,
) -> list[dict[str, Any]]:
    """What is known of each recording, those of an earlier run taken from its journal.

    Parameters
    ----------
    paths : recordings
    answer : callable or None
        Scores of a recording, as values of JSON; None where only the hashes are wanted.
    asked : str
        Who answers: another text (the hash of another model, say) makes earlier answers worthless.
    journal : Journal
    label : str
        Stands beside the bar of progress.
    is_sound_hashed : bool
        Whether the samples are hashed, for which a recording is decoded once more.

    Returns
    -------
    list of dict
        For each path ``recording`` (``path``, ``sha256``), ``sound_sha256`` ("" where not hashed), and where it was
        answered ``channel`` and ``answer``.

    Raises
    ------
    AudioError
        If a recording cannot be read: a report is of all recordings or of none.
    """
    kept = {(each.path, each.content["recording"]["sha256"], each.content.get("asked")): each for each in journal.kept}
    console = PlainConsole(stderr=True)
    found = []
    for path in track(paths, progress_label(label), console=console, disable=not console.is_terminal):
        key = (str(path), sha256_of_file(path), asked)
        if key in kept:
            found.append(kept[key].to_json())
            continue
        facts = {"recording": {"path": key[0], "sha256": key[1]}, "asked": asked}
        facts["sound_sha256"] = sha256_of_sound(path) if is_sound_hashed else ""
        if answer is not None:
            facts |= {"channel": describe_channel(path), "answer": dict(answer(path))}
        journal.note(result=facts)
        found.append(facts)
    return found
