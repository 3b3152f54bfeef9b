"""Puts a screening into its JSON contract (``tussis.screening/1``) and into words."""

import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from core.audio import RecordingReader
from core.bundle import COUGH, Bundle
from core.events import Event
from core.files import encodable
from core.probes import UNVERIFIED, Decision, ProbeResult, spoken_reasons
from core.process.terminal import printable
from core.quality import Quality

SCHEMA = "tussis.screening/1"
TEXT_WIDTH = 100
LABEL_WIDTH = 12


@dataclass(frozen=True)
class RecordingFacts:
    """Which recording was screened.

    Attributes
    ----------
    path : str
    sha256 : str or None
        Of the file's bytes, hexadecimal; None for a stream.
    duration_s : float
        Of the sound that was heard.
    sample_rate_hz : int
        Its own, before resampling.
    n_channels : int
    channel : str
        What was heard of more than one channel: ``"average"``, or the number of the channel from 1 on.
    truncated : bool
        Whether less is there than the recording says of itself: cut short, or damaged within.
    remarks : tuple of str
        A sentence for each thing that a person should know about how it was read.
    """

    path: str
    sha256: str | None
    duration_s: float
    sample_rate_hz: int
    n_channels: int = 1
    channel: str = "1"
    truncated: bool = False
    remarks: tuple[str, ...] = ()

    def read_from(self, reader: RecordingReader) -> "RecordingFacts":
        """The same with what the reader knows once it has come to the recording's end."""
        return replace(
            self,
            n_channels=reader.n_channels,
            channel=reader.channel,
            truncated=reader.truncated,
            remarks=reader.remarks,
        )


@dataclass(frozen=True)
class ModelFacts:
    """Which bundle screened it; ``sha256`` is that of its model file."""

    bundle: str
    sha256: str
    format_version: int


def model_facts(bundle: Bundle) -> ModelFacts:
    """The facts that a result gives about its bundle."""
    return ModelFacts(bundle.name, bundle.model_sha256, bundle.format_version)


@dataclass(frozen=True)
class Screening:
    """The result for one recording.

    ``event_scores`` holds the largest probability over the clips, by label. Where the quality is not acceptable, it and
    ``cough_count`` are None and ``events`` is empty: *unscored*, which is not "no cough". Timings aside, the same
    recording and bundle give the same screening. ``error`` is why the recording could be heard in part only; ``remark``
    what else has to be known of the result. ``columns`` are the clinical values that were given to the probes.
    """

    recording: RecordingFacts
    quality: Quality
    event_scores: Mapping[str, float] | None
    events: tuple[Event, ...]
    cough_count: int | None
    probes: tuple[ProbeResult, ...]
    model: ModelFacts
    timing_ms: Mapping[str, float]
    error: str | None = None
    remark: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def read_from(self, reader: RecordingReader) -> "Screening":
        """The same with what the reader knows once it has come to the recording's end."""
        recording = self.recording.read_from(reader)
        quality = self.quality.with_remark("truncated") if recording.truncated else self.quality
        return replace(self, recording=recording, quality=quality)

    def to_json(self) -> dict[str, Any]:
        """The recording's object in the contract: plain values, every number finite or null."""
        return plain(
            {
                "recording": asdict(self.recording),
                "quality": {
                    "acceptable": self.quality.acceptable,
                    "reasons": list(self.quality.reasons),
                    "peak_dbfs": self.quality.peak_dbfs,
                    "rms_dbfs": self.quality.rms_dbfs,
                    "clipped_fraction": self.quality.clipped_fraction,
                    "snr_db": self.quality.snr_db,
                    "dead_s": self.quality.dead_s,
                },
                "event_scores": None if self.event_scores is None else dict(self.event_scores),
                "events": [asdict(event) for event in self.events],
                "cough_count": self.cough_count,
                "probes": [asdict(probe) for probe in self.probes],
                "model": asdict(self.model),
                "timing_ms": dict(self.timing_ms),
                **({"columns": dict(self.columns)} if self.columns else {}),
                **notes(self),
            }
        )


@dataclass(frozen=True)
class FailedRecording:
    """An input that could not be screened, in its place among the results."""

    path: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """The recording's object in the contract."""
        return plain({"recording": {"path": self.path}, "error": self.error})


class Result(Protocol):
    """What stands for one recording in a file of results."""

    def to_json(self) -> dict[str, Any]: ...


def screening_file(results: Iterable[Result], remark: str | None = None) -> str:
    """The whole JSON file, one object per input in order, as text that ends in a newline."""
    return result_file(SCHEMA, results, remark)


def result_file(schema: str, results: Iterable[Result], remark: str | None = None) -> str:
    """A file of results of `schema`; `remark` is what has to be known of it as a whole."""
    content = {"schema": schema, "recordings": [result.to_json() for result in results]}
    content |= {} if remark is None else {"remark": encodable(remark)}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def notes(result: Any) -> dict[str, str]:
    """The error and the remark of a result, for its JSON object, where it has them."""
    return {key: value for key in ("error", "remark") if (value := getattr(result, key)) is not None}


