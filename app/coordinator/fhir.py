"""Writes what was received as one FHIR R4 bundle, in which what could not be judged has no value."""

import base64
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from app.cases.facts import Participant
from app.coordinator.contents import Agreement, ProbeOutcome, Recorded
from app.coordinator.received import KeptRecord, Received
from app.coordinator.tables import Opened, last_consents, opened_records, utc
from app.sealed_audio import ALTERED, COMPLETE, UNFINISHED
from app.studies.study_parts import UNJUDGED
from app.study import Study
from core.files import write_atomically
from core.probes import Decision

FILE_NAME = "fhir_bundle.json"
NAMESPACE = uuid.UUID("6f5b1c0e-6d0f-5a51-9a52-6e0b7c5f3d11")
HL7 = "http://terminology.hl7.org/CodeSystem/"
PRACTICE = {"security": [{"system": f"{HL7}v3-ActReason", "code": "HTEST", "display": "test health data"}]}
MEDIA_STATUS = {COMPLETE: "completed", UNFINISHED: "stopped", ALTERED: "unknown"}
OBSERVATION_STATUS = {"kept": "final", "kept_with_reason": "final", "unfinished": "preliminary", "altered": "unknown"}
DEMONSTRATION = "demonstration"
Resource = dict[str, Any]


def write_fhir(received: Received) -> None:
    """Write ``fhir_bundle.json`` anew; OutputError where that fails."""
    text = json.dumps(fhir_bundle(received), indent=1, ensure_ascii=False) + "\n"
    write_atomically(received.folder / FILE_NAME, text)


def fhir_bundle(received: Received) -> Resource:
    """A bundle of the type collection.

    A Patient has an id and no name. Media are the WAV files. An Observation is a count of coughs, a probe's outcome or
    an answer; its ``dataAbsentReason`` says why there is no value. A Device is a model by its hash. A Provenance names
    the hand-over that brought the rest. Practice is labelled as test data. A demonstration probe is left out.
    """
    opened = opened_records(received)
    writer = _Writer(received.study, opened)
    resources = [*writer.people(opened), *writer.recordings(opened), *writer.provenances(opened, received)]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": utc(time.time()),
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources],
    }


