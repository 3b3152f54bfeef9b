import base64
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.coordinator.handover_file import AlteredRecordError, HandOverFile
from app.crypto import hpke
from app.handover import END_MAGIC, HEADER, INDEX_INFO, MAGIC, TRAILER, HandOverError, key_id, write_handover
from app.records import Records
from app.sealed_audio import SealedAudioError
from app.study import read_study
from tests.app.opened_vault import STUDY_PRIVATE, STUDY_PUBLIC, new_vault
from tests.app.signed_studies import write_study

FUZZED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
REFUSALS = (HandOverError, AlteredRecordError, SealedAudioError)
OTHER_PRIVATE = bytes(range(1, 33))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A hand-over of three records, one of them with half a second of sound."""
    folder = tmp_path_factory.mktemp("phone")
    study = read_study(write_study(folder / "cough.tussis-study", STUDY_PUBLIC))
    records = Records(folder, new_vault(folder), STUDY_PUBLIC)
    records.add("participant", {"participant_id": "CG-0017-4"})
    recording = records.add("attempt", {"participant_id": "CG-0017-4"})
    writer = records.audio_writer(recording.id, 16_000)
    writer.append(np.arange(8_000, dtype=np.int16))
    writer.close()
    records.add("log", {"event": "started"})
    written = write_handover(records, study, folder / "card")
    records.close()
    return written.path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "phone7.tussis-handover"


def read_all(path: Path) -> list[tuple[dict[str, Any], np.ndarray | None]]:
    """Everything that a receiver reads."""
    with HandOverFile(path, [STUDY_PRIVATE]) as file:
        file.check()
        read = []
        for entry in file.entries:
            sound = None
            if entry.audio:
                with file.audio(entry, path.parent) as reader:
                    sound = reader.read()
            read.append((file.content(entry), sound))
        assert len(file.receipt) == 16
    return read


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(REFUSALS, match=words) as refusal:
        read_all(path)
    assert "\n" not in str(refusal.value)
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def sealed_index(index: object, private: bytes = STUDY_PRIVATE, payload: bytes = bytes(1000)) -> bytes:
    """A hand-over that says whatever a hostile phone wants it to say, sealed as it should be."""
    public = hpke.public_key(private)
    header = HEADER.pack(MAGIC, 1, key_id(public))
    plain = index if isinstance(index, bytes) else json.dumps(index).encode()
    sealed = hpke.seal(public, INDEX_INFO, header, plain)
    return header + payload + sealed + TRAILER.pack(len(sealed), END_MAGIC)


def index(**changes: Any) -> dict[str, Any]:
    part = {"at": HEADER.size, "n_bytes": 500, "sha256": hashlib.sha256(bytes(500)).hexdigest()}
    return {
        "schema": "tussis.handover/1",
        "id": "0123456789abcdef",
        "written_s": 1.8e9,
        "study": {"id": "cough_study", "version": 1, "sha256": "0" * 64},
        "is_practice": False,
        "last_sequence": 1,
        "receipt_secret": base64.b64encode(bytes(16)).decode(),
        "records": [{"id": "a" * 32, "kind": "attempt", "sequence": 1, "row": part, "audio": part}],
    } | changes


def record(**changes: Any) -> dict[str, Any]:
    return index(records=[index()["records"][0] | changes])


def test_a_whole_file_is_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read = read_all(path)
    assert [one for one, _ in read] == [{"participant_id": "CG-0017-4"}] * 2 + [{"event": "started"}]
    assert np.array_equal(read[1][1], np.arange(8_000))


def test_another_key_of_the_study_opens_what_was_sealed_for_it(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with HandOverFile(path, [OTHER_PRIVATE, STUDY_PRIVATE]) as file:
        assert file.content(file.entries[0]) == {"participant_id": "CG-0017-4"}
    with pytest.raises(HandOverError, match="it belongs to another study, or was altered"):
        HandOverFile(path, [OTHER_PRIVATE])


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda content: b"", "has 0 bytes only"),
        (lambda content: content[:20], "is no hand-over"),
        (lambda content: content[:-1], "is cut short or was altered"),
        (lambda content: content[: len(content) // 2], "is cut short or was altered"),
        (lambda content: content + b"\0", "is cut short or was altered"),
        (lambda content: b"RIFF" + content[4:], "expected a file that an app of Tussis wrote"),
        (lambda content: content[:8] + b"\2" + content[9:], "is of version 2; this Tussis knows version 1"),
        (lambda content: content[:10] + b"??" + content[12:], "belongs to another study, or was altered"),
        (lambda content: content[:-16] + bytes(8) + END_MAGIC, "is cut short or was altered"),
        (lambda content: content[:-16] + b"\xff" * 8 + END_MAGIC, "is cut short or was altered"),
        (lambda content: content[:100] + bytes(4) + content[104:], "was altered, or is damaged; hand over again"),
        (lambda content: content[:-100] + bytes(4) + content[-96:], "was altered, or is damaged; hand over again"),
    ],
)
def test_what_was_cut_or_altered_is_refused(path: Path, content: bytes, cut: Callable, words: str) -> None:
    refused(path, cut(content), words)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "expected an object"),
        ({}, '"schema" is missing'),
        (index(id="../../evil"), '"id" is "../../evil"'),
        (index(records=[]), '"records" is a list of 0'),
        (index(records=["x"]), "is no object"),
        (index(records=index()["records"] * 2), "names a record twice"),
        (index(receipt_secret="AA=="), "expected 16 bytes in base64"),
        (index(study={"id": "x", "version": 1}), '"study.sha256" is missing'),
        (record(id="../evil"), r'"records\[0\].id" is "../evil"'),
        (record(kind="a/b"), r'"records\[0\].kind"'),
        (record(sequence=-1), "expected a whole number from 1"),
        (record(row={"at": 0, "n_bytes": 5, "sha256": "0" * 64}), r'"records\[0\].row.at" is 0'),
        (record(row={"at": 17, "n_bytes": 10**12, "sha256": "0" * 64}), "expected a whole number from 0 to 1000"),
        (record(audio={"at": 1017, "n_bytes": 1, "sha256": "0" * 64}), r'"records\[0\].audio.n_bytes" is 1'),
        (record(audio=None), r'"records\[0\].audio" is null'),
        (index(), "none of the keys opens the record a{32}"),
        (record(row={"at": 17, "n_bytes": 5, "sha256": "0" * 64}), "the record a{32} was altered"),
    ],
)
def test_a_hostile_index_is_refused(path: Path, told: object, words: str) -> None:
    refused(path, sealed_index(told), words)


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    for wrong in (tmp_path / "none", tmp_path, Path("a\0b")):
        with pytest.raises(HandOverError, match="cannot be read"):
            HandOverFile(wrong, [STUDY_PRIVATE])


def fuzz(path: Path, content: bytes, changes: list[tuple[float, int]], length: float) -> None:
    altered = bytearray(content)
    for place, byte in changes:
        altered[int(place * (len(content) - 1))] ^= byte
    path.write_bytes(altered[: int(length * len(content))])
    try:
        read = read_all(path)
    except REFUSALS as refusal:
        assert "\n" not in str(refusal)
    else:
        assert bytes(altered) == content and length == 1 and len(read) == 3, "an altered file was taken"


byte_changes = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4)


@settings(FUZZED, max_examples=200)
@given(changes=byte_changes, length=st.sampled_from([1.0, 1.0, 0.99, 0.5]))
def test_no_altered_byte_passes_or_crashes(path: Path, content: bytes, changes: list, length: float) -> None:
    fuzz(path, content, changes, length)


@pytest.mark.slow
@settings(FUZZED, max_examples=5_000)
@given(changes=byte_changes, length=st.floats(0, 1))
def test_five_thousand_altered_files_neither_pass_nor_crash(
    path: Path, content: bytes, changes: list, length: float
) -> None:
    fuzz(path, content, changes, length)


def hostile_values(source: random.Random) -> Iterator[Any]:
    while True:
        yield source.choice([None, True, -1, 0, 1, 17, 10**30, 1e308, "", "../x", "a" * 300, [], {}, [[]], {"at": 1}])


@pytest.mark.parametrize("n_cases", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_no_value_of_the_index_crashes_the_reader(path: Path, n_cases: int) -> None:
    source = random.Random(0)
    values = hostile_values(source)
    for _ in range(n_cases):
        told = index()
        place: Any = told
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = source.choice(keys)
            if source.random() < 0.5 or not isinstance(place[key], dict | list):
                place[key] = next(values)
                break
            place = place[key]
        path.write_bytes(sealed_index(told))
        with pytest.raises(REFUSALS):
            read_all(path)