def described_notes(result: Any) -> list[str]:
    """The same in words."""
    said = {"incomplete": result.error, "remark": result.remark}
    return [described_line(label, words) for label, words in said.items() if words is not None]


def plain(value: Any) -> Any:
    """Make a value plain JSON: Python's own numbers, null for what is not finite (silence is -inf dBFS)."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return encodable(str(value))
    if value is None or isinstance(value, bool):
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int) or math.isfinite(number) else None


def describe(screening: Screening) -> str:
    """The screening in words, for a person at a terminal."""
    recording, model, quality = screening.recording, screening.model, screening.quality
    lines = [
        printable(recording.path),
        described_line("recording", recording_words(recording)),
        described_line("quality", _quality_words(quality)),
    ]
    if screening.event_scores is None:
        lines.append(described_line("coughs", f"not scored: {spoken_reasons(quality)}"))
    else:
        lines += [described_line("coughs", _cough_words(screening)), *_other_lines(screening)]
    lines += [described_line("probe", _probe_words(probe)) for probe in screening.probes]
    lines += described_notes(screening)
    lines.append(described_line("time", ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in screening.timing_ms.items())))
    lines.append(described_line("model", f"{model.bundle}, format {model.format_version}, SHA-256 {model.sha256[:16]}"))
    return "\n".join(lines)


def recording_words(recording: RecordingFacts) -> str:
    """Length, rate and channel of a recording, and what a person should know about how it was read."""
    words = f"{recording.duration_s:.1f} s at {recording.sample_rate_hz} Hz"
    if recording.n_channels > 1:
        heard = "average" if recording.channel == "average" else f"channel {recording.channel}"
        words += f", {heard} of {recording.n_channels} channels"
    return ". ".join([words, *(remark.rstrip(".") for remark in recording.remarks)])


def minutes_and_seconds(seconds: float) -> str:
    """A time in a recording as mm:ss.s; minutes go on past 59."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths % 600 / 10:04.1f}"


def described_line(label: str, words: str) -> str:
    """A line of a description: a label in its column, and words that are safe to print, wrapped beside it."""
    label, words = printable(label), printable(words)
    indent = " " * (LABEL_WIDTH + 2)
    wrapped = textwrap.fill(words, TEXT_WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    return f"  {label:<{LABEL_WIDTH}}" + wrapped[len(indent) :]


def _quality_words(quality: Quality) -> str:
    verdict = "acceptable" if quality.acceptable else "not acceptable"
    if quality.reasons:
        verdict += f": {spoken_reasons(quality)}"
    figures = [f"peak {_decibels(quality.peak_dbfs)} dBFS", f"level {_decibels(quality.rms_dbfs)} dBFS"]
    figures.append(f"clipped {100 * quality.clipped_fraction:.1f} %")
    if quality.dead_s:
        figures.append(f"dead air {minutes_and_seconds(quality.dead_s)}")
    if quality.snr_db is not None and math.isfinite(quality.snr_db):
        figures.append(f"loud over quiet {quality.snr_db:.0f} dB")
    return f"{verdict} ({', '.join(figures)})"


def _decibels(level: float) -> str:
    return f"{level:.1f}" if math.isfinite(level) else "-inf"


def _cough_words(screening: Screening) -> str:
    times = _times(screening, COUGH)
    return f"{screening.cough_count} ({times})" if times else "0 (no cough was heard)"


def _times(screening: Screening, label: str) -> str:
    spans = [(event.start_s, event.end_s) for event in screening.events if event.label == label]
    return ", ".join(f"{minutes_and_seconds(start)}-{minutes_and_seconds(end)}" for start, end in spans)


def _other_lines(screening: Screening) -> list[str]:
    scores = ", ".join(f"{_spoken(label)} {score:.2f}" for label, score in screening.event_scores.items())
    heard = [f"{_spoken(label)} {_times(screening, label)}" for label in screening.event_scores if label != COUGH]
    heard = [words for words in heard if words[-1].isdigit()]
    lines = [described_line("events", f"{scores} (probability in the most probable clip)")]
    return lines + ([described_line("also heard", "; ".join(heard))] if heard else [])


def _spoken(label: str) -> str:
    return label.replace("_", " ")


_STATUS_WORDS = {
    "validated": "validated",
    "research": "research only, not validated",
    UNVERIFIED: "not verified: it calls itself validated, but no trusted key signed the bundle",
}


def _probe_words(probe: ProbeResult) -> str:
    if probe.status == "demonstration":
        return f"{probe.name}: {probe.reason}"
    if probe.decision is Decision.UNSCORED:
        return f"{probe.name}: not scored: {probe.reason}"
    decision = "" if probe.decision is None else f"{probe.decision.value}, "
    return f"{probe.name} ({_STATUS_WORDS[probe.status]}): {decision}{probe.score:.2f} {probe.unit}"
