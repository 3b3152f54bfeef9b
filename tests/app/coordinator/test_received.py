import json
import random
import resource
import stat
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from app.coordinator.handover_file import HandOverFile
from app.coordinator.received import Received, Summary
from app.crypto import hpke
from app.data_folder import FolderInUseError
from app.handover import HandOver, HandOverError, write_handover
from app.study import Study, read_study
from core.errors import OutputError
from tests.app.coordinator.conftest import RATE_HZ, SOUND, Phone
from tests.app.opened_vault import STUDY_PRIVATE, STUDY_PUBLIC
from tests.app.signed_studies import write_study


def receive(written: HandOver, study: Study, out: Path) -> Summary:
    with Received(out, study) as received, HandOverFile(written.path, [STUDY_PRIVATE]) as file:
        return received.take(file)


def kept(out: Path, study: Study) -> Received:
    received = Received(out, study)
    received.__exit__()
    return received


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


def names(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "recordings").iterdir())


def test_every_record_is_received_once_and_every_sound_sample_for_sample(phone: Phone, study: Study, out: Path) -> None:
    recording = phone.recording(phone.participant())
    first = receive(phone.hand_over(), study, out)
    records = {record.id: record.content for record in phone.casebook.records.all()}
    received = kept(out, study).records
    assert first.new == len(received) and first.sounds == ["complete"] and not first.problems
    assert {id: one.content for id, one in received.items() if id in records} == {
        id: json.loads(json.dumps(content)) for id, content in records.items() if id in received
    }
    assert np.array_equal(samples(out / "recordings" / f"{recording}.wav"), SOUND)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_the_same_records_again_are_recognized(phone: Phone, study: Study, out: Path) -> None:
    phone.recording(phone.participant())
    first, second = phone.hand_over(), phone.hand_over()
    receive(first, study, out)
    before = (out / "received.json").read_bytes()
    same = receive(first, study, out)
    assert same.is_repeated and same.new == same.changed == 0 and same.sounds == []
    assert json.loads((out / "received.json").read_bytes()) == json.loads(before)
    again = receive(second, study, out)
    assert again.known == same.known and again.changed == 0 and again.new > 0, "the log and the mark are new"


def test_a_note_that_came_later_replaces_and_an_older_file_does_not(phone: Phone, study: Study, out: Path) -> None:
    recording = phone.recording(phone.participant())
    older = phone.hand_over()
    phone.casebook.add_note(recording, "Wore a mask.")
    receive(phone.hand_over(), study, out)
    late = receive(older, study, out)
    assert late.new == late.changed == 0
    assert kept(out, study).records[recording].content["notes"][0]["text"] == "Wore a mask."


def test_a_recording_that_was_being_made_is_replaced_when_it_is_whole(phone: Phone, study: Study, out: Path) -> None:
    participant_id = phone.participant()
    attempt = phone.casebook.begin_attempt(participant_id, "coughs", 1, RATE_HZ, {})
    attempt.append(SOUND)
    assert receive(phone.hand_over(), study, out).sounds == ["unfinished"]
    part = samples(out / "recordings" / f"{attempt.record_id}-unfinished.wav")
    assert 0 < len(part) < len(SOUND) and np.array_equal(part, SOUND[: len(part)])
    attempt.close()
    assert receive(phone.hand_over(), study, out).sounds == ["complete"]
    assert names(out) == [f"{attempt.record_id}.wav"]


def test_sound_and_rows_that_were_altered_on_the_phone_are_named_and_the_rest_is_taken(
    phone: Phone, study: Study, out: Path
) -> None:
    participant_id = phone.participant()
    spoilt, other, good = (phone.recording(participant_id, round=n) for n in (1, 2, 3))
    path = phone.casebook.records.audio_path(spoilt)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    path = phone.casebook.records.audio_path(other)
    path.write_bytes(b"no sound" + path.read_bytes()[8:])
    summary = receive(phone.hand_over(), study, out)
    assert sorted(summary.sounds) == ["altered", "altered", "complete"]
    assert names(out) == sorted([f"{good}.wav", f"{spoilt}-altered.wav"])
    assert kept(out, study).records[other].sound.file == ""


def test_a_withdrawal_erases_what_was_received_and_an_older_file_does_not_bring_it_back(
    phone: Phone, study: Study, out: Path
) -> None:
    mine, theirs = phone.participant(17), phone.participant(18)
    recordings, other = [phone.recording(mine), phone.recording(mine, round=2)], phone.recording(theirs)
    older = phone.hand_over()
    receive(older, study, out)
    assert phone.casebook.withdraw(mine) == 2
    summary = receive(phone.hand_over(), study, out)
    [(said, erased)] = summary.withdrawals
    assert said.participant_id == mine and erased == sorted(recordings)
    assert names(out) == [f"{other}.wav"]
    again = receive(older, study, out)
    assert again.withdrawn_before == 2 and names(out) == [f"{other}.wav"]
    received = kept(out, study)
    assert not received.records.keys() & set(recordings) and other in received.records
    assert {facts["participant_id"] for facts in received.withdrawn.values()} == {mine}
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert SOUND[:400].tobytes() in everything, "the other participant's"
    assert (out / "received.json").read_text().count('"kind": "attempt"') == 1


