import base64
import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.study import CURVE_A, FIELD, PRACTICE_STUDY, Study, StudyError, check_update, practice_study, read_study
from core.bundle_files import archive_content
from core.signing import PublicKey, TrustPolicy
from tests.app.signed_studies import SIGNING_KEY, signature_over, study_members, write_study

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
FUZZED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cough.tussis-study"


def refuse(path: Path, content: bytes, match: str) -> None:
    path.write_bytes(content)
    with pytest.raises(StudyError, match=match) as refusal:
        read_study(path)
    assert "\n" not in str(refusal.value)


def edited(edit: Callable[[dict[str, Any]], object], **options: Any) -> bytes:
    return archive_content(study_members(edit, **options))


def test_the_practice_study_has_every_text_in_five_languages() -> None:
    study = practice_study()
    assert study.is_practice and study.languages == ("en", "fr", "sw", "pt", "es")
    assert [(task.kind, task.rounds) for task in study.tasks] == [
        ("room_noise", 1),
        ("coughs", 3),
        ("forced_breaths", 3),
    ]
    assert study.tasks[0].duration_s == 3
    texts = [study.title, study.consent.text, *study.next_steps.values()]
    texts += [text for task in study.tasks for text in (task.label, task.instruction)]
    texts += [question.label for question in study.questions]
    for text in texts:
        assert len({text(language) for language in study.languages}) == 5
    assert study.title("yo") == study.title("en")


def test_nobody_has_the_private_key_of_the_practice_study() -> None:
    sentence = b"Tussis practice study: nobody has the private key (1)"
    u = int.from_bytes(hashlib.sha256(sentence).digest(), "little") % 2**255
    assert pow(u**3 + CURVE_A * u * u + u, (FIELD - 1) // 2, FIELD) == 1, "it is a point of the curve"
    assert practice_study().handover_public_key == u.to_bytes(32, "little")


def test_a_signed_study_says_who_signed_it_and_what_it_is(path: Path) -> None:
    study = read_study(write_study(path, version=7))
    assert study.signature.signer == PublicKey(SIGNING_KEY.public_key().public_bytes_raw())
    assert (study.id, study.version, study.is_practice, study.signature.is_verified) == ("cough_study", 7, False, True)
    assert study.sha256 == hashlib.sha256(zipfile.ZipFile(path).read("study.json")).hexdigest()
    assert study.consent.text("sw") == (PRACTICE_STUDY / "consent/sw.txt").read_text(encoding="utf-8").strip()


def test_a_new_consent_text_in_one_language_changes_the_hash_of_the_consent(path: Path) -> None:
    before = read_study(write_study(path)).consent.sha256
    path.write_bytes(archive_content(study_members(consent={"sw": "Nakubali."})))
    after = read_study(path).consent
    assert after.text("sw") == "Nakubali." and after.sha256 != before


def test_answers_are_kept_as_the_questions_want_them() -> None:
    study = practice_study()
    answers = {"cough_for": "no_cough", "smokes": "no", "height_cm": 171.5, "remarks": ""}
    assert study.check_answers(answers) == {"cough_for": "no_cough", "smokes": "no", "height_cm": 171.5}
    for wrong, words in (
        ({"cough_for": "no_cough"}, "the question smokes has no answer"),
        (answers | {"smokes": "sometimes"}, 'the answer "sometimes" does not fit the question smokes'),
        (answers | {"height_cm": 9000}, "expected a number from 40 to 230"),
        (answers | {"height_cm": float("nan")}, "expected a number from 40 to 230"),
        (answers | {"remarks": "a\nb"}, "expected a line of at most 200 characters"),
        (answers | {"shoe_size": 44}, "no question of this study"),
    ):
        with pytest.raises(StudyError, match=words):
            study.check_answers(wrong)


def test_a_study_that_nobody_or_somebody_else_signed_is_refused(path: Path) -> None:
    members = study_members()
    unsigned = {name: content for name, content in members.items() if name != "SIGNATURE"}
    refuse(path, archive_content(unsigned), "is not signed; expected a signature")
    other = members | {"SIGNATURE": signature_over(b"another study", SIGNING_KEY)}
    refuse(path, archive_content(other), "study.json is not what was signed")
    path.write_bytes(archive_content(study_members(key=OTHER_KEY)))
    trust = TrustPolicy(trusted_keys=frozenset({PublicKey(SIGNING_KEY.public_key().public_bytes_raw())}))
    with pytest.raises(StudyError, match="expected a signature by SHA256:"):
        read_study(path, trust)
    assert read_study(write_study(path), trust).signature.is_trusted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, ""),
        ({"version": 1}, ""),
        ({"version": 1, "auto_lock_s": 60}, "says version 1 of cough_study and is another one"),
        ({"id": "other_study", "version": 2}, "of the study other_study; the phone holds records of cough_study"),
        ({"version": 0}, "expected a whole number from 1"),
        ({"is_practice": True, "version": 2}, "only one of the two versions of cough_study is for practice"),
    ],
)
def test_a_newer_version_of_the_same_study_follows(path: Path, change: dict[str, Any], words: str) -> None:
    present = read_study(write_study(path))
    if not words:
        check_update(present, read_study(write_study(path, **change)))
        return
    with pytest.raises(StudyError, match=words):
        check_update(present, read_study(write_study(path, **change)))


