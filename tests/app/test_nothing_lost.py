"""Checks that a disk that is full at any write, a folder that takes nothing and an old file lose no record."""

import os
import resource
import shutil
import signal
import sqlite3
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.casebook import Casebook
from app.records import FILE_NAME, Records
from app.sealed_audio import ALTERED
from app.storage.database import MIGRATIONS
from app.vault import Vault
from core.errors import TussisError
from tests.app.opened_casebook import (
    ANSWERS,
    MICROPHONE,
    RATE_HZ,
    SOUND,
    STROKES,
    STUDY,
    TASK_ID,
    Clock,
    consented,
    new_casebook,
    recorded,
    reopened,
)
from tests.app.opened_vault import PASSCODE, STUDY_PUBLIC


def everything(casebook: Casebook) -> dict[str, tuple]:
    """What a casebook holds: each record and each sound, whole."""
    records = casebook.records
    sounds = {path.stem: path.read_bytes() for path in (records.folder / "audio").iterdir()}
    return {one.id: (one.kind, one.content, sounds.get(one.id)) for one in records.all()}


def in_a_child(work: Callable[[], None]) -> None:
    """Run `work` in a process of its own, which may give up its rights; raises where it fails."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os.write(write_end, traceback.format_exc().encode())
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        told = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0, told


def limit_files(n_bytes: int) -> None:
    """From now on no file of this process grows beyond `n_bytes`, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def a_day(casebook: Casebook, done: list[str]) -> None:
    """All that writes, step by step; each one that succeeds is noted, each that fails is one sentence."""
    steps = (
        lambda: casebook.add_participant(STUDY.new_id(50), 1990, "male", ANSWERS),
        lambda: casebook.give_consent(STUDY.new_id(50), "en", STROKES),
        lambda: recorded(casebook, STUDY.new_id(17)),
        lambda: casebook.add_note(casebook.attempts()[0].record_id, "A note. " * 100),
        lambda: casebook.mark_handed_over(None, "h1"),
        lambda: casebook.withdraw(STUDY.new_id(50)),
        lambda: casebook.records._vault.change_passcode(PASSCODE, PASSCODE),
    )
    for number, step in enumerate(steps):
        try:
            step()
            done.append(str(number))
        except TussisError as error:
            assert str(error).endswith(".") and "\n" not in str(error)


@pytest.fixture
def filled(tmp_path) -> Casebook:
    """A casebook with a participant and two recordings, closed."""
    casebook = new_casebook(tmp_path)
    participant_id = consented(casebook)
    for round in (1, 2):
        recorded(casebook, participant_id, round)
    casebook.records.close()
    return casebook


@pytest.mark.parametrize("n_bytes", [0, 64, 1_000, 8_000, 20_000, 30_000, 45_000, 60_000, 70_000, 90_000, 200_000])
def test_a_disk_that_is_full_at_any_write_loses_nothing(filled, n_bytes):
    casebook = reopened(filled)
    before = everything(casebook)
    casebook.records.close()

    def work() -> None:
        limit_files(n_bytes)
        try:
            again = reopened(casebook)
        except TussisError as error:
            assert str(error).endswith(".")
            return
        a_day(again, [])
        os._exit(0)  # without closing, as a kill

    in_a_child(work)
    after = reopened(casebook)
    found = everything(after)
    for record_id, (kind, content, sound) in before.items():
        assert found[record_id][0] == kind and found[record_id][2] == sound
        assert {key: found[record_id][1].get(key) for key in content if key != "notes"} == content
    assert after.records.altered == () and after.records.check_log() >= 4
    assert not [path for path in after.records.folder.rglob("*.sealed") if path.stat().st_size == 0]
    for attempt in after.attempts():
        assert attempt.state != ALTERED
    vault = Vault(after.records.folder, after.records._vault._device_secret)
    vault.unlock(PASSCODE)
    done: list[str] = []
    a_day(after, done)
    assert len(done) >= 6  # all but the participant who was added already, where that succeeded
    after.records.close()


def test_a_folder_that_may_only_be_read_is_one_sentence(filled):
    above = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    folder = shutil.copytree(filled.records.folder, above / "folder")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in [above, folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def work() -> None:
        if os.geteuid() == 0:  # nobody forbids root anything
            os.setresuid(65534, 65534, 65534)
        with pytest.raises(TussisError, match=r"cannot be written: .*\.$"):
            Records(folder, filled.records._vault, STUDY_PUBLIC)

    try:
        in_a_child(work)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    finally:
        for path in [above, *above.rglob("*")]:
            path.chmod(0o755)
        shutil.rmtree(above)


def test_a_file_of_version_1_keeps_every_record_and_sound(filled):
    casebook = reopened(filled)
    before = everything(casebook)
    casebook.records.close()
    path = casebook.records.folder / FILE_NAME
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT sequence, id, kind, sealed FROM records").fetchall()
    highest = connection.execute("SELECT seq FROM sqlite_sequence").fetchone()
    connection.close()
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute(MIGRATIONS[0][0])
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    again = reopened(casebook)
    assert everything(again) == before
    assert again.add_participant(STUDY.new_id(3), 1990, "male", ANSWERS) in again.participants()
    assert again.records.all()[-1].sequence > highest[0] - 1 and again.records.check_log() >= 4
    again.records.close()


def test_a_clock_set_back_a_year_changes_no_order_and_loses_nothing(filled):
    casebook = reopened(filled)
    before = everything(casebook)
    casebook._clock.now_s = Clock.now_s - 365 * 86400
    later = recorded(casebook, STUDY.new_id(17), 3)
    again = reopened(casebook)
    assert [one.record_id for one in again.attempts()][-1] == later
    assert again.attempts()[-1].started_s < again.attempts()[0].started_s
    assert {key: value for key, value in everything(again).items() if key in before} == before
    again.records.close()


def test_a_recording_that_finds_no_room_keeps_its_whole_blocks_and_is_offered(filled):
    def work() -> None:
        attempt = reopened(filled).begin_attempt(STUDY.new_id(17), TASK_ID, 3, RATE_HZ, MICROPHONE)
        limit_files(20_000)
        for call in (lambda: attempt.append(SOUND), attempt.close):
            with pytest.raises(TussisError, match="cannot be written"):
                call()

    in_a_child(work)
    again = reopened(filled)
    (left,) = again.unfinished()
    assert left.duration_s == 0.4 and len(again.attempts()) == 3
    assert np.array_equal(again.audio(left.record_id).read(), SOUND[:6400])
    again.records.close()
