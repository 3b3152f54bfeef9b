"""Measures how coughs are counted: in composed recordings, in hours without one, over hum (tussis-counting)."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.audio import SAMPLE_RATE_HZ
from core.bundle import COUGH, load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, write_atomically
from core.results import Screening
from core.screener import Screener
from distill.command_line import run_app
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import ComposedRecording, compose_cough_free, compose_recordings
from distill.evaluation.event_scoring import EventScore, score_events
from distill.shown_text import PlainConsole

SCHEMA = "tussis.counting/1"
HUM_HZ = (50, 60, 100, 120, 150, 180)
COUGH_PEAK = 0.4
HUM_PEAK = 0.25


def measure_counting(
    screener: Screener, store: WaveformStore, hours: float, n_composed: int, n_hum: int, seed: int
) -> dict[str, Any]:
    """Screen composed validation recordings as people's recordings are screened.

    Parameters
    ----------
    hours : of sound without a cough
    n_composed : recordings of 10 s with up to five coughs each
    n_hum : recordings labelled cough that hum is added to

    Returns
    -------
    dict
        ``cough_free``: hours, false coughs and how many an hour. ``composed``: F1, sensitivity, false coughs an hour.
        ``hum``: for each frequency how many recordings have a counted cough and how many are unscored.
    """
    cough_free = _count(screener, compose_cough_free(store, hours, seed))
    composed = _count(screener, compose_recordings(store, n_composed, seed))
    return {
        "schema": SCHEMA,
        "bundle": {"name": screener.bundle.name, "sha256": screener.bundle.sha256},
        "seed": seed,
        "cough_free": {
            "hours": cough_free.duration_s / 3600,
            "n_false": cough_free.n_false_positive,
            "false_per_hour": cough_free.false_positives_per_hour,
        },
        "composed": {
            "n_coughs": composed.n_reference,
            "f1": composed.f1,
            "sensitivity": composed.sensitivity,
            "false_per_hour": composed.false_positives_per_hour,
        },
        "hum": _over_hum(screener, store, n_hum, seed),
    }


def _count(screener: Screener, recordings: Iterable[ComposedRecording]) -> EventScore:
    total = EventScore(0, 0, 0, 0.0)
    for recording in recordings:
        spans = [
            (event.start_s, event.end_s)
            for event in _screen(screener, recording.waveform).events
            if event.label == COUGH
        ]
        total = total + score_events(recording.coughs, spans, len(recording.waveform) / SAMPLE_RATE_HZ)
    return total


def _over_hum(screener: Screener, store: WaveformStore, n_hum: int, seed: int) -> list[dict[str, Any]]:
    rows = [index for index in store.indices("validation") if store.rows[index].labels == (COUGH,)]
    if len(rows) < n_hum:
        raise DataError(f"the store has {len(rows)} validation recordings labelled cough alone, not {n_hum}")
    chosen = np.random.default_rng((seed, 2)).choice(rows, n_hum, replace=False)
    results = []
    for hum_hz in (0, *HUM_HZ):
        screenings = [_screen(screener, _with_hum(store.sound(int(row)), hum_hz)) for row in chosen]
        results.append(
            {
                "hum_hz": hum_hz,
                "n": n_hum,
                "n_counted": sum(bool(screening.cough_count) for screening in screenings),
                "n_unscored": sum(screening.cough_count is None for screening in screenings),
            }
        )
    return results


def _with_hum(sound: np.ndarray, hum_hz: int) -> np.ndarray:
    coughs = sound * (COUGH_PEAK / max(float(np.abs(sound).max()), 1e-6))
    hum = HUM_PEAK * np.sin(2 * np.pi * hum_hz * np.arange(len(sound)) / SAMPLE_RATE_HZ)
    return (coughs + hum).astype(np.float32)


def _screen(screener: Screener, waveform: np.ndarray) -> Screening:
    return screener.screen_blocks([waveform], SAMPLE_RATE_HZ, "a composed recording")


def show(result: dict[str, Any], console: PlainConsole) -> None:
    """Print the measurement in a few lines."""
    free, composed = result["cough_free"], result["composed"]
    console.print(
        f"{free['hours']:.1f} h without a cough: {free['n_false']} counted, {free['false_per_hour']:.1f} an hour"
    )
    console.print(
        f"{composed['n_coughs']} coughs in composed recordings: F1 {composed['f1'] or 0:.3f}, "
        f"sensitivity {composed['sensitivity'] or 0:.3f}, {composed['false_per_hour']:.1f} false an hour"
    )
    for row in result["hum"]:
        hum = f"hum of {row['hum_hz']} Hz" if row["hum_hz"] else "no hum"
        console.print(f"{hum}: a cough counted in {row['n_counted']} of {row['n']}, {row['n_unscored']} unscored")


app = typer.Typer(add_completion=False)


@app.command()
def counting(
    store: Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    hours: Annotated[float, typer.Option(min=0.1, help="Hours of sound without a cough.")] = 3.0,
    composed: Annotated[int, typer.Option(min=1, help="Composed recordings of 10 s.")] = 360,
    hum: Annotated[int, typer.Option(min=1, help="Recordings of coughs that hum is added to.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of what is composed; thresholds are chosen with 0.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Count coughs in validation sound: composed recordings, hours without a cough, coughs over hum.

    Example: tussis-counting --store cache/store --json counting.json
    """
    with exit_on_error("tussis-counting"):
        if json_path is not None:
            check_writable(json_path)
        screener = Screener(load_bundle(bundle))
        result = measure_counting(screener, WaveformStore.open(store), hours, composed, hum, seed)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, PlainConsole())


def main() -> None:
    """Entry point of ``tussis-counting``."""
    run_app(app)


if __name__ == "__main__":
    main()
