"""Reads a study file, the one place that settings of field work come from, and trusts nothing in it."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from app.studies.participant_id import PATTERN, PATTERN_WORDS, IdPattern
from app.studies.study_parts import (
    LANGUAGE,
    MAX_TITLE,
    ConsentText,
    Limits,
    Question,
    StudyError,
    StudyFields,
    Task,
    Text,
    name,
    only,
    refuse_missing,
    switch,
)
from core.bundle_files import SIGNATURE_FILE, ArchiveFiles, BundleFiles, FolderFiles, check_size, is_safe_path
from core.errors import BundleError
from core.json_fields import Fields, parse_object, shorten
from core.signing import ANYBODY, Signature, TrustPolicy, check_signature

SCHEMA = "tussis.study/1"
STUDY_FILE, STUDY_SUFFIX = "study.json", ".tussis-study"
PRACTICE_STUDY = Path(__file__).parent / "practice_study"
MAX_STUDY_BYTES, MAX_JSON_BYTES, MAX_CONSENT_BYTES, MAX_SIGNATURE_BYTES = 2**21, 2**19, 2**15, 2**10
MAX_LANGUAGES, MAX_VERSION = 40, 1_000_000
KEPT_BY_MONITORING = ("nothing", "around_events")
KEY_BYTES = 32
FIELD, CURVE_A = 2**255 - 19, 486_662  # of Curve25519, RFC 7748, section 4.1
KEYS = (
    *("schema", "id", "version", "is_practice", "languages", "title", "consent", "files", "questions", "tasks"),
    *("limits", "next_steps", "id_pattern", "handover_public_key", "allow_screenshots", "monitoring_keeps"),
    "auto_lock_s",
)


@dataclass(frozen=True)
class Study:
    """A checked study; ``sha256`` is that of study.json, which holds the SHA-256 of each consent text.

    ``languages`` are codes such as ``"sw"``, the first one being what texts fall back to. ``handover_public_key`` is
    32 bytes of X25519. ``monitoring_keeps`` is ``"nothing"`` or ``"around_events"``. ``next_steps`` holds texts by
    outcome: good, poor, could_not_be_judged, refer, not_referred.
    """

    id: str
    version: int
    sha256: str
    is_practice: bool
    signature: Signature
    languages: tuple[str, ...]
    title: Text
    consent: ConsentText
    questions: tuple[Question, ...]
    tasks: tuple[Task, ...]
    limits: Limits
    next_steps: dict[str, Text]
    id_pattern: IdPattern
    handover_public_key: bytes
    allow_screenshots: bool
    monitoring_keeps: str
    auto_lock_s: int

    def new_id(self, serial: int) -> str:
        """The participant id of a serial number from 1 on; IdError where it is out of range."""
        return self.id_pattern.new_id(serial)

    def check_id(self, text: str) -> str:
        """The participant id that was typed, in its one form; IdError where it is none or its check digit is wrong."""
        return self.id_pattern.check(text)

    def check_answers(self, answers: Mapping[str, Any]) -> dict[str, Any]:
        """The answers by their question's id, as they are kept; StudyError where one is missing, unknown or wrong."""
        questions = {question.id: question for question in self.questions}
        for key in answers:
            if key not in questions:
                raise StudyError(f"there is an answer to {shorten(key)}, which is no question of this study.")
        for question in self.questions:
            if question.required and answers.get(question.id) in (None, ""):
                raise StudyError(f"the question {question.id} has no answer; this study requires one.")
        given = {key: answer for key, answer in answers.items() if answer not in (None, "")}
        return {key: questions[key].check(answer) for key, answer in given.items()}

    def task(self, task_id: str) -> Task:
        """The task of this id; StudyError where there is none."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise StudyError(f"{shorten(task_id)} is no task of the study {self.id}.")


def read_study(path: Path, trust: TrustPolicy = ANYBODY) -> Study:
    """Open a study file and check all of it; nothing is unpacked to the disk.

    Parameters
    ----------
    path : Path
        A zip of study.json, its SIGNATURE and the consent texts, at most 2 MiB.
    trust : TrustPolicy
        Whose signature is taken; a study file is always signed, by default by anybody.

    Raises
    ------
    StudyError
        With a sentence that names the file and what is wrong in it.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise StudyError(f"{path}: there is no such study file.")
        check_size(path, path.stat().st_size, MAX_STUDY_BYTES)
        with ArchiveFiles(path, STUDY_FILE) as files:
            return parse_study(files, replace(trust, require_signature=True))
    except BundleError as reason:
        raise StudyError(str(reason)) from reason
    except (OSError, ValueError) as reason:
        raise StudyError(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}.") from reason


@cache
def practice_study() -> Study:
    """The study that comes with the app; every record made under it is practice for ever.

    Nobody has the private key to its hand-overs: a hand-over can be tried, and stays closed.
    """
    return read_draft(PRACTICE_STUDY)


def read_draft(folder: Path) -> Study:
    """The same of a study's folder, signed or not, before it is one file."""
    try:
        with FolderFiles(folder, STUDY_FILE) as files:
            return parse_study(files, ANYBODY)
    except BundleError as reason:
        raise StudyError(str(reason)) from reason