def test_neither_an_older_version_nor_one_of_another_signer_follows(path: Path) -> None:
    newer = read_study(write_study(path, version=3))
    with pytest.raises(StudyError, match="has version 1 of cough_study; the phone has version 3"):
        check_update(newer, read_study(write_study(path)))
    path.write_bytes(edited(lambda fields: fields.update(version=4), key=OTHER_KEY))
    with pytest.raises(StudyError, match=r"is signed by SHA256:.*the one here is signed by SHA256:"):
        check_update(newer, read_study(path))


@pytest.mark.parametrize(
    ("text", "named"), [("Consent 咳", r"U\+54B3 \(咳\)"), ("a\u200bb", r"U\+200B"), ("a\tb", r"U\+0009")]
)
def test_a_character_that_the_font_lacks_is_named(path: Path, text: str, named: str) -> None:
    words = "which the app's font does not have"
    refuse(path, archive_content(study_members(consent={"en": text})), rf"consent/en.txt holds {named}.*{words[6:]}")
    if text.isprintable():
        for edit in (lambda f: f["title"].update(fr=text), lambda f: f["questions"][0]["label"].update(sw=text)):
            refuse(path, edited(edit), rf"holds {named}.*{words[6:]}")


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.pop(key)


def key_of(raw: bytes) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.update(handover_public_key=base64.b64encode(raw).decode())


ORDER_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504
WRONG_FIELDS = [
    (without("id_pattern"), '"id_pattern" is missing'),
    (lambda f: f.update(schema="tussis.study/2"), '"schema" is "tussis.study/2"'),
    (lambda f: f.update(allow_screenshot=True), '"allow_screenshot" is unknown; expected schema, id'),
    (lambda f: f.update(id="../evil"), '"id" is "../evil"; expected 1 to 40 small letters'),
    (lambda f: f.update(languages=["en", "EN"]), '"languages" is a list of 2; expected different codes'),
    (lambda f: f.update(languages=["en"] * 2), "expected different codes"),
    (lambda f: f.update(languages=[["en"]]), "expected different codes"),
    (lambda f: f["title"].pop("sw"), '"title.sw" is missing'),
    (lambda f: f["title"].update(de="Studie"), '"title.de" is unknown; expected en, fr, sw, pt, es'),
    (lambda f: f["title"].update(en=" "), "expected a line of 1 to 80 characters"),
    (lambda f: f["consent"]["texts"].update(en="../en.txt"), 'lists the file "../en.txt"'),
    (lambda f: f["consent"]["texts"].update(en="consent/de.txt"), '"files.consent/de.txt" is missing'),
    (lambda f: f["files"].update({"consent/en.txt": "0" * 64}), "consent/en.txt was altered"),
    (lambda f: f["files"].update({"more.txt": "0" * 64}), '"files.more.txt" is unknown'),
    (lambda f: f["questions"][0].update(kind="essay"), r'"questions\[0\].kind" is "essay"'),
    (lambda f: f["questions"][0].update(choices=[]), r'"questions\[0\].choices" is a list of 0; expected at least two'),
    (lambda f: f["questions"][2].update(min=5, max=1), r'"questions\[2\].max" is 1; expected a number from 5'),
    (lambda f: f["questions"][2].update(min=float("nan")), "not valid JSON"),
    (lambda f: f["questions"][1].update(id="cough_for"), 'two of "questions" have the same id'),
    (lambda f: f.update(questions=f["questions"] * 10), '"questions" is a list of 40; expected a list of at most 30'),
    (lambda f: f.update(tasks=[]), "expected at least one task"),
    (lambda f: f["tasks"][0].update(min_coughs=3), r'"tasks\[0\].min_coughs" is 3; expected 0'),
    (lambda f: f["tasks"][1].update(duration_s=1e6), "expected a number from 1 to 120 s"),
    (lambda f: f["limits"].update(max_noise_dbfs=3), '"limits.max_noise_dbfs" is 3; expected a number from -90 to 0'),
    (lambda f: f["next_steps"].update(perfect={}), '"next_steps.perfect" is unknown'),
    (lambda f: f.update(id_pattern="####"), "expected up to six capital letters"),
    (lambda f: f.update(handover_public_key="not base64!"), "expected 32 bytes of X25519 in base64"),
    (key_of(bytes(31)), "expected 32 bytes of X25519 in base64"),
    (key_of(bytes(33)), "expected 32 bytes of X25519 in base64"),
    (key_of(bytes(32)), "anybody could open what this one seals"),
    (key_of((1).to_bytes(32, "little")), "anybody could open"),
    (key_of((FIELD - 1).to_bytes(32, "little")), "anybody could open"),
    (key_of((FIELD + 1).to_bytes(32, "little")), "anybody could open"),
    (key_of(ORDER_8.to_bytes(32, "little")), "anybody could open"),
    (lambda f: f.update(monitoring_keeps="everything"), "expected one of nothing, around_events"),
    (lambda f: f.update(auto_lock_s=10**400), '"auto_lock_s" is a number too large to use'),
]


