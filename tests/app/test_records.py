"""Checks that records outlive locks, kills, full disks and lost passcodes, and that what was erased is nowhere."""

import base64
import sqlite3
import threading

import numpy as np
import pytest

from app.data_folder import FolderInUseError
from app.records import FILE_NAME, Record, Records
from app.sealed_audio import COMPLETE, SealedAudioError
from app.storage.database import RecordsError
from app.storage.sealed_rows import key_for_study, open_row
from app.vault import EarlierMasterKeyError, LockedError
from tests.app.opened_vault import PASSCODE, STUDY_PRIVATE, STUDY_PUBLIC, new_vault

SOUND = np.arange(20_000, dtype=np.int16)


@pytest.fixture
def vault(tmp_path):
    return new_vault(tmp_path)


@pytest.fixture
def records(tmp_path, vault):
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    yield records
    records.close()


def reopened(records: Records) -> Records:
    records.close()
    return Records(records.folder, records._vault, STUDY_PUBLIC)


def alter(records: Records, script: str, *values: object) -> Records:
    """Close the records, change their file by hand, and open them again."""
    records.close()
    connection = sqlite3.connect(records.folder / FILE_NAME)
    connection.execute(script, values)
    connection.commit()
    connection.close()
    return reopened(records)


def with_sound(records: Records, record: Record) -> Record:
    writer = records.audio_writer(record.id, 16_000)
    writer.append(SOUND)
    writer.close()
    return record


def folder_content(records: Records) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(records.folder.rglob("*")) if path.is_file())


def test_records_are_there_after_a_restart_in_the_order_they_were_made(records):
    made = [records.add(kind, {"number": number}) for number, kind in enumerate(["a", "b", "a", "c"])]
    again = reopened(records)
    assert again.all() == made
    assert again.all("a") == [made[0], made[2]]
    assert [record.sequence for record in made] == [1, 2, 3, 4]
    assert again.get(made[3].id) == made[3] and again.unreadable == 0 and again.altered == ()
    again.close()


def test_an_id_of_ones_own_is_kept_and_taken_once(records):
    records.add("note", {"text": "a"}, record_id="own")
    with pytest.raises(RecordsError):
        records.add("note", {"text": "b"}, record_id="own")
    assert records.get("own").content == {"text": "a"}
    assert records.add("note", {}).sequence == 2


def test_an_amended_record_keeps_its_place(records):
    first, second = records.add("note", {"text": "a"}), records.add("note", {"text": "b"})
    amended = records.amend(first.id, {"text": "c"})
    assert (amended.id, amended.sequence, amended.content) == (first.id, 1, {"text": "c"})
    assert records.all() == reopened(records).all() == [amended, second]


def test_an_order_by_sequence_does_not_care_about_the_clock(tmp_path, vault):
    clock = iter([1.8e9, 1.8e9 - 365 * 86400, 1.0])
    records = Records(tmp_path, vault, STUDY_PUBLIC, clock=lambda: next(clock))
    entries = [records.log(event) for event in ("first", "second", "third")]
    assert [entry.content["event"] for entry in records.all("log")] == ["first", "second", "third"]
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert records.check_log() == 3
    records.close()


def test_locked_records_can_be_handed_over_and_erased_but_not_read(records, vault):
    made = records.add("note", {"text": "a"})
    records.add("note", {"text": "b"})
    assert records.all()
    vault.lock()
    for call in (
        records.all,
        lambda: records.get(made.id),
        lambda: records.add("note", {}),
        lambda: records.unreadable,
    ):
        with pytest.raises(LockedError):
            call()
    assert records._cache == {}
    rows = list(records.sealed_rows())
    assert [open_row(row, key_for_study(row, STUDY_PRIVATE))["text"] for row in rows] == ["a", "b"]
    records.erase(made.id)
    vault.unlock(PASSCODE)
    assert [record.content["text"] for record in records.all()] == ["b"]


def test_nothing_of_a_record_is_readable_in_any_file(records):
    made = with_sound(records, records.add("participant", {"participant_id": "CG-0017-4", "note": "coughs at night"}))
    records.amend(made.id, {"participant_id": "CG-0017-4", "note": "smokes two packs"})
    records.log("participant added", participant_id="CG-0017-4")
    for _ in range(2):
        content = folder_content(records)
        for text in ("CG-0017-4", "coughs at night", "smokes two packs", "participant added"):
            assert text.encode() not in content
            for shift in range(3):
                middle = base64.b64encode(b"\0" * shift + text.encode())[4 * (shift > 0) : -4]
                assert len(middle) >= 8 and middle not in content
        assert SOUND[5_000:5_016].tobytes() not in content
        records.close()
    assert {path.name for path in records.folder.iterdir()} >= {"records.sqlite", "vault.json", "audio"}


