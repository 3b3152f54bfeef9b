"""Puts the result of a monitored stream into JSON (``tussis.monitoring/1``) and into words."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.bundle import COUGH
from core.events import Event
from core.monitoring.hourly_totals import HOUR_S, HourTotals, Totals
from core.monitoring.monitor import DeadAirChange, MonitorSettings
from core.probes import spoken_reasons
from core.results import (
    FailedRecording,
    ModelFacts,
    RecordingFacts,
    described_line,
    minutes_and_seconds,
    plain,
    printable,
    recording_words,
)

MONITORING_SCHEMA = "tussis.monitoring/1"


@dataclass(frozen=True)
class Monitoring:
    """The result for one recording or stream; ``events`` in order of time, those of hours that were not scored too.

    Counts are None where nothing could be scored: *unscored*, which is not "no cough".
    """

    recording: RecordingFacts
    settings: MonitorSettings
    totals: Totals
    hours: tuple[HourTotals, ...]
    events: tuple[Event, ...]
    model: ModelFacts
    timing_ms: Mapping[str, float]

    @property
    def busy_ms_per_audio_hour(self) -> float:
        """Time of all stages but ``decode``, which for a stream is mostly waiting, for each hour of sound."""
        spent_ms = sum(ms for stage, ms in self.timing_ms.items() if stage not in ("decode", "total"))
        return spent_ms / (self.recording.duration_s / HOUR_S)

    def to_json(self) -> dict[str, Any]:
        """The recording's object in the contract: plain values, every number finite or null."""
        totals = self.totals
        return plain(
            {
                "recording": asdict(self.recording),
                "hop_s": self.settings.hop_s,
                "gate": None if self.settings.gate is None else asdict(self.settings.gate),
                "totals": {
                    "scored_s": totals.scored_s,
                    "unscored_s": totals.unscored_s,
                    "event_counts": totals.event_counts,
                    "cough_count": None if totals.event_counts is None else totals.event_counts[COUGH],
                    "coughs_per_hour": totals.per_hour(COUGH),
                    "n_clips_run": totals.n_clips_run,
                    "n_clips_gated": totals.n_clips_gated,
                    "gated_share": totals.gated_share,
                },
                "hours": [hour.to_json() for hour in self.hours],
                "events": [asdict(event) for event in self.events],
                "model": asdict(self.model),
                "timing_ms": dict(self.timing_ms),
                "busy_ms_per_audio_hour": self.busy_ms_per_audio_hour,
            }
        )


def monitoring_file(results: Iterable[Monitoring | FailedRecording]) -> str:
    """The whole JSON file, one object per input in order, as text that ends in a newline."""
    content = {"schema": MONITORING_SCHEMA, "recordings": [result.to_json() for result in results]}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def describe_start(name: str, sample_rate_hz: int) -> str:
    """The line that is printed when a stream begins."""
    return f"{printable(name)} (monitored at {sample_rate_hz} Hz)"


def describe_event(event: Event) -> str:
    """An event in words, printed when it is found."""
    span = f"{minutes_and_seconds(event.start_s)}-{minutes_and_seconds(event.end_s)}"
    return described_line(event.label.replace("_", " "), f"{span}, probability {event.probability:.2f}")


def describe_dead_air(change: DeadAirChange) -> str:
    """What is said when nothing reaches the microphone any more, and when sound comes again."""
    if change.is_over:
        length = minutes_and_seconds(change.end_s - change.start_s)
        return described_line("sound again", f"after {length}, which were not scored")
    since = minutes_and_seconds(change.start_s)
    return described_line("dead air", f"nothing reaches the microphone since {since}; this is not scored")


def describe_hour(hour: HourTotals) -> str:
    """An hour in words, printed when it is over."""
    number, length = int(hour.start_s // HOUR_S) + 1, minutes_and_seconds(hour.duration_s)
    counts = "not scored: " + spoken_reasons(hour.quality)
    if hour.event_counts is not None:
        counts = _count_words(hour.event_counts)
    dead = f", {minutes_and_seconds(hour.quality.dead_s)} of it dead air" if hour.quality.dead_s else ""
    return described_line(f"hour {number}", f"{counts} (in {length}{dead})")


def describe_monitoring(result: Monitoring) -> str:
    """Totals, gated share and cost in words, printed when a stream is over."""
    totals, recording, model = result.totals, result.recording, result.model
    if totals.event_counts is None:
        counts = "not scored: no hour could be"
    else:
        rate = f"{totals.per_hour(COUGH):.1f} coughs an hour over {minutes_and_seconds(totals.scored_s)} scored"
        counts = f"{_count_words(totals.event_counts)}; {rate}"
    unscored = f", {minutes_and_seconds(totals.unscored_s)} not scored" if totals.unscored_s else ""
    stages = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in result.timing_ms.items())
    return "\n".join(
        [
            described_line("recording", recording_words(recording)),
            described_line("total", counts + unscored),
            described_line("clips", _clip_words(result)),
            described_line("time", f"{stages}; {result.busy_ms_per_audio_hour / 1000:.2f} s for an hour of sound"),
            described_line("model", f"{model.bundle}, format {model.format_version}, SHA-256 {model.sha256[:16]}"),
        ]
    )


def _count_words(counts: Mapping[str, int]) -> str:
    others = [f"{label.replace('_', ' ')} {n}" for label, n in counts.items() if n and label != COUGH]
    coughs = f"{counts[COUGH]} cough{'' if counts[COUGH] == 1 else 's'}"
    return ", ".join([coughs, *others])


def _clip_words(result: Monitoring) -> str:
    totals = result.totals
    run = f"{totals.n_clips_run} run, one every {result.settings.hop_s:g} s"
    if result.settings.gate is None:
        return f"{run}; no gate"
    share = f"{100 * (totals.gated_share or 0.0):.0f} %"
    return f"{run}; {totals.n_clips_gated} ({share}) left out, because nothing in them stood out from the noise"