def check_update(present: Study, new: Study) -> None:
    """Refuse a study file that may not follow the one that a phone has.

    Raises
    ------
    StudyError
        If it is another study, signed by another key, older, another file of the same version, or turns practice into
        earnest or the reverse.
    """
    if new.id != present.id:
        raise StudyError(f"this file is of the study {new.id}; the phone holds records of {present.id}.")
    if new.signature.signer != present.signature.signer:
        raise StudyError(f"this file of {new.id} is {new.signature.words}; the one here is {present.signature.words}.")
    if new.version < present.version:
        raise StudyError(f"this file has version {new.version} of {new.id}; the phone has version {present.version}.")
    if new.version == present.version and new.sha256 != present.sha256:
        raise StudyError(
            f"this file says version {new.version} of {new.id} and is another one; it needs a new version."
        )
    if new.is_practice != present.is_practice:
        raise StudyError(f"only one of the two versions of {new.id} is for practice; give the other another id.")


def parse_study(files: BundleFiles, trust: TrustPolicy) -> Study:
    """Check a study's files; BundleError or StudyError names what is wrong."""
    content = files.read(STUDY_FILE, MAX_JSON_BYTES)
    signature = files.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES) if files.holds(SIGNATURE_FILE) else None
    signed = check_signature(signature, content, files.path, trust, STUDY_FILE)
    fields = parse_object(content, str(files.path / STUDY_FILE), StudyError)
    fields.one_of("schema", (SCHEMA,))
    only(fields, KEYS)
    languages = _languages(fields)
    parts, consent = StudyFields(fields, languages), _consent(files, fields, languages)
    return Study(
        id=name(fields, "id"),
        version=fields.integer("version", 1, MAX_VERSION),
        sha256=hashlib.sha256(content).hexdigest(),
        is_practice=switch(fields, "is_practice"),
        signature=signed,
        languages=languages,
        title=parts.text(fields, "title", MAX_TITLE),
        consent=consent,
        questions=parts.questions(),
        tasks=parts.tasks(),
        limits=parts.limits(),
        next_steps=parts.next_steps(),
        id_pattern=_id_pattern(fields),
        handover_public_key=_public_key(fields),
        allow_screenshots=switch(fields, "allow_screenshots"),
        monitoring_keeps=fields.one_of("monitoring_keeps", KEPT_BY_MONITORING),
        auto_lock_s=fields.integer("auto_lock_s", 15, 3600),
    )


def _languages(fields: Fields) -> tuple[str, ...]:
    given = fields.values.get("languages")
    if not (isinstance(given, list) and 1 <= len(given) <= MAX_LANGUAGES):
        fields.refuse("languages", f"a list of 1 to {MAX_LANGUAGES} language codes")
    if not all(isinstance(code, str) and LANGUAGE.fullmatch(code) for code in given) or len(set(given)) < len(given):
        fields.refuse("languages", "different codes such as en or pt_BR")
    return tuple(given)


def _consent(files: BundleFiles, fields: Fields, languages: tuple[str, ...]) -> ConsentText:
    consent, hashes = fields.object("consent"), fields.object("files")
    only(consent, ("version", "texts"))
    paths = consent.object("texts")
    only(paths, languages)
    chosen = {language: paths.text(language) for language in languages}
    for path in chosen.values():
        if not is_safe_path(path):
            raise StudyError(f"{fields.source} lists the file {shorten(path)}; expected one such as consent/en.txt.")
        hashes.sha256(path)
    only(hashes, chosen.values())
    files.refuse_unlisted(hashes.values)
    texts = {language: _consent_text(files, path, hashes.sha256(path)) for language, path in chosen.items()}
    together = "".join(f"{language} {hashes.sha256(path)}\n" for language, path in sorted(chosen.items()))
    return ConsentText(consent.text("version", 20), hashlib.sha256(together.encode()).hexdigest(), Text(texts))


def _consent_text(files: BundleFiles, path: str, sha256: str) -> str:
    content = files.read_checked(path, sha256, MAX_CONSENT_BYTES)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as reason:
        raise StudyError(f"{files.path / path} is not UTF-8; save it as UTF-8.") from reason
    if not text:
        raise StudyError(f"{files.path / path} is empty; expected the text of the consent.")
    refuse_missing(text, str(files.path / path))
    return text


def _id_pattern(fields: Fields) -> IdPattern:
    given = fields.text("id_pattern", 20)
    if not PATTERN.fullmatch(given):
        fields.refuse("id_pattern", PATTERN_WORDS)
    return IdPattern(given)


def _public_key(fields: Fields) -> bytes:
    """The key of the hand-over: 32 bytes, and none under which anybody could read what is sealed."""
    try:
        key = base64.b64decode(fields.text("handover_public_key", 64), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        fields.refuse("handover_public_key", f"{KEY_BYTES} bytes of X25519 in base64")
    if _is_of_small_order(key):
        fields.refuse("handover_public_key", "a key that seals; anybody could open what this one seals")
    return key


def _is_of_small_order(key: bytes) -> bool:
    """Whether eight times the point is the neutral one: three doublings by its u alone (RFC 7748, section 5)."""
    u, z = int.from_bytes(key, "little") % 2**255 % FIELD, 1
    for _ in range(3):
        u, z = (u * u - z * z) ** 2 % FIELD, 4 * u * z * (u * u + CURVE_A * u * z + z * z) % FIELD
    return z == 0