class _Writer:
    """Makes the resources of one study; the same record always has the same id."""

    def __init__(self, study: Study, opened: Opened):
        self._study = study
        self._system = f"urn:tussis:study:{study.id}"
        self._made: dict[str, list[str]] = {}  # what came with each hand-over, for its provenance
        persons = [(record, said) for record, said in opened if isinstance(said, Participant)]
        self._people = {said.participant_id: (record, said) for record, said in reversed(persons)}

    def people(self, opened: Opened) -> Iterator[Resource]:
        """Patients, their consents and answers."""
        for record, said in self._people.values():
            yield self._patient(record, said)
            yield from self._answers(record, said)
        consents = last_consents(opened)
        for record, said in opened:
            if isinstance(said, Agreement):
                yield self._consent(record, said, is_last=consents[said.participant_id] is said)

    def recordings(self, opened: Opened) -> Iterator[Resource]:
        """Models, media and what was observed in them."""
        models = dict.fromkeys(said.bundle for _, said in opened if isinstance(said, Recorded) and said.bundle[1])
        yield from (self._device(name, sha256) for name, sha256 in models)
        for record, said in opened:
            if isinstance(said, Recorded):
                media = self._media(record, said)
                yield from media
                yield from self._observations(record, said, bool(media))

    def provenances(self, opened: Opened, received: Received) -> Iterator[Resource]:
        """One for each hand-over that brought something that is still there."""
        for handover_id, made in self._made.items():
            facts = received.handovers.get(handover_id, {})
            source = {"system": "urn:tussis:handover", "value": handover_id}
            yield self._resource("Provenance", handover_id, self._study.is_practice) | {
                "target": [{"reference": f"urn:uuid:{resource_id}"} for resource_id in made],
                "occurredDateTime": utc(facts.get("written_s", 0.0)),
                "recorded": utc(facts.get("received_s", 0.0)),
                "activity": {"text": "Handed over from a phone and received at a workstation."},
                "agent": [{"who": {"display": f"Coordinator of the study {self._study.id}"}}],
                "entity": [{"role": "source", "what": {"identifier": source}}],
            }

    def _patient(self, record: KeptRecord, said: Participant) -> Resource:
        return self._made_by(record, "Patient", said.participant_id, said.is_practice) | {
            "identifier": [{"system": f"{self._system}:participant", "value": said.participant_id}],
            "gender": said.sex,
            "birthDate": f"{said.year_of_birth:04d}",
        }

    def _consent(self, record: KeptRecord, said: Agreement, is_last: bool) -> Resource:
        text = f"Text of the consent, version {said.version}, SHA-256 {said.sha256}, read in {said.language}."
        return self._made_by(record, "Consent", record.id, said.is_practice) | {
            "status": "active" if is_last else "inactive",
            "scope": _concept(f"{HL7}consentscope", "research"),
            "category": [_concept(f"{HL7}consentcategorycodes", "research")],
            "patient": self._subject(said.participant_id),
            "dateTime": utc(said.given_s),
            "policyRule": {"text": text},
        }

    def _answers(self, record: KeptRecord, said: Participant) -> Iterator[Resource]:
        questions = {question.id: question for question in self._study.questions}
        for key, answer in said.answers.items():
            question = questions.get(key)
            label = question.label(self._study.languages[0]) if question else key
            yield self._made_by(record, "Observation", f"{record.id}:{key}", said.is_practice) | {
                "status": "final",
                "category": [_concept(f"{HL7}observation-category", "survey")],
                "code": _concept(f"{self._system}:question", key, label),
                "subject": self._subject(said.participant_id),
                "effectiveDateTime": utc(said.added_s),
                **self._answer(key, answer),
            }

    def _answer(self, key: str, answer: str | float) -> Resource:
        choices = [choice for one in self._study.questions if one.id == key for choice in one.choices]
        for choice in choices:
            if choice.id == answer:
                label = choice.label(self._study.languages[0])
                return {"valueCodeableConcept": _concept(f"{self._system}:question:{key}", choice.id, label)}
        if isinstance(answer, str):
            return {"valueString": answer} if answer else {"dataAbsentReason": _absent("asked-unknown", "No answer.")}
        return {"valueQuantity": {"value": answer}}

    def _device(self, name: str, sha256: str) -> Resource:
        return self._resource("Device", sha256, self._study.is_practice) | {
            "identifier": [{"system": "urn:tussis:model:sha256", "value": sha256}],
            "deviceName": [{"name": name, "type": "user-friendly-name"}],
            "type": {"text": "Model that screens recordings for coughs"},
        }

    def _media(self, record: KeptRecord, said: Recorded) -> list[Resource]:
        """The sound; none where there is no file. A redone attempt is there too, and says so."""
        sound = record.sound
        if sound is None or not sound.file:
            return []
        notes = [f"The sound is {sound.state}."] if sound.state != COMPLETE else []
        notes += [f"The attempt is {said.state}." + f" {said.reason}".rstrip()] if said.state != "kept" else []
        notes += list(said.notes)
        media = self._made_by(record, "Media", record.id, said.is_practice) | {
            "status": MEDIA_STATUS[sound.state],
            "type": _concept(f"{HL7}media-type", "audio", "Audio"),
            "reasonCode": [_concept(f"{self._system}:task", said.task_id)],
            "createdDateTime": utc(said.started_s),
            "duration": round(sound.duration_s, 3),
            "content": {
                "contentType": "audio/wav",
                "url": sound.file,
                "size": sound.n_bytes,
                "hash": base64.b64encode(bytes.fromhex(sound.sha1)).decode(),
            },
            **self._of(said.participant_id),
            **({"note": [{"text": note} for note in notes]} if notes else {}),
        }
        return [media | ({"deviceName": said.microphone[:200]} if said.microphone else {})]

    def _observations(self, record: KeptRecord, said: Recorded, has_media: bool) -> Iterator[Resource]:
        """What was heard in a kept attempt; a redone one was replaced by another and gives none."""
        if said.state not in OBSERVATION_STATUS or said.task_id not in self._cough_tasks() | self._breath_tasks():
            return
        if said.task_id in self._cough_tasks():
            code = {"text": "Number of coughs in the recording"}
            yield self._observation(record, said, "coughs", code, has_media) | _cough_value(said)
        for probe in said.probes:
            if probe.status != DEMONSTRATION:
                code = {"text": f"Probe {probe.name} ({probe.status})"}
                observation = self._observation(record, said, f"probe:{probe.name}", code, has_media)
                is_final = probe.status == "validated" and observation["status"] == "final"
                status = "final" if is_final else "preliminary"
                yield observation | {"status": status} | _probe_value(probe, said)

    def _observation(self, record: KeptRecord, said: Recorded, what: str, code: Resource, has_media: bool) -> Resource:
        media = [{"reference": f"urn:uuid:{self._id('Media', record.id)}"}] if has_media else []
        device = {"device": {"reference": f"urn:uuid:{self._id('Device', said.bundle[1])}"}} if said.bundle[1] else {}
        return self._made_by(record, "Observation", f"{record.id}:{what}", said.is_practice) | {
            "status": OBSERVATION_STATUS[said.state],
            "code": code,
            "effectiveDateTime": utc(said.started_s),
            **self._of(said.participant_id),
            **device,
            **({"derivedFrom": media} if media else {}),
        }

    def _cough_tasks(self) -> set[str]:
        return {task.id for task in self._study.tasks if task.kind == "coughs"}

    def _breath_tasks(self) -> set[str]:
        return {task.id for task in self._study.tasks if task.kind == "forced_breaths"}

    def _of(self, participant_id: str) -> Resource:
        return {"subject": self._subject(participant_id)} if participant_id else {}

    def _subject(self, participant_id: str) -> Resource:
        """A reference to the Patient, or the id alone where the participant was not handed over."""
        if participant_id in self._people:
            return {"reference": f"urn:uuid:{self._id('Patient', participant_id)}"}
        return {"identifier": {"system": f"{self._system}:participant", "value": participant_id}}

    def _made_by(self, record: KeptRecord, kind: str, name: str, is_practice: bool) -> Resource:
        resource = self._resource(kind, name, is_practice)
        self._made.setdefault(record.handover_id, []).append(resource["id"])
        return resource

    def _resource(self, kind: str, name: str, is_practice: bool) -> Resource:
        meta = {"meta": PRACTICE} if is_practice else {}
        return {"resourceType": kind, "id": self._id(kind, name), **meta}

    def _id(self, kind: str, name: str) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self._study.id}/{kind}/{name}"))


