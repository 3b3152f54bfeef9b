"""What several recordings of one participant are summed up to."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from app.outcome import latest_kept, outcome_of


@dataclass
class Attempted:
    coughs: int | None = 3
    outcome: str = "good"
    reasons: tuple[str, ...] = ()
    probes: tuple[dict, ...] = ()
    task_id: str = "coughs"
    round: int = 1
    state: str = "kept"
    screening: Any = field(init=False)
    verdict: Any = field(init=False)

    def __post_init__(self):
        self.screening = {"probes": list(self.probes)}
        self.verdict = {"outcome": self.outcome, "reasons": list(self.reasons), "coughs": self.coughs}


def probe(decision, status="validated", name="tb", score=0.7, reason=None) -> dict:
    return {
        "name": name,
        "status": status,
        "decision": decision,
        "score": score,
        "unit": "probability",
        "reason": reason,
    }


def summed(*attempts):
    return outcome_of(attempts, ["coughs"])


def test_the_coughs_of_the_cough_tasks_are_added_and_those_of_other_tasks_are_not():
    outcome = summed(Attempted(3), Attempted(4), Attempted(9, task_id="forced_breaths"))
    assert (outcome.coughs, outcome.n_judged, outcome.n_unjudged, outcome.quality) == (7, 2, 0, "good")


def test_recordings_that_cannot_be_judged_are_never_no_cough():
    in_noise = Attempted(0, "could_not_be_judged", ("too_noisy",))
    assert summed(in_noise, in_noise).coughs is None
    assert summed(Attempted(0), in_noise).coughs is None
    assert summed(Attempted(2), in_noise).coughs == 2
    assert summed(Attempted(0)).coughs == 0
    assert summed(in_noise).next_step == "could_not_be_judged"


def test_a_recording_that_was_never_screened_could_not_be_judged():
    unfinished = Attempted()
    unfinished.screening = unfinished.verdict = None
    outcome = summed(unfinished)
    assert (outcome.coughs, outcome.quality, outcome.probes) == (None, "could_not_be_judged", ())
    assert summed().quality == "could_not_be_judged"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [(("good", "poor", "good"), "poor"), (("poor", "could_not_be_judged"), "could_not_be_judged"), (("good",), "good")],
)
def test_the_quality_is_that_of_the_worst_recording(codes, expected):
    assert summed(*(Attempted(outcome=code) for code in codes)).quality == expected


def test_each_reason_is_told_once():
    attempts = (
        Attempted(outcome="poor", reasons=("too_loud", "speech")),
        Attempted(outcome="poor", reasons=("speech",)),
    )
    assert summed(*attempts).reasons == ("too_loud", "speech")


def test_a_probes_decisions_are_counted_and_none_is_made_of_them():
    outcome = summed(
        Attempted(probes=(probe("refer"),)),
        Attempted(probes=(probe("not referred"),)),
        Attempted(probes=(probe("not referred"),)),
    )
    (tb,) = outcome.probes
    assert tb.decisions == {"refer": 1, "not referred": 2}
    assert tb.strongest == "refer"


def test_what_a_probe_said_of_a_recording_that_could_not_be_judged_is_not_told():
    outcome = summed(Attempted(outcome="could_not_be_judged", probes=(probe("refer"),)))
    assert outcome.probes == ()
    assert outcome.next_step == "could_not_be_judged"


@pytest.mark.parametrize("status", ["demonstration", "research", "unverified"])
def test_only_a_validated_probe_decides_the_next_step(status):
    assert summed(Attempted(probes=(probe("refer", status),))).next_step == "good"
    assert summed(Attempted(probes=(probe("refer"),))).next_step == "refer"


def test_not_referred_is_the_next_step_only_where_every_validated_probe_and_the_quality_say_so():
    assert summed(Attempted(probes=(probe("not referred"),))).next_step == "not_referred"
    assert summed(Attempted(outcome="poor", probes=(probe("not referred"),))).next_step == "poor"
    two = (probe("not referred"), probe("unscored", name="copd", score=None))
    assert summed(Attempted(probes=two)).next_step == "good"


def test_a_probe_that_gives_a_value_has_values_and_no_decision():
    (fev1,) = summed(Attempted(probes=(probe(None, score=2.4),)), Attempted(probes=(probe(None, score=2.6),))).probes
    assert fev1.values == (2.4, 2.6) and fev1.strongest == ""


def test_of_each_round_the_latest_kept_attempt_counts():
    first, redone = Attempted(1, state="redone"), Attempted(2)
    second = Attempted(5, round=2, state="kept_with_reason")
    unfinished = Attempted(9, round=3, state="unfinished")
    again = Attempted(4)
    assert latest_kept([first, redone, second, unfinished, again]) == [again, second]