def test_the_columns_hold_id_kind_sequence_and_sealed_bytes_alone(records):
    records.add("note", {"text": "a"})
    assert [row[1] for row in records._database.rows("PRAGMA table_info(records)")] == [
        "sequence",
        "id",
        "kind",
        "sealed",
    ]


def test_of_an_erased_record_the_key_is_nowhere(records, vault):
    kept = [records.add("note", {"number": number}) for number in range(40)]
    gone = [with_sound(records, records.add("attempt", {"number": number})) for number in range(5)]
    kept += [records.add("note", {"number": number}) for number in range(40)]
    secrets = []
    for row in records.sealed_rows():
        if row.kind == "attempt":
            key = vault.open_record_key(row.id, row.wrapped_for_phone)
            secrets += [key, row.wrapped_for_phone[8:], row.wrapped_for_study, row.sealed[-64:]]
    for record in gone:
        records.amend(record.id, {"number": 0})
    records.erase(*(record.id for record in gone))
    for _ in range(2):
        content = folder_content(records)
        for secret in secrets:
            assert secret not in content and base64.b64encode(secret)[:-4] not in content
        assert not any(record.id.encode() in content for record in gone)
        assert list((records.folder / "audio").iterdir()) == []
        records.close()
    again = reopened(records)
    assert again.all() == kept
    with pytest.raises(RecordsError, match="not there"):
        again.get(gone[0].id)
    again.close()


@pytest.mark.parametrize("step", ["empty_log", "rewrite"])
def test_an_erasing_that_was_cut_short_is_finished_at_the_next_start(records, monkeypatch, step):
    kept, gone = records.add("note", {"text": "a"}), with_sound(records, records.add("attempt", {}))
    wrapped = next(row.wrapped_for_study for row in records.sealed_rows() if row.id == gone.id)

    def full(*_):
        raise RecordsError("The records cannot be written: database or disk is full.")

    monkeypatch.setattr(records._database, step, full)
    if step == "empty_log":
        with pytest.raises(RecordsError, match="full"):
            records.erase(gone.id)
    else:
        records.erase(gone.id)
        assert wrapped not in folder_content(records)
    assert records._database.rows("SELECT * FROM erasing") == [(gone.id,)]
    again = reopened(records)
    assert again.all() == [kept]
    assert again._database.rows("SELECT * FROM erasing") == []
    assert wrapped not in folder_content(again) and not again.audio_path(gone.id).exists()
    again.close()


def test_erasing_what_is_not_there_is_nothing(records):
    kept = records.add("note", {})
    records.erase("absent")
    records.erase()
    assert records.all() == [kept]


def test_after_a_forgotten_passcode_earlier_records_are_counted_and_open_for_the_study(records, vault):
    earlier = records.add("note", {"text": "a"})
    records.log("note added")
    vault.start_anew("a new passcode")
    later = records.add("note", {"text": "b"})
    assert records.all() == [later] and records.unreadable == 2 and records.altered == ()
    with pytest.raises(EarlierMasterKeyError):
        records.get(earlier.id)
    with pytest.raises(EarlierMasterKeyError):
        records.amend(earlier.id, {})
    contents = [open_row(row, key_for_study(row, STUDY_PRIVATE)) for row in records.sealed_rows()]
    assert [content.get("text") for content in contents] == ["a", None, "b"]
    records.log("passcode set anew")
    assert records.check_log() == 2


def test_swapped_rows_are_refused_and_the_others_stay(records):
    first, second, third = (records.add("note", {"text": text}) for text in "abc")
    rows = {row.id: row.sealed for row in records.sealed_rows()}
    again = alter(records, "UPDATE records SET sealed = ? WHERE id = ?", rows[first.id], second.id)
    assert again.all() == [first, third] and again.altered == (second.id,)
    with pytest.raises(RecordsError, match="altered"):
        again.get(second.id)
    again.close()


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE records SET kind = 'consent' WHERE id = 'r2'",
        "UPDATE records SET id = 'r9' WHERE id = 'r2'",
        "UPDATE records SET sequence = 9 WHERE id = 'r2'",
        "UPDATE records SET sealed = substr(sealed, 1, 200) WHERE id = 'r2'",
        "UPDATE records SET sealed = x'' WHERE id = 'r2'",
        "UPDATE records SET sealed = 'text' WHERE id = 'r2'",
        "UPDATE records SET id = CAST(x'ff00' AS TEXT) WHERE id = 'r2'",
        "UPDATE records SET kind = x'ff00' WHERE id = 'r2'",
    ],
)
def test_a_row_altered_by_hand_is_refused_and_the_others_stay(records, script):
    first, _, third = (records.add("note", {"text": record_id}, record_id) for record_id in ("r1", "r2", "r3"))
    again = alter(records, script)
    assert again.all() == [first, third] and len(again.altered) == 1
    again.erase(*again.altered)
    assert again.all() == [first, third]
    again.close()