def _cough_value(said: Recorded) -> Resource:
    verdict = said.verdict
    if verdict is None:
        return {"dataAbsentReason": _absent("not-performed", "The recording was not screened.")}
    if verdict.coughs is None or verdict.outcome == UNJUDGED:
        return {"dataAbsentReason": _absent("unknown", _unjudged(verdict.reasons))}
    return {"valueInteger": verdict.coughs}


def _probe_value(probe: ProbeOutcome, said: Recorded) -> Resource:
    is_judged = said.verdict is not None and said.verdict.outcome != UNJUDGED
    if not is_judged:
        reasons = said.verdict.reasons if said.verdict else ()
        return {"dataAbsentReason": _absent("unknown", _unjudged(reasons))}
    if probe.decision == Decision.UNSCORED.value or (probe.decision is None and probe.score is None):
        return {"dataAbsentReason": _absent("unknown", f"Unscored. {probe.reason}".strip())}
    if probe.decision is not None:
        return {"valueCodeableConcept": {"text": probe.decision}}
    return {"valueQuantity": {"value": probe.score, **({"unit": probe.unit} if probe.unit else {})}}


def _unjudged(reasons: tuple[str, ...]) -> str:
    return f"Could not be judged: {', '.join(reasons) or 'no reason was given'}. This is not a negative result."


def _absent(code: str, text: str) -> Resource:
    return _concept(f"{HL7}data-absent-reason", code) | {"text": text}


def _concept(system: str, code: str, display: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}
