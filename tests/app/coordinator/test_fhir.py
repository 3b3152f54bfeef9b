import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from app.coordinator.fhir import write_fhir
from app.coordinator.handover_file import HandOverFile
from app.coordinator.received import Received
from app.study import Study, read_study
from tests.app.coordinator.conftest import MODEL_SHA256, SOUND, UNJUDGED, Phone
from tests.app.opened_vault import STUDY_PRIVATE, STUDY_PUBLIC
from tests.app.signed_studies import write_study

Resources = list[dict[str, Any]]


def bundle_of(phone: Phone, study: Study, out: Path) -> dict[str, Any]:
    """The FHIR bundle of a hand-over of now, which another library finds valid and the same."""
    library = pytest.importorskip("fhir.resources.R4B.bundle")
    with Received(out, study) as received, HandOverFile(phone.hand_over().path, [STUDY_PRIVATE]) as file:
        received.take(file)
        write_fhir(received)
    text = (out / "fhir_bundle.json").read_text(encoding="utf-8")
    read = json.loads(library.Bundle.model_validate_json(text).model_dump_json())
    assert len(read["entry"]) == len(json.loads(text)["entry"])
    urls = {entry["fullUrl"] for entry in read["entry"]}
    assert len(urls) == len(read["entry"]), "each resource stands once"
    assert references(read) <= urls, "each reference leads to a resource of the bundle"
    return json.loads(text)


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for item in value for found in references(item)}
    if isinstance(value, dict):
        own = {value["reference"]} if "reference" in value else set()
        return own | {found for item in value.values() for found in references(item)}
    return set()


def of(bundle: dict[str, Any], kind: str) -> Resources:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def coughs(bundle: dict[str, Any]) -> Resources:
    return [one for one in of(bundle, "Observation") if one["code"].get("text") == "Number of coughs in the recording"]


def test_a_day_becomes_a_valid_bundle_without_a_name(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant(17, height_cm=171)
    phone.recording(participant_id, "room_noise")
    recording = phone.recording(participant_id)
    bundle = bundle_of(phone, study, out)
    [patient] = of(bundle, "Patient")
    assert patient["identifier"][0]["value"] == participant_id and "name" not in patient
    assert (patient["gender"], patient["birthDate"]) == ("female", "1980")
    [consent] = of(bundle, "Consent")
    assert consent["status"] == "active" and study.consent.sha256 in consent["policyRule"]["text"]
    media = {one["content"]["url"]: one for one in of(bundle, "Media")}
    assert len(media) == 2
    content = (out / f"recordings/{recording}.wav").read_bytes()
    told = media[f"recordings/{recording}.wav"]
    assert told["content"]["size"] == len(content) and (told["status"], told["duration"]) == ("completed", 1.0)
    assert base64.b64decode(told["content"]["hash"]) == hashlib.sha1(content).digest()
    [device] = of(bundle, "Device")
    assert device["identifier"][0]["value"] == MODEL_SHA256
    [count] = coughs(bundle)
    assert (count["status"], count["valueInteger"]) == ("final", 3)
    assert count["device"]["reference"] == f"urn:uuid:{device['id']}"
    [provenance] = of(bundle, "Provenance")
    assert len(provenance["target"]) == len(bundle["entry"]) - 2
    assert "meta" not in patient


def test_answers_have_the_words_of_the_study(phone: Phone, study: Study, out: Path) -> None:
    phone.participant(17, height_cm=171)
    answers = {one["code"]["coding"][0]["code"]: one for one in of(bundle_of(phone, study, out), "Observation")}
    assert answers["smokes"]["valueCodeableConcept"]["coding"][0]["display"] == "Yes"
    assert answers["smokes"]["code"]["coding"][0]["display"] == "Do you smoke?"
    assert answers["height_cm"]["valueQuantity"] == {"value": 171}


def test_what_could_not_be_judged_has_no_value_and_says_that_it_is_no_negative_result(
    phone: Phone, study: Study, out: Path
) -> None:
    phone.recording(phone.participant(), verdict=UNJUDGED | {"coughs": 0})
    observations = [one for one in of(bundle_of(phone, study, out), "Observation") if "category" not in one]
    assert len(observations) == 3
    for observation in observations:
        assert not any(key.startswith("value") for key in observation)
        said = observation["dataAbsentReason"]
        assert said["coding"][0]["code"] == "unknown" and "too_noisy. This is not a negative result." in said["text"]


def test_a_probe_tells_its_status_and_a_demonstration_is_no_observation(phone: Phone, study: Study, out: Path) -> None:
    phone.recording(phone.participant())
    observations = of(bundle_of(phone, study, out), "Observation")
    probes = {one["code"]["text"]: one for one in observations if one["code"].get("text", "").startswith("Probe")}
    assert set(probes) == {"Probe tb (validated)", "Probe spirometry (research)"}
    assert probes["Probe tb (validated)"]["valueCodeableConcept"] == {"text": "refer"}
    assert probes["Probe tb (validated)"]["status"] == "final"
    assert probes["Probe spirometry (research)"]["status"] == "preliminary"
    assert probes["Probe spirometry (research)"]["valueQuantity"] == {"value": 2.7, "unit": "p"}


def test_an_unscored_probe_and_an_unscreened_recording_have_a_reason(phone: Phone, study: Study, out: Path) -> None:
    unscored = {
        "name": "tb",
        "status": "research",
        "decision": "unscored",
        "score": None,
        "unit": "p",
        "reason": "Few.",
    }
    participant_id = phone.participant()
    phone.recording(participant_id, screening={"probes": [unscored]})
    phone.recording(participant_id, round=2, screening=None, verdict=None)
    bundle = bundle_of(phone, study, out)
    [observed] = [one for one in of(bundle, "Observation") if one["code"].get("text") == "Probe tb (research)"]
    assert observed["dataAbsentReason"]["text"] == "Unscored. Few."
    reasons = [one.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code") for one in coughs(bundle)]
    assert reasons == [None, "not-performed"]


def test_unfinished_and_redone_attempts_are_media_of_their_own_status(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant()
    phone.recording(participant_id, state="redone")
    attempt = phone.casebook.begin_attempt(participant_id, "coughs", 2, 16_000, {})
    attempt.append(SOUND)
    bundle = bundle_of(phone, study, out)
    attempt.close()
    assert [one["status"] for one in of(bundle, "Media")] == ["completed", "stopped"]
    assert of(bundle, "Media")[0]["note"] == [{"text": "The attempt is redone."}]
    assert [one["status"] for one in coughs(bundle)] == ["preliminary"]


def test_a_withdrawn_consent_is_inactive_and_its_recordings_are_gone(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant()
    phone.recording(participant_id)
    assert len(of(bundle_of(phone, study, out), "Media")) == 1
    phone.casebook.withdraw(participant_id)
    bundle = bundle_of(phone, study, out)
    assert of(bundle, "Consent")[0]["status"] == "inactive"
    assert not of(bundle, "Media") and not coughs(bundle)


def test_practice_is_labelled_as_test_data_everywhere(tmp_path: Path, out: Path) -> None:
    study = read_study(write_study(tmp_path / "practice.tussis-study", STUDY_PUBLIC, is_practice=True))
    phone = Phone(tmp_path / "phone", study)
    phone.recording(phone.participant())
    bundle = bundle_of(phone, study, out)
    phone.casebook.records.close()
    labels = [entry["resource"]["meta"]["security"][0]["code"] for entry in bundle["entry"]]
    assert labels == ["HTEST"] * len(labels) and len(labels) > 5
