"""Scores found events against reference events, by the rules of EPFL's timescoring."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import DataError

Span = tuple[float, float]


@dataclass(frozen=True)
class EventRules:
    """When a reference event counts as found: the parameters of EPFL ``timescoring``, in seconds.

    The defaults are for coughs: a cough lasts about 0.3 s, and two can follow each other without a gap.
    """

    start_tolerance_s: float = 0.25
    end_tolerance_s: float = 0.25
    min_overlap: float = 0.1
    max_event_s: float = 0.6
    merge_gap_s: float = 0.0


@dataclass(frozen=True)
class EventScore:
    """Event counts; sums of two are the counts of both recordings together."""

    n_reference: int
    n_true_positive: int
    n_false_positive: int
    duration_s: float

    def __add__(self, other: "EventScore") -> "EventScore":
        return EventScore(
            self.n_reference + other.n_reference,
            self.n_true_positive + other.n_true_positive,
            self.n_false_positive + other.n_false_positive,
            self.duration_s + other.duration_s,
        )

    @property
    def sensitivity(self) -> float | None:
        """Found reference events over all of them; None without a reference event."""
        return self.n_true_positive / self.n_reference if self.n_reference else None

    @property
    def precision(self) -> float | None:
        """True over all found events; None where nothing was found."""
        n_found = self.n_true_positive + self.n_false_positive
        return self.n_true_positive / n_found if n_found else None

    @property
    def f1(self) -> float | None:
        """Twice the true over the sum of reference and found events; None where there are neither."""
        total = self.n_reference + self.n_true_positive + self.n_false_positive
        return 2 * self.n_true_positive / total if total else None

    @property
    def false_positives_per_hour(self) -> float:
        """False positives per hour of recording."""
        return self.n_false_positive / (self.duration_s / 3600)


def score_events(
    reference: Sequence[Span], found: Sequence[Span], duration_s: float, rules: EventRules | None = None
) -> EventScore:
    """Compare found with reference events of one recording by the rules of EPFL ``timescoring`` (0.0.6 and later).

    Both lists are merged over gaps shorter than ``merge_gap_s`` and cut at ``max_event_s``. A reference event,
    widened by the tolerances, is found when more than ``min_overlap`` of it is covered. A found event is false when
    no part of it lies in a widened reference event that was found. (timescoring does this on a 10 Hz grid; here the
    times are exact, since a cough lasts 0.3 s.)

    Parameters
    ----------
    reference, found : sequences of (start_s, end_s)
        Of the reference events an end may equal its start: a point that the tolerances widen.
    duration_s : float
        Length of the recording, above 0.

    Raises
    ------
    DataError
        If the duration is not above 0 s, or a reference event that nothing widens has no length.
    """
    rules = rules or EventRules()
    if not duration_s > 0:
        raise DataError(f"events are scored over a duration above 0 s, got {duration_s:g} s")
    reference = _split(_merge(reference, rules.merge_gap_s), rules.max_event_s)
    found = _split(_merge(found, rules.merge_gap_s), rules.max_event_s)
    before_s, after_s = rules.start_tolerance_s, rules.end_tolerance_s
    widened = [(max(0.0, start - before_s), min(duration_s, end + after_s)) for start, end in reference]
    if any(end <= start for start, end in widened):
        raise DataError("a reference event without a length, and without a tolerance around it, cannot be found")
    hits = [span for span in widened if _covered_s(span, found) / (span[1] - span[0]) > rules.min_overlap + 1e-6]
    n_false = sum(_covered_s(span, hits) <= 1e-9 for span in found)
    return EventScore(len(reference), len(hits), n_false, duration_s)


def _merge(spans: Sequence[Span], gap_s: float) -> list[Span]:
    """Join sorted spans that overlap or are less than ``gap_s`` apart."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and (start < merged[-1][1] or start - merged[-1][1] < gap_s):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _split(spans: Sequence[Span], longest_s: float) -> list[Span]:
    """Cut every span longer than ``longest_s`` into pieces of that length and a rest."""
    pieces: list[Span] = []
    for start, end in spans:
        while end - start > longest_s + 1e-9:
            pieces.append((start, start + longest_s))
            start += longest_s
        pieces.append((start, end))
    return pieces


def _covered_s(span: Span, events: Sequence[Span]) -> float:
    return sum(max(0.0, min(span[1], end) - max(span[0], start)) for start, end in events)
