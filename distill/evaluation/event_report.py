"""Measures cough events with intervals: in composed sound by level and background, in hours without, in recordings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.audio import SAMPLE_RATE_HZ
from core.bundle import COUGH
from core.results import Screening
from core.screener import Screener
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import (
    ComposedRecording,
    backgrounds_of,
    compose_cough_free,
    compose_recordings,
)
from distill.evaluation.event_scoring import EventRules, EventScore, Span, score_events
from distill.evaluation.labelled_recordings import LabelledRecording
from distill.evaluation.metrics import INTERVAL, N_DRAWS

SCHEMA = "tussis.event-report/1"
SNR_BANDS_DB = ((0.0, 5.0), (5.0, 10.0), (10.0, 20.0), (20.0, 30.0))
HOW = (
    "events are scored by EPFL's timescoring with the parameters of rules; intervals are the central 95 % over 1000 "
    "draws of recordings, and exact where all or none are found or nothing is false; a recording that fails the "
    "quality gate is unscored: its coughs count as not found, it raises no false alarm, and its time is not counted"
)
HOW_COMPOSED = (
    "composed of the store's validation recordings, of which no student learnt, as much for each background, however "
    "few recordings it has; the thresholds were chosen on other compositions of the same recordings"
)
_DRAWS_AT_ONCE = 100

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HeardRecording:
    """What was counted in one recording, and what is true of it.

    ``found`` are the counted coughs (start_s, end_s), None where the recording is unscored. ``background`` and
    ``snr_db`` (from, to) are of how it was composed; None for people's recordings.
    """

    name: str
    duration_s: float
    reference: tuple[Span, ...]
    found: tuple[Span, ...] | None
    background: str | None = None
    snr_db: tuple[float, float] | None = None

    def score(self, rules: EventRules) -> EventScore:
        """The counts; an unscored recording finds nothing, and gives no time."""
        score = score_events(self.reference, self.found or (), self.duration_s, rules)
        return score if self.found is not None else EventScore(score.n_reference, 0, 0, 0.0)


class Listening:
    """Screens recordings, but for those that an earlier run kept.

    Parameters
    ----------
    screener : Screener
    kept : dict
        What an earlier run found: duration and coughs by a recording's key.
    keep : callable
        Is given a key, the duration and the coughs of each recording that was screened.
    """

    def __init__(
        self,
        screener: Screener,
        kept: dict[str, dict[str, Any]] | None = None,
        keep: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._screener, self._kept, self._keep = screener, kept or {}, keep

    def composed(self, key: str, recording: ComposedRecording) -> tuple[float, tuple[Span, ...] | None]:
        """Length in s and counted coughs of composed sound."""
        blocks = [recording.waveform]
        return self._heard(key, lambda: self._screener.screen_blocks(blocks, SAMPLE_RATE_HZ, "a composed recording"))

    def file(self, key: str, recording: LabelledRecording) -> tuple[float, tuple[Span, ...] | None]:
        """Length in s and counted coughs of a file."""
        return self._heard(key, lambda: self._screener.screen(recording.path))

    def _heard(self, key: str, screen: Callable[[], Screening]) -> tuple[float, tuple[Span, ...] | None]:
        if (line := self._kept.get(key)) is None:
            screening = screen()
            spans = [(event.start_s, event.end_s) for event in screening.events if event.label == COUGH]
            coughs = None if screening.cough_count is None else spans
            line = {"key": key, "duration_s": screening.recording.duration_s, "coughs": coughs}
            self._keep(line)
        coughs = line["coughs"]
        return line["duration_s"], None if coughs is None else tuple((start, end) for start, end in coughs)


def hear_composed(listening: Listening, store: WaveformStore, n_recordings: int, seed: int) -> Iterable[HeardRecording]:
    """About `n_recordings` of 10 s, as many for each background and each of `SNR_BANDS_DB`."""
    cells = [(background, band) for background in backgrounds_of(store) for band in SNR_BANDS_DB]
    for number, (background, band) in enumerate(cells):
        n_here = max(1, round(n_recordings / len(cells)))
        composed = compose_recordings(store, n_here, _seed(seed, number), band, background)
        for place, recording in enumerate(composed):
            name = f"composed/{background}/{band[0]:g}-{band[1]:g} dB/{place}"
            duration_s, found = listening.composed(name, recording)
            yield HeardRecording(name, duration_s, tuple(recording.coughs), found, background, band)


def hear_cough_free(listening: Listening, store: WaveformStore, hours: float, seed: int) -> Iterable[HeardRecording]:
    """Sound without a cough, as long for each background."""
    backgrounds = list(backgrounds_of(store))
    for number, background in enumerate(backgrounds):
        composed = compose_cough_free(store, hours / len(backgrounds), _seed(seed, number), background)
        for place, recording in enumerate(composed):
            name = f"cough-free/{background}/{place}"
            duration_s, found = listening.composed(name, recording)
            yield HeardRecording(name, duration_s, (), found, background)


def composed_part(heard: Sequence[HeardRecording], rules: EventRules) -> dict[str, Any]:
    """All together, by signal-to-noise ratio, and by background."""
    bands = [band for band in SNR_BANDS_DB if any(one.snr_db == band for one in heard)]
    return {
        "how": HOW_COMPOSED,
        "total": measured(heard, rules),
        "by_snr_db": [
            {"low_db": band[0], "high_db": band[1], **measured([one for one in heard if one.snr_db == band], rules)}
            for band in bands
        ],
        "by_background": by_background(heard, rules),
    }


def by_background(heard: Sequence[HeardRecording], rules: EventRules) -> list[dict[str, Any]]:
    """`measured` of each background."""
    names = sorted({one.background for one in heard if one.background is not None})
    return [{"background": name, **measured([h for h in heard if h.background == name], rules)} for name in names]


def recordings_part(heard: Sequence[HeardRecording], rules: EventRules) -> dict[str, Any]:
    """All together, and the counts of each."""
    each = [
        {
            "name": one.name,
            "duration_s": one.duration_s,
            "is_scored": one.found is not None,
            "n_coughs": (score := one.score(rules)).n_reference,
            "n_found": score.n_true_positive,
            "n_false": score.n_false_positive,
            "n_counted": None if one.found is None else len(one.found),
        }
        for one in heard
    ]
    return {"total": measured(heard, rules), "each": each}


def measured(heard: Sequence[HeardRecording], rules: EventRules, seed: int = 0) -> dict[str, Any]:
    """Counts, and sensitivity, precision, F1 and false coughs an hour, each with its 95 % interval over recordings.

    A rate that nothing gives is None: sensitivity without a cough, precision without a find, false coughs without time.
    """
    scores = [one.score(rules) for one in heard]
    counts = np.array(
        [(s.n_reference, s.n_true_positive, s.n_false_positive, s.duration_s / 3600) for s in scores], dtype=np.float64
    ).reshape(len(scores), 4)
    total = EventScore(*(int(n) for n in counts[:, :3].sum(axis=0)), 3600 * float(counts[:, 3].sum()))
    drawn, counted = _drawn(counts, seed), counts[:, 1] + counts[:, 2]
    bounds = {
        "sensitivity": _exact(counts[:, 0], total.n_true_positive, total.n_reference),
        "precision": _exact(counted, total.n_true_positive, total.n_true_positive + total.n_false_positive),
    }
    hours = total.duration_s / 3600
    if hours and total.n_false_positive == 0:
        bounds["false_per_hour"] = (0.0, float(-np.log(INTERVAL[0] / 100)) / hours)
    return {
        "n_recordings": len(heard),
        "n_unscored": sum(one.found is None for one in heard),
        "hours": hours,
        "n_coughs": total.n_reference,
        "n_found": total.n_true_positive,
        "n_false": total.n_false_positive,
        **{name: _estimate(values, bounds.get(name)) for name, values in drawn.items()},
    }


def about(screener: Screener, rules: EventRules, seed: int) -> dict[str, Any]:
    """What a report says of the bundle, the rules and how it was made."""
    bundle = {"name": screener.bundle.name, "sha256": screener.bundle.sha256}
    return {"schema": SCHEMA, "bundle": bundle, "how": HOW, "rules": asdict(rules), "seed": seed}


def _drawn(counts: Array, seed: int) -> dict[str, Array]:
    """Each rate of all recordings, and then of 1000 draws of them with replacement; NaN where nothing gives it."""
    generator, n = np.random.default_rng((seed, 6)), len(counts)
    sums = [counts.sum(axis=0, keepdims=True)]
    for _ in range(N_DRAWS // _DRAWS_AT_ONCE if n > 1 else 0):
        weights = generator.multinomial(n, np.full(n, 1 / n), size=_DRAWS_AT_ONCE)
        sums.append(weights @ counts)
    n_reference, n_true, n_false, hours = np.concatenate(sums).T
    return {
        "sensitivity": _ratio(n_true, n_reference),
        "precision": _ratio(n_true, n_true + n_false),
        "f1": _ratio(2 * n_true, n_reference + n_true + n_false),
        "false_per_hour": _ratio(n_false, hours),
    }


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _exact(trials: Array, n_right: int, n: int) -> tuple[float, float] | None:
    """Clopper and Pearson's interval where all or none are right, for as many outcomes as recordings that have any."""
    if n == 0 or n_right not in (0, n):
        return None
    margin = 1 - (INTERVAL[0] / 100) ** (1 / int((trials > 0).sum()))
    return (1 - margin, 1.0) if n_right else (0.0, margin)


def _estimate(values: Array, bounds: tuple[float, float] | None) -> dict[str, float | None] | None:
    value, drawn = values[0], values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value):
        return None
    if bounds is None:
        bounds = tuple(float(bound) for bound in np.percentile(drawn, INTERVAL)) if len(drawn) else (None, None)
    return {"value": float(value), "low": bounds[0], "high": bounds[1]}


def _seed(seed: int, number: int) -> int:
    """A seed of a part, apart from those with which thresholds are chosen."""
    return 1000 * (seed + 1) + number