def test_a_withdrawal_names_what_was_handed_over_and_deleted_on_the_phone(
    phone: Phone, study: Study, out: Path
) -> None:
    recording = phone.recording(phone.participant())
    first = phone.hand_over()
    receive(first, study, out)
    with HandOverFile(first.path, [STUDY_PRIVATE]) as file:
        assert phone.casebook.delete_handed_over(first.id, file.receipt) == 1
    assert names(out) == [f"{recording}.wav"]
    phone.casebook.withdraw(study.new_id(17))
    assert receive(phone.hand_over([]), study, out).withdrawals[0][1] == [recording]
    assert names(out) == []


def test_another_study_with_the_same_key_and_practice_are_refused(phone: Phone, study: Study, tmp_path: Path) -> None:
    phone.participant()
    written = phone.hand_over()
    other = read_study(write_study(tmp_path / "other.tussis-study", STUDY_PUBLIC, id="other_study"))
    with pytest.raises(HandOverError, match="is of the study cough_study; expected other_study"):
        receive(written, other, tmp_path / "other")
    rehearsal = read_study(write_study(tmp_path / "practice.tussis-study", STUDY_PUBLIC, is_practice=True))
    with pytest.raises(HandOverError, match="is of a study in earnest; cough_study is practice"):
        receive(written, rehearsal, tmp_path / "rehearsal")
    receive(written, study, tmp_path / "received")
    with pytest.raises(OutputError, match="holds records of the study cough_study; expected other_study"):
        Received(tmp_path / "received", other)


def test_an_altered_file_changes_nothing(phone: Phone, study: Study, out: Path) -> None:
    recording = phone.recording(phone.participant())
    receive(phone.hand_over(), study, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    phone.casebook.withdraw(study.new_id(17))
    phone.recording(phone.participant(18))
    written = phone.hand_over()
    content = bytearray(written.path.read_bytes())
    content[content.index(b"TUSSISAU") + 5_000] ^= 1  # in the sound, the last thing that is read
    written.path.write_bytes(content)
    with pytest.raises(HandOverError, match="was altered, or is damaged"):
        receive(written, study, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert f"{recording}.wav" in names(out)


def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on(phone: Phone, study: Study, out: Path) -> None:
    recording = phone.recording(phone.participant())
    written, before = phone.hand_over(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"received cannot be written: File too large"):
            receive(written, study, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(out) == [] and receive(written, study, out).sounds == ["complete"]
    assert names(out) == [f"{recording}.wav"]


def test_a_folder_of_something_else_is_left_alone(study: Study, out: Path) -> None:
    out.mkdir()
    for content in (
        "{",
        '{"schema": "tussis.screening/1"}',
        '{"schema": "tussis.received/1", "study_id": "cough_study"}',
    ):
        (out / "received.json").write_text(content)
        with pytest.raises(OutputError):
            Received(out, study)
        assert (out / "received.json").read_text() == content


def test_two_commands_do_not_receive_into_one_folder(study: Study, out: Path) -> None:
    with Received(out, study), pytest.raises(FolderInUseError, match="another command receives"):
        Received(out, study)
    with Received(out, study):
        assert list((out / "recordings").iterdir()) == []


def test_records_sealed_for_an_earlier_key_open_with_that_key(phone: Phone, study: Study, out: Path) -> None:
    phone.participant()
    new_private = bytes(range(1, 33))
    newer = read_study(write_study(phone.folder / "new.tussis-study", hpke.public_key(new_private), version=2))
    written = write_handover(phone.casebook.records, newer, phone.folder / "card")
    with Received(out, newer) as received, HandOverFile(written.path, [new_private]) as file:
        summary = received.take(file)
        assert received.records == {} and len(summary.problems) == written.n_records
        assert "give earlier keys too" in summary.problems[0]
    with Received(out, newer) as received, HandOverFile(written.path, [new_private, STUDY_PRIVATE]) as file:
        summary = received.take(file)
        assert not summary.problems and summary.new == written.n_records


@pytest.mark.slow
def test_a_kill_while_receiving_loses_nothing_once_it_is_done_again(
    phone: Phone, study: Study, tmp_path: Path, out: Path
) -> None:
    mine, theirs = phone.participant(17), phone.participant(18)
    for n in range(1, 30):
        phone.recording(mine if n % 2 else theirs, round=n)
    first = phone.hand_over()
    phone.casebook.withdraw(mine)
    second, source = phone.hand_over(), random.Random(0)
    generate = "from tests.app.coordinator import test_received as t; from app.study import read_study; import sys; "
    script = generate + "t.receive_path(sys.argv[1], read_study(t.Path(sys.argv[2])), t.Path(sys.argv[3]))"
    for written in (first, second):
        arguments = [sys.executable, "-c", script, written.path, tmp_path / "cough.tussis-study", out]
        for _ in range(15):
            with subprocess.Popen([*arguments], stdout=subprocess.PIPE) as child:
                child.stdout.readline()
                time.sleep(source.uniform(0, 0.15))
                child.kill()
        receive(written, study, out)
    whole = tmp_path / "whole"
    receive(first, study, whole)
    receive(second, study, whole)
    assert kept(out, study).records == kept(whole, study).records
    assert kept(out, study).withdrawn.keys() == kept(whole, study).withdrawn.keys()
    assert {name: (out / "recordings" / name).read_bytes() for name in names(out)} == {
        name: (whole / "recordings" / name).read_bytes() for name in names(whole)
    }


def receive_path(path: str, study: Study, out: Path) -> None:
    """What the killed process does; it says when it begins."""
    print("ready", flush=True)
    with Received(out, study) as received, HandOverFile(Path(path), [STUDY_PRIVATE]) as file:
        received.take(file)
