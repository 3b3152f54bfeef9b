import io
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app import handover
from app.coordinator.handover_file import HandOverFile
from app.handover import (
    HandOver,
    HandOverError,
    HandOverProgress,
    HandOverStoppedError,
    check_receipt,
    handover_note,
    handovers,
    write_handover,
)
from app.records import Record, Records
from app.study import Study, read_study
from app.vault import Vault
from tests.app.opened_vault import STUDY_PRIVATE, STUDY_PUBLIC, new_vault
from tests.app.signed_studies import write_study

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from app.devices.desktop.device_secret import DesktopDeviceSecret
from app.handover import write_handover
from app.records import Records
from app.study import read_study
from app.vault import Vault
folder = Path(sys.argv[1])
study = read_study(folder.parent / "cough.tussis-study")
records = Records(folder, Vault(folder, DesktopDeviceSecret(folder)), study.handover_public_key)
print("ready", flush=True)
while True:
    write_handover(records, study, folder.parent / "card")
"""
RATE_HZ = 16_000
SOUND = (3_000 * np.sin(np.arange(RATE_HZ))).astype(np.int16)


@pytest.fixture(autouse=True)
def passcode_cost() -> None:
    """The cost that the app has: a process of its own opens the vault."""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write_study(tmp_path / "cough.tussis-study", STUDY_PUBLIC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def vault(folder: Path) -> Vault:
    return new_vault(folder)


@pytest.fixture
def records(folder: Path, vault: Vault) -> Iterator[Records]:
    opened = Records(folder, vault, STUDY_PUBLIC)
    yield opened
    opened.close()


@pytest.fixture
def made(records: Records) -> list[Record]:
    """A participant, a recording of one second, a withdrawal."""
    made = [records.add("participant", {"participant_id": "CG-0017-4", "answers": {"smokes": "yes"}})]
    made.append(records.add("attempt", {"participant_id": "CG-0017-4", "notes": ["Wore a mask."]}))
    writer = records.audio_writer(made[1].id, RATE_HZ)
    writer.append(SOUND)
    writer.close()
    return [*made, records.add("withdrawal", {"records": ["earlier"]})]


def opened(written: HandOver) -> HandOverFile:
    return HandOverFile(written.path, [STUDY_PRIVATE])


def test_the_study_gets_every_record_and_sound_as_it_was(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    written = write_handover(records, study, tmp_path / "card")
    assert written.n_records == 3 and written.n_bytes == written.path.stat().st_size
    with opened(written) as file:
        contents = {entry.id: file.content(entry) for entry in file.entries}
        assert contents == {record.id: record.content for record in made}
        assert [entry.kind for entry in file.entries] == ["participant", "attempt", "withdrawal"]
        assert [entry.audio is not None for entry in file.entries] == [False, True, False]
        with file.audio(file.entries[1], tmp_path) as reader:
            assert np.array_equal(reader.read(), SOUND) and reader.state == "complete"
        assert (file.study_id, file.is_practice) == ("cough_study", False)
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == [written.path.name]


def test_it_is_written_while_locked_and_after_a_forgotten_passcode(
    records: Records, made: list[Record], study: Study, vault: Vault, tmp_path: Path
) -> None:
    vault.lock()
    assert write_handover(records, study, tmp_path / "locked").n_records == 3
    vault.start_anew("another 1")
    later = records.add("participant", {"participant_id": "CG-0018-1"})
    with opened(write_handover(records, study, tmp_path / "anew")) as file:
        assert [file.content(entry) for entry in file.entries] == [one.content for one in (*made, later)]


def test_how_far_it_is_only_grows_and_ends_at_all_records_and_their_bytes(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    told = []
    written = write_handover(records, study, tmp_path / "card", follow=told.append)
    assert {progress.n_all_records for progress in told} == {3}
    numbers = [(progress.n_records, progress.n_bytes) for progress in told]
    assert numbers == sorted(numbers)
    assert (told[-1].n_records, told[-1].n_bytes, told[-1].n_all_bytes) == (3, written.n_bytes, written.n_bytes)


@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 1.0])
def test_one_that_is_stopped_anywhere_leaves_no_file_and_no_note(
    records: Records, made: list[Record], study: Study, folder: Path, tmp_path: Path, at: float
) -> None:
    told = []
    write_handover(records, study, tmp_path / "whole", follow=told.append)
    n_before_stop, left = round(at * (len(told) - 1)), len(list((folder / "handover").iterdir()))

    def stop(progress: HandOverProgress) -> None:
        told.append(progress)
        if len(told) > n_before_stop:
            raise HandOverStoppedError("stopped")

    told.clear()
    with pytest.raises(HandOverStoppedError):
        write_handover(records, study, tmp_path / "card", follow=stop)
    assert list((tmp_path / "card").iterdir()) == []
    assert len(list((folder / "handover").iterdir())) == left


def test_the_phone_cannot_read_it_back_and_nothing_of_the_day_is_in_it(
    records: Records, made: list[Record], study: Study, folder: Path, tmp_path: Path
) -> None:
    written = write_handover(records, study, tmp_path / "card")
    written_bytes = written.path.read_bytes()
    note = (folder / "handover" / f"{written.id}.json").read_bytes()
    for secret in (b"CG-0017", b"mask", b"smokes", b"participant", SOUND[:400].tobytes(), made[0].id.encode()):
        assert secret not in written_bytes
    assert b"CG-0017" not in note and b"participant" not in note
    with pytest.raises(HandOverError, match="sealed for another key"):
        HandOverFile(written.path, [bytes(range(1, 33))])


def test_chosen_records_go_with_their_participant_and_every_withdrawal(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    other = records.add("participant", {"participant_id": "CG-0018-1"})
    with opened(write_handover(records, study, tmp_path, [made[1].id])) as file:
        assert [entry.id for entry in file.entries] == [record.id for record in made]
        assert file.last_sequence == other.sequence


def test_a_stream_gets_the_same_file(records: Records, made: list[Record], study: Study, tmp_path: Path) -> None:
    stream = io.BytesIO()
    written = write_handover(records, study, stream)
    assert written.path is None and len(stream.getvalue()) == written.n_bytes and not stream.closed
    (tmp_path / "copy").write_bytes(stream.getvalue())
    with HandOverFile(tmp_path / "copy", [STUDY_PRIVATE]) as file:
        assert [entry.id for entry in file.entries] == [record.id for record in made]
    assert handover_note(records.folder, written.id).sha256 == written.sha256


def test_the_receipt_shows_that_the_file_was_opened(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    first, second = (write_handover(records, study, tmp_path) for _ in range(2))
    with opened(first) as one, opened(second) as other:
        assert re.fullmatch(r"\d{4}-\d{4}-\d{4}-\d", one.receipt) and one.receipt != other.receipt
        assert check_receipt(records, first.id, one.receipt)
        assert check_receipt(records, first.id, one.receipt.replace("-", " "))
        assert not check_receipt(records, first.id, other.receipt)
        digits = one.receipt.replace("-", "")
    mistyped = digits[:4] + str((int(digits[4]) + 1) % 10) + digits[5:]
    with pytest.raises(HandOverError, match="The last digit of the receipt does not fit"):
        check_receipt(records, first.id, mistyped)
    for wrong in ("", "12", "4071 2953 8841 x", "٤٠٧١٢٩٥٣٨٨٤١٧", digits + "1"):
        with pytest.raises(HandOverError, match="A receipt has 13 digits"):
            check_receipt(records, first.id, wrong)
    with pytest.raises(HandOverError, match="Nothing is known of this hand-over"):
        check_receipt(records, "0" * 16, digits)
    assert digits not in (records.folder / "handover" / f"{first.id}.json").read_text()


def test_notes_are_listed_in_order_and_an_altered_one_is_left_out(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    written = [write_handover(records, study, tmp_path) for _ in range(3)]
    notes = handovers(records.folder)
    assert [note.id for note in notes] == [one.id for one in written]
    assert notes[0].rows == written[0].rows == {record.id: record.sealed_sha256 for record in made}
    (records.folder / "handover" / f"{written[1].id}.json").write_text('{"schema": 3}')
    assert [note.id for note in handovers(records.folder)] == [written[0].id, written[2].id]
    assert handovers(tmp_path / "nowhere") == []


def test_nothing_to_hand_over_is_said_and_leaves_nothing(records: Records, study: Study, tmp_path: Path) -> None:
    with pytest.raises(HandOverError, match="There is nothing to hand over"):
        write_handover(records, study, tmp_path / "card")
    assert list((tmp_path / "card").iterdir()) == [] and handovers(records.folder) == []


def test_a_full_disk_leaves_no_file_and_no_note(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(HandOverError, match="cannot be written: File too large"):
            write_handover(records, study, tmp_path / "card")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with (
        pytest.raises(HandOverError, match="cannot be written: No space left"),
        Path("/dev/full").open("wb", 0) as full,
    ):
        write_handover(records, study, full)
    assert list((tmp_path / "card").iterdir()) == [] and handovers(records.folder) == []


def test_a_note_that_cannot_be_kept_takes_the_file_with_it(
    records: Records, made: list[Record], study: Study, tmp_path: Path
) -> None:
    (records.folder / "handover").write_text("in the way")
    with pytest.raises(HandOverError, match=r"the folder [^ ]+ cannot be made"):
        write_handover(records, study, tmp_path / "card")
    assert list((tmp_path / "card").iterdir()) == []


def test_a_card_that_reads_differently_is_noticed(
    records: Records, made: list[Record], study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = handover._compare

    def with_a_bit_lost(file: io.BufferedRandom, sha256: str) -> None:
        file.seek(500)
        file.write(bytes(4))
        honest(file, sha256)

    monkeypatch.setattr(handover, "_compare", with_a_bit_lost)
    with pytest.raises(HandOverError, match="reads differently from what was written"):
        write_handover(records, study, tmp_path / "card")
    assert list((tmp_path / "card").iterdir()) == [] and handovers(records.folder) == []


def test_a_recording_that_is_being_made_goes_along_as_far_as_it_is(
    records: Records, study: Study, tmp_path: Path
) -> None:
    record = records.add("attempt", {})
    writer = records.audio_writer(record.id, RATE_HZ)
    writer.append(SOUND)
    with opened(write_handover(records, study, tmp_path)) as file, file.audio(file.entries[0], tmp_path) as reader:
        heard = reader.read()
        assert reader.state == "unfinished" and np.array_equal(heard, SOUND[: len(heard)]) and len(heard) > 8_000
    writer.close()


@pytest.mark.slow
def test_a_kill_while_handing_over_leaves_whole_files_only_and_every_record(
    records: Records, study: Study, vault: Vault, folder: Path, tmp_path: Path
) -> None:
    for _ in range(20):
        recording = records.add("attempt", {"notes": "x" * 1_000})
        writer = records.audio_writer(recording.id, RATE_HZ)
        writer.append(np.tile(SOUND, 5))
        writer.close()
    before = {row.id: row.sealed for row in records.sealed_rows()}
    records.close()
    (tmp_path / "card").mkdir()
    source, n_files = random.Random(0), 0
    for _ in range(40):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, folder], stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(source.uniform(0, 0.4))
            child.kill()
        for path in (tmp_path / "card").glob("*.tussis-handover"):
            with HandOverFile(path, [STUDY_PRIVATE]) as file:
                file.check()
                assert {entry.id for entry in file.entries} == before.keys()
            path.unlink()
            n_files += 1
    assert n_files > 20
    again = Records(folder, vault, STUDY_PUBLIC)
    assert {row.id: row.sealed for row in again.sealed_rows()} == before
    write_handover(again, study, tmp_path / "card")
    again.close()
    assert [path.suffix for path in (tmp_path / "card").iterdir()] == [".tussis-handover"], "litter is removed"
