import csv
from pathlib import Path
from typing import Any

import pytest

from app.coordinator.handover_file import HandOverFile
from app.coordinator.received import Received
from app.coordinator.tables import COLUMNS, csv_text, write_tables
from app.study import Study
from tests.app.coordinator.conftest import MODEL_SHA256, UNJUDGED, Phone
from tests.app.opened_vault import STUDY_PRIVATE


def tables_of(phone: Phone, study: Study, out: Path) -> dict[str, list[dict[str, str]]]:
    """What a hand-over of now makes the tables say."""
    with Received(out, study) as received, HandOverFile(phone.hand_over().path, [STUDY_PRIVATE]) as file:
        received.take(file)
        write_tables(received)
    tables = {}
    for name, columns in COLUMNS.items():
        with (out / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            assert tuple(reader.fieldnames) == columns
            tables[name] = list(reader)
    return tables


def test_the_tables_say_what_the_phone_knew(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant(17, height_cm=171, remarks="=cmd|'/C calc'!A1")
    recording = phone.recording(participant_id, state="kept_with_reason", reason="A dog barked.")
    phone.casebook.add_note(recording, "Wore a mask.")
    tables = tables_of(phone, study, out)
    [person] = tables["participants"]
    assert person["participant_id"] == participant_id and person["year_of_birth"] == "1980"
    assert (person["consent"], person["consent_language"], person["is_practice"]) == ("given", "sw", "false")
    assert person["consent_sha256"] == study.consent.sha256 and person["withdrawn_utc"] == ""
    answers = {row["question_id"]: (row["answer"], row["answer_label"]) for row in tables["answers"]}
    assert answers == {
        "cough_for": ("no_cough", "No cough"),
        "smokes": ("yes", "Yes"),
        "height_cm": ("171", ""),
        "remarks": ("'=cmd|'/C calc'!A1", ""),
    }
    [row] = tables["recordings"]
    assert (row["state"], row["reason"], row["notes"]) == ("kept_with_reason", "A dog barked.", "Wore a mask.")
    assert (row["sound"], row["duration_s"], row["sample_rate_hz"]) == ("complete", "1.0", "16000")
    assert (row["outcome"], row["coughs"], row["snr_db"]) == ("good", "3", "24.5")
    assert (row["bundle"], row["model_sha256"], row["microphone"]) == ("tussis-small", MODEL_SHA256, "built in")
    assert (out / row["file"]).is_file() and (out / f"recordings/{recording}.json").is_file()
    assert tables["withdrawals"] == []


def test_what_could_not_be_judged_has_no_count_and_unfinished_and_redone_say_so(
    phone: Phone, study: Study, out: Path
) -> None:
    participant_id = phone.participant()
    phone.recording(participant_id, verdict=UNJUDGED)
    phone.recording(participant_id, state="redone", screening=None, verdict=None)
    attempt = phone.casebook.begin_attempt(participant_id, "coughs", 2, 16_000, {})
    rows = tables_of(phone, study, out)["recordings"]
    attempt.close()
    assert [(row["outcome"], row["outcome_reasons"], row["coughs"]) for row in rows] == [
        ("could_not_be_judged", "too_noisy", ""),
        ("not_screened", "", ""),
        ("not_screened", "", ""),
    ]
    assert [row["state"] for row in rows] == ["kept", "redone", "unfinished"]
    assert [row["sound"] for row in rows] == ["complete", "complete", "unfinished"]


def test_a_withdrawal_is_a_list_to_act_on(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant()
    received, never = phone.recording(participant_id), None
    tables_of(phone, study, out)
    never = phone.recording(participant_id, round=2)
    phone.casebook.withdraw(participant_id)
    tables = tables_of(phone, study, out)
    rows = {row["recording_id"]: row for row in tables["withdrawals"]}
    assert {id: row["was_received"] for id, row in rows.items()} == {received: "true", never: "false"}
    assert rows[received]["erased_utc"] and not rows[never]["erased_utc"]
    assert tables["recordings"] == [] and tables["participants"][0]["consent"] == "withdrawn"
    assert list((out / "recordings").iterdir()) == []


def test_monitoring_is_a_recording_of_its_own_task(phone: Phone, study: Study, out: Path) -> None:
    watched = phone.casebook.begin_monitoring()
    phone.casebook.save_monitoring(watched.record_id, 3600.0, {"hours": [{"coughs": 2}]})
    watched.close()
    [row] = tables_of(phone, study, out)["recordings"]
    assert (row["task_id"], row["participant_id"], row["sound"]) == ("monitoring", "", "none")
    assert '"coughs": 2' in (out / "recordings" / f"{watched.record_id}.json").read_text()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"participant_id": 5},
        {"participant_id": "CG-0017-4", "answers": [], "year_of_birth": 1980, "sex": "female", "added_s": 1.0},
        {"participant_id": "CG-0017-4", "answers": {}, "year_of_birth": 1980, "sex": "female", "added_s": 1e300},
        {"participant_id": "CG-0017-4", "answers": {}, "year_of_birth": 10**400, "sex": "female", "added_s": 1.0},
    ],
)
def test_what_no_app_wrote_is_left_out_and_named(phone: Phone, study: Study, out: Path, content: Any) -> None:
    strange = phone.casebook.records.add("log_of_another", content)
    phone.casebook.records.add("withdrawal", content)
    written = phone.hand_over()
    with Received(out, study) as received, HandOverFile(written.path, [STUDY_PRIVATE]) as file:
        assert len(received.take(file).problems) == 1 and strange.id in received.records
        write_tables(received)


def test_cells_are_quoted_and_formulas_are_text() -> None:
    rows = iter([{"a": '=1+1,"x"', "b": -3.5}, {"a": "line\nbreak", "b": True}, {"b": None}])
    assert csv_text(("a", "b"), rows) == 'a,b\n"\'=1+1,""x""",-3.5\n"line\nbreak",true\n,\n'