def test_sound_is_read_back_and_belongs_to_its_record(records):
    first = with_sound(records, records.add("attempt", {}))
    second = with_sound(records, records.add("attempt", {}))
    reader = records.audio_reader(first.id)
    assert np.array_equal(reader.read(), SOUND) and reader.state == COMPLETE
    records.audio_path(second.id).write_bytes(records.audio_path(first.id).read_bytes())
    with pytest.raises(SealedAudioError, match="altered"):
        records.audio_reader(second.id)
    with pytest.raises(RecordsError, match="not there"):
        records.audio_writer("absent", 16_000)


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM records WHERE sequence = 2",
        "UPDATE records SET sealed = (SELECT sealed FROM records WHERE sequence = 1) WHERE sequence = 2",
        "UPDATE records SET sequence = 0 WHERE sequence = 3",
    ],
)
def test_an_altered_log_is_told(records, script):
    for event in ("first", "second", "third"):
        records.log(event, fact=1)
    assert records.check_log() == 3
    assert records.all() == []
    again = alter(records, script)
    with pytest.raises(RecordsError, match="log"):
        again.check_log()
    again.close()


def test_two_windows_at_once_are_one_sentence(records, vault):
    records.add("note", {"text": "a"})
    with pytest.raises(FolderInUseError):
        Records(records.folder, vault, STUDY_PUBLIC)
    assert len(records.all()) == 1


def test_a_file_that_cannot_be_opened_lets_the_folder_go(records):
    records.close()
    (records.folder / FILE_NAME).unlink()
    (records.folder / FILE_NAME).mkdir()
    for _ in range(2):
        with pytest.raises(RecordsError, match="cannot be opened"):
            reopened(records)


def test_threads_add_and_read_at_once(records):
    def work(name: str) -> None:
        for number in range(20):
            made = records.add("note", {"name": name, "number": number})
            assert records.get(made.id) == made
            records.amend(made.id, {"name": name, "number": number + 100})

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = records.all()
    assert [record.sequence for record in found] == list(range(1, 81))
    assert reopened(records).all() == found
    for name in "abcd":
        assert [one.content["number"] for one in found if one.content["name"] == name] == list(range(100, 120))


def test_a_change_and_its_entry_in_the_log_happen_together(records):
    made = records.add("note", {"text": "a"}, event="note_added", length=1)
    records.amend(made.id, {"text": "b"}, event="note_amended")
    with pytest.raises(ValueError, match="JSON"):
        records.amend(made.id, {"text": "c"}, event="note_amended", score=float("nan"))
    assert records.get(made.id).content == reopened(records).get(made.id).content == {"text": "b"}


def test_the_log_tells_what_was_done_to_which_record(records):
    made = records.add("note", {"text": "a"}, event="note_added", length=1)
    records.erase(made.id, event="note_erased", n=1)
    assert [(one.content["event"], one.content["facts"]) for one in records.all("log")] == [
        ("note_added", {"record_id": made.id, "length": 1}),
        ("note_erased", {"n": 1}),
    ]
    assert records.check_log() == 2


def test_a_number_tells_whether_anything_changed(records):
    made = records.add("note", {})
    records.all()
    before = records.n_changes
    records.all()
    assert records.n_changes == before
    for change in (lambda: records.amend(made.id, {"a": 1}), lambda: records.erase(made.id), records.forget):
        change()
        assert records.n_changes > before
        before = records.n_changes


def test_a_record_in_memory_is_as_it_will_be_read_and_nobody_elses(records):
    content = {"gaps": ((1.0, 2.5),), "notes": ["a"]}
    made = records.add("note", content)
    content["notes"].append("b")
    assert (
        records.get(made.id).content == reopened(records).get(made.id).content == {"gaps": [[1.0, 2.5]], "notes": ["a"]}
    )