@pytest.mark.parametrize(("edit", "words"), WRONG_FIELDS)
def test_a_field_that_is_not_what_it_should_be_is_named(path: Path, edit: Callable, words: str) -> None:
    refuse(path, edited(edit), words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../evil.txt", b"", "expected a path inside the bundle"),
        ("/etc/passwd", b"", "expected a path inside the bundle"),
        ("extra.txt", b"x", "extra.txt is not listed in study.json"),
        ("bundle.json", b"{}", "bundle.json is not listed in study.json"),
    ],
)
def test_a_file_that_does_not_belong_is_refused(path: Path, name: str, content: bytes, words: str) -> None:
    refuse(path, archive_content(study_members() | {name: content}), words)


def test_bombs_links_and_deep_json_are_refused_without_being_read(path: Path) -> None:
    members = study_members()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in (members | {"consent/en.txt": bytes(60 * 2**20)}).items():
            bomb.writestr(name, content)
    refuse(path, path.read_bytes(), "consent/en.txt has 62914560 bytes; expected at most 32768")
    for deep in (b'{"a":' * 100_000, b"[" * 100_000, b'{"schema": ' + b"9" * 10_000 + b"}"):
        signed = members | {"study.json": deep, "SIGNATURE": signature_over(deep)}
        refuse(path, archive_content(signed), "study.json is not valid JSON")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == "consent/en.txt" else 0
            archive.writestr(info, content)
    refuse(path, path.read_bytes(), "consent/en.txt is a link")
    refuse(path, bytes(3 * 2**20), "has 3145728 bytes; expected at most 2097152")
    refuse(path, b"", "not a zip")


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    for wrong in (tmp_path / "none.tussis-study", tmp_path, Path("a\0b")):
        with pytest.raises(StudyError, match=r"no such study file|cannot be read"):
            read_study(wrong)


# Values that a hostile study may hold in any place of study.json.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("consent/en.txt"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def read_or_refuse(path: Path, content: bytes) -> Study | None:
    """A study, or a refusal in one printable sentence; everything else is a crash and fails the test."""
    path.write_bytes(content)
    try:
        return read_study(path)
    except StudyError as refusal:
        assert "\n" not in str(refusal)
        return None


def places_in(value: Any, place: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] * bool(place) + [inner for key, item in items for inner in places_in(item, (*place, key))]


PLACES = places_in(json.loads(study_members()["study.json"]))


def put(fields: Any, place: tuple, value: Any) -> None:
    for key in place[:-1]:
        fields = fields[key]
    fields[place[-1]] = value


def fuzz_fields(path: Path, place: tuple, value: Any) -> None:
    content = edited(lambda fields: put(fields, place, value))
    if study := read_or_refuse(path, content):
        assert len(study.handover_public_key) == 32 and study.new_id(1) and study.consent.text("en")


def fuzz_bytes(path: Path, changes: list[tuple[float, int]], length: float) -> None:
    content = bytearray(GOOD)
    for place, byte in changes:
        content[int(place * (len(content) - 1))] ^= byte
    content = bytes(content[: max(1, int(length * len(content)))])
    study = read_or_refuse(path, content)
    assert study is None or study.sha256 == GOOD_SHA256, "an altered file must be refused, or be the same study"


GOOD = archive_content(study_members())
GOOD_SHA256 = hashlib.sha256(study_members()["study.json"]).hexdigest()
byte_changes = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4)


@pytest.mark.long
@settings(FUZZED, max_examples=200)
@given(place=st.sampled_from(PLACES), value=values)
def test_no_value_in_any_place_crashes_the_reader(path: Path, place: tuple, value: Any) -> None:
    fuzz_fields(path, place, value)


@settings(FUZZED, max_examples=200)
@given(changes=byte_changes, length=st.floats(0.9, 1))
def test_no_altered_byte_crashes_the_reader_or_passes(path: Path, changes: list, length: float) -> None:
    fuzz_bytes(path, changes, length)


@pytest.mark.slow
@settings(FUZZED, max_examples=5_000)
@given(place=st.sampled_from(PLACES), value=values)
def test_five_thousand_values_do_not_crash_the_reader(path: Path, place: tuple, value: Any) -> None:
    fuzz_fields(path, place, value)


@pytest.mark.slow
@settings(FUZZED, max_examples=5_000)
@given(changes=byte_changes, length=st.floats(0.9, 1))
def test_five_thousand_altered_files_do_not_crash_the_reader(path: Path, changes: list, length: float) -> None:
    fuzz_bytes(path, changes, length)
