"""Measures how coughs are found in composed sound and in people's labelled recordings (tussis-evaluate events)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from core.bundle import load_bundle
from core.errors import AudioError, DataError, OutputError, exit_on_error, report
from core.files import check_writable, is_standard_output, sha256_of_file, write_atomically
from core.process.signals import Stop, stop_signals
from core.screener import Screener
from core.screening.journal import Journal
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import backgrounds_of
from distill.evaluation.event_report import (
    SCHEMA,
    HeardRecording,
    Listening,
    about,
    by_background,
    composed_part,
    hear_composed,
    hear_cough_free,
    measured,
    recordings_part,
)
from distill.evaluation.event_scoring import EventRules
from distill.evaluation.labelled_recordings import LabelledRecording, find_labelled
from distill.shown_text import PlainConsole

COMMAND = "tussis-evaluate"
RULES = EventRules()


class _StoppedError(Exception):
    """The run was asked to end; what was heard is in the journal."""


def events(
    recordings: Annotated[Path | None, typer.Option(help="Folder of recordings, each with its label track.")] = None,
    store: Annotated[Path | None, typer.Option(help="Store of tussis-corpus; sound is composed of it.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    label: Annotated[str, typer.Option(help="What a cough is called in the label tracks.")] = "cough",
    composed: Annotated[int, typer.Option(min=1, help="Composed recordings of 10 s, about.")] = 720,
    hours: Annotated[float, typer.Option(min=0.1, help="Hours composed without a cough.")] = 3.0,
    drop: Annotated[bool, typer.Option(help="Leave out what cannot be read, instead of refusing.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file; a run that was ended goes on.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is composed.")] = 0,
) -> None:
    """Sensitivity, precision, F1 and false coughs an hour, each with a 95 % interval over recordings.

    A label track has the recording's name: Audacity's NAME.txt, Praat's NAME.TextGrid, or NAME.csv with the columns
    start, end, label, in seconds. From a store, sound is composed with coughs at known times, for each background and
    signal-to-noise ratio, and without a cough.

    Example: tussis-evaluate events --recordings night --store cache/store --json events.json
    """
    with exit_on_error(COMMAND):
        if recordings is None and store is None:
            raise DataError("recordings or a store are needed; give --recordings FOLDER or --store FOLDER")
        if json_path is not None:
            check_writable(json_path, SCHEMA.partition("/")[0])
        found, problems = ([], []) if recordings is None else _labelled(recordings, label, drop)
        opened = None if store is None else WaveformStore.open(store)
        screener = Screener(load_bundle(bundle))
        run = {"bundle": screener.bundle.sha256, "composed": composed, "hours": hours, "seed": seed}
        run["store"] = None if opened is None else opened.fingerprint()
        with stop_signals() as stop, Journal(json_path, SCHEMA, SCHEMA.partition("/")[0]) as journal:
            listening = _listening(screener, journal, run, stop)
            result = about(screener, RULES, seed)
            try:
                if opened is not None:
                    result |= _of_store(listening, opened, composed, hours, seed)
                if recordings is not None:
                    result |= _of_recordings(listening, found, problems, drop)
            except _StoppedError:
                report(COMMAND, f"ended by {stop.name}{_where(journal)}")
                raise typer.Exit(stop.status) from None
            if json_path is not None:
                write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
            journal.remove()
        show(result, PlainConsole(stderr=json_path is not None and is_standard_output(json_path)))


def _labelled(folder: Path, label: str, drop: bool) -> tuple[list[LabelledRecording], list[str]]:
    """The recordings of a folder and what is wrong there, which is told, and refused if it is not to be left out."""
    found, problems = find_labelled(folder, label)
    for problem in problems:
        report(COMMAND, problem)
    if problems and not drop:
        raise DataError(f"{len(problems)} files of {folder} are wrong; --drop leaves them out")
    return found, problems


def _listening(screener: Screener, journal: Journal, run: dict[str, Any], stop: Stop) -> Listening:
    """A listening that takes over what the journal has, and keeps in it what is heard."""
    lines = [kept.to_json() for kept in journal.kept]
    if lines and lines[0] != {"run": run}:
        raise OutputError(f"{journal.path} holds another run, or one of other settings; move it away")
    if not lines:
        journal.note(result={"run": run})

    def keep(line: dict[str, Any]) -> None:
        journal.note(result=line)
        if stop:
            raise _StoppedError

    return Listening(screener, {line["key"]: line for line in lines[1:]}, keep)


def _of_store(listening: Listening, store: WaveformStore, composed: int, hours: float, seed: int) -> dict[str, Any]:
    heard = _tracked("composed sound", hear_composed(listening, store, composed, seed), composed)
    free = _tracked("without a cough", hear_cough_free(listening, store, hours, seed), round(180 * hours))
    free_part = {"total": measured(free, RULES), "by_background": by_background(free, RULES)}
    n_sources = {background: len(rows) for background, rows in backgrounds_of(store).items()}
    return {"n_sources": n_sources, "composed": composed_part(heard, RULES), "cough_free": free_part}


def _of_recordings(
    listening: Listening, found: Sequence[LabelledRecording], problems: Sequence[str], drop: bool
) -> dict[str, Any]:
    left_out = list(problems)

    def heard() -> Iterator[HeardRecording]:
        for recording in found:
            try:
                duration_s, coughs = listening.file(f"{recording.name} {sha256_of_file(recording.path)}", recording)
                _check_labels(recording, duration_s)
            except (AudioError, DataError) as error:
                if not drop:
                    raise
                report(COMMAND, error)
                left_out.append(str(error))
            else:
                yield HeardRecording(recording.name, duration_s, recording.coughs, coughs)

    every = _tracked("recordings", heard(), len(found))
    if not every:
        raise DataError("no recording is left to measure")
    return {"recordings": {**recordings_part(every, RULES), "left_out": left_out}}


def _check_labels(recording: LabelledRecording, duration_s: float) -> None:
    """DataError where a recording has no sound, or ends before one of its labels begins."""
    if duration_s <= 0:
        raise DataError(f"{recording.path} holds no sound")
    if late := [start_s for start_s, _ in recording.coughs if start_s >= duration_s]:
        raise DataError(f"{recording.path} ends at {duration_s:.2f} s, before its label at {late[0]:g} s")


def _tracked(words: str, heard: Iterable[HeardRecording], total: int) -> list[HeardRecording]:
    console = PlainConsole(stderr=True)
    return list(track(heard, words, total=total, console=console, disable=not console.is_terminal))


def _where(journal: Journal) -> str:
    kept = journal.path is not None and journal.path.exists()
    return f"; the same command goes on from {journal.path}" if kept else "; without --json nothing is kept"


def show(result: dict[str, Any], console: PlainConsole) -> None:
    """Print one line a part for a person."""
    console.print(f"cough events of {result['bundle']['name']}, with 95 % intervals over recordings")
    for name, part in _parts(result):
        rates = {"sensitivity": "sensitivity", "precision": "precision", "f1": "F1"} if part["n_coughs"] else {}
        rates["false_per_hour"] = "false an hour"
        words = [f"{words} {_in_words(part[rate])}" for rate, words in rates.items() if part[rate] is not None]
        unscored = [f"{part['n_unscored']} recordings unscored"] * (part["n_unscored"] > 0)
        facts = [f"{part['hours']:.2f} h", f"{part['n_coughs']} coughs", *words, *unscored]
        console.print(f"{name}: {', '.join(facts)}", soft_wrap=True)


def _parts(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, words in (("composed", "composed"), ("cough_free", "without a cough"), ("recordings", "recordings")):
        part = result.get(name, {})
        if "total" in part:
            yield words, part["total"]
        for row in part.get("by_snr_db", ()):
            yield f"{words}, {row['low_db']:g} to {row['high_db']:g} dB", row
        for row in part.get("by_background", ()):
            yield f"{words}, {row['background']}", row


def _in_words(estimate: dict[str, Any]) -> str:
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f}-{estimate['high']:.3f})"
    return f"{estimate['value']:.3f}{interval}"
