"""The one plain page that tells what a participant's recordings gave."""

import numpy as np
import pytest

from app.outcome import outcome_of
from app.study import practice_study
from tests.app.field_day import PASSCODE

PARTICIPANT = practice_study().new_id(1)


def probe(decision, status="research", name="tb", score=0.7, reason=None) -> dict:
    told = {"decision": decision, "score": score, "unit": "probability", "reason": reason}
    return {"name": name, "status": status} | told


@pytest.fixture
def result_of(window, stage, stand_in_screener):
    """Keeps one recording of coughs for each verdict that is given, and opens the result."""

    def open_page(*verdicts, probes=()):
        shell = window(load_screener=lambda: stand_in_screener)
        work = shell.work
        work.navigation.restart("unlock", step="language")
        work.set_up(PASSCODE, None)
        stage.wait(lambda: work.casebook is not None and work.navigation.top.name == "home")
        casebook = work.casebook
        casebook.add_participant(PARTICIPANT, 1980, "female", {"cough_for": "no_cough", "smokes": "no"})
        casebook.give_consent(PARTICIPANT, "en", [[(0.1, 0.1), (0.9, 0.9)]])
        for number, (outcome, coughs, reasons) in enumerate(verdicts, start=1):
            attempt = casebook.begin_attempt(PARTICIPANT, "coughs", number, 16_000, {"name": "fake"})
            attempt.append(np.full(16_000, 100, np.int16))
            attempt.close()
            events = [{"label": "cough", "start_s": 0.1 * n, "end_s": 0.1 * n + 0.05} for n in range(coughs or 0)]
            screening = {"probes": list(probes), "events": events}
            verdict = {"outcome": outcome, "coughs": coughs, "reasons": list(reasons)}
            casebook.finish_attempt(attempt.record_id, screening, verdict, "kept_with_reason", "noise")
        work.navigation.go("participant", participant_id=PARTICIPANT)
        work.navigation.go("result", participant_id=PARTICIPANT)
        stage.draw()
        return shell

    return open_page


def test_coughs_quality_and_the_studys_next_step_are_told_and_done_leads_to_the_participant(result_of, stage):
    shell = result_of(("good", 3, ()), ("good", 4, ()))
    assert "7 coughs" in stage.text and "in 2 recordings" in stage.text
    assert "Recording quality: good" in stage.text
    assert practice_study().next_steps["good"]("en") in stage.text
    stage.press_words("Done")
    assert shell.work.navigation.top.name == "participant"


def test_in_noise_it_could_not_be_judged_and_nothing_says_no_cough(result_of, stage):
    result_of(("could_not_be_judged", None, ("too_noisy",)), ("good", 0, ()))
    assert "Could not be judged" in stage.text
    assert "It is too noisy here." in stage.text
    assert "No cough" not in stage.text
    assert practice_study().next_steps["could_not_be_judged"]("en") in stage.text


@pytest.mark.long
def test_some_that_could_not_be_judged_are_told_beside_the_coughs_of_the_others(result_of, stage):
    result_of(("could_not_be_judged", None, ("too_noisy",)), ("good", 3, ()))
    assert "3 coughs" in stage.text and "in 1 recording · 1 could not be judged" in stage.text
    assert "?" in stage.text.splitlines()


def test_a_demonstration_is_not_a_medical_result_and_shows_no_decision_and_no_number(result_of, stage):
    result_of(("good", 3, ()), probes=[probe("refer", "demonstration")])
    assert "Not a medical result" in stage.text and "DEMONSTRATION" in stage.text
    assert "Refer" not in stage.text.splitlines() and "0.70" not in stage.text


def test_a_probe_that_scored_nothing_is_not_a_negative(result_of, stage):
    result_of(("good", 3, ()), probes=[probe("unscored", score=None, reason="too close to the operating point")])
    assert "Not scored" in stage.text and "This is not a negative result." in stage.text
    assert "RESEARCH ONLY" in stage.text and "Not referred" not in stage.text


def test_the_kinds_of_probe_results_look_different_in_grey_print(stage, tmp_path):
    from kivy.core.image import Image

    from app.screens.result import probe_card

    kinds = [probe("refer"), probe("not referred"), probe("unscored", score=None), probe("unscored", "demonstration")]
    pictures = []
    for number, result in enumerate(kinds):
        verdict = {"outcome": "good", "coughs": 1, "reasons": []}
        attempt = type("Kept", (), {"task_id": "c", "round": 1, "state": "kept", "verdict": verdict})
        attempt.screening = {"probes": [result]}
        (outcome,) = outcome_of([attempt], ["c"]).probes
        card = probe_card(outcome, "A probe")
        for child in card.walk(restrict=True):
            if getattr(child, "text", ""):
                child.text = " "  # what is left differs without any word
        stage.show(card)
        card.export_to_png(str(tmp_path / f"{number}.png"))
        data = Image(str(tmp_path / f"{number}.png"), keep_data=True).image._data[0]
        pixels = np.frombuffer(data.data, np.uint8).reshape(data.height, data.width, -1)[..., :3]
        pictures.append(pixels.mean(axis=2)[-100:, :])
    for first in range(4):
        for second in range(first):
            differing = np.abs(pictures[first] - pictures[second]) > 40
            filled = abs(pictures[first].mean() - pictures[second].mean()) > 8
            assert differing.sum() > 300 or filled, (first, second)
