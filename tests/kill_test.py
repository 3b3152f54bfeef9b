"""Kills the app's store at random moments, again and again, and checks that nothing it had confirmed is lost.

A victim is a child process that works on a data folder and says what it is about to do and what is done. After each
SIGKILL the folder is opened again: every record is as it was, or as it was about to be, and of the sound that was
delivered at most one second is missing. To add a victim, write its work and, where `check_records` is not enough, its
check, and list it in VICTIMS.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.casebook import Casebook
from app.coordinator.handover_file import HandOverFile
from app.devices.desktop.device_secret import DesktopDeviceSecret
from app.handover import write_handover
from app.records import FILE_NAME, Records
from app.vault import Vault, WrongPasscodeError
from tests.app.opened_casebook import MICROPHONE, STUDY, TASK_ID, consented
from tests.app.opened_vault import PASSCODE, STUDY_PRIVATE, STUDY_PUBLIC, new_vault
from tests.kill_session import check_session, record_session

RATE_HZ = 16_000
MOST_LOST_S = 1.0
OTHER_PASSCODE = "731 905 beans"


@dataclass
class Workplace:
    """A data folder, what has to be in it, and the open vault that all its openings share.

    ``expected`` maps each record's id to the contents that it may have, None where it may be gone; ``sounds`` maps an
    attempt's id to its number of samples; ``gone`` holds bytes that no file may hold any more.
    """

    folder: Path
    vault: Vault
    participant_id: str = ""
    passcodes: tuple[str, ...] = (PASSCODE,)
    expected: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    sounds: dict[str, int] = field(default_factory=dict)
    gone: list[bytes] = field(default_factory=list)

    @property
    def card(self) -> Path:
        """Where hand-overs go to: outside the data folder."""
        return self.folder.with_name("card")

    def opened(self) -> Casebook:
        """The casebook, as after a start."""
        return Casebook(Records(self.folder, self.vault, STUDY_PUBLIC), STUDY)


Say = Callable[..., None]


@dataclass(frozen=True)
class Victim:
    """What a child does until it is killed, within `longest_s` seconds, and how its folder is checked afterwards."""

    work: Callable[[Workplace, Say, random.Random], None]
    check: Callable[[Workplace, list[dict[str, Any]]], None]
    longest_s: float


def sound(record_id: str, first: int, n_samples: int) -> np.ndarray:
    """Samples of a recording from its sample `first` on, which can be told from those of any other."""
    start = int(record_id[:6], 16) % 10_000 + first
    return ((np.arange(start, start + n_samples) * 31) % 30_000 - 15_000).astype(np.int16)


# ---- what the children do ----------------------------------------------------------------------------------------


def record(work: Workplace, say: Say, chance: random.Random) -> None:
    """Make one recording after the other, as a microphone delivers them, but faster."""
    casebook = work.opened()
    while True:
        attempt = casebook.begin_attempt(work.participant_id, TASK_ID, 1, RATE_HZ, MICROPHONE)
        say(begun=attempt.record_id)
        for _ in range(chance.randrange(5, 120)):
            samples = sound(attempt.record_id, attempt.n_samples, chance.randrange(1, RATE_HZ // 8))
            say(recording=attempt.record_id, delivered=attempt.n_samples + len(samples))
            attempt.append(samples)
            time.sleep(0.002)  # so that a kill strikes anywhere between two blocks
        attempt.close()
        say(closed=attempt.record_id)
        casebook.finish_attempt(attempt.record_id, {"n_coughs": 3}, None, "kept")


def save(work: Workplace, say: Say, chance: random.Random) -> None:
    """Add records and change them."""
    records, ids = work.opened().records, []
    while True:
        is_new = not ids or chance.random() < 0.5
        record_id = f"{chance.getrandbits(128):032x}" if is_new else chance.choice(ids)
        content = {"text": "x" * chance.randrange(5_000), "number": chance.random()}
        say(intended=record_id, content=content)
        if is_new:
            ids.append(records.add("note", content, record_id, event="note_added").id)
        else:
            records.amend(record_id, content)
        say(done=record_id)


def erase(work: Workplace, say: Say, chance: random.Random) -> None:
    """Erase what others saved, and make something new to erase."""
    records = work.opened().records
    while True:
        made = [f"{chance.getrandbits(128):032x}" for _ in range(chance.randrange(1, 4))]
        for record_id in made:
            content = {"text": "y" * chance.randrange(3_000)}
            say(intended=record_id, content=content)
            records.add("note", content, record_id)
            say(done=record_id)
        wrapped = [row.wrapped_for_study.hex() for row in records.sealed_rows() if row.id in made]
        for record_id in made:
            say(intended=record_id, content=None)
        records.erase(*made, event="erased")
        say(erased=made, wrapped=wrapped)


def migrate(work: Workplace, say: Say, chance: random.Random) -> None:
    """Bring a file of version 1 up to date, again and again."""
    while True:
        connection = sqlite3.connect(work.folder / FILE_NAME)
        connection.executescript("BEGIN; DROP TABLE IF EXISTS erasing; PRAGMA user_version = 1; COMMIT;")
        connection.close()
        say(migrating=True)
        work.opened().records.close()


def rescue(work: Workplace, say: Say, chance: random.Random) -> None:
    """Save the rows of a file with a table too many, again and again."""
    while True:
        connection = sqlite3.connect(work.folder / FILE_NAME)
        connection.executescript("CREATE TABLE IF NOT EXISTS more (id)")
        connection.close()
        say(rescuing=True)
        work.opened().records.close()


def hand_over(work: Workplace, say: Say, chance: random.Random) -> None:
    """Write hand-overs of all records to a card, and mark what they hold."""
    casebook = work.opened()
    while True:
        written = write_handover(casebook.records, STUDY, work.card)
        say(written=written.path.name)
        casebook.mark_handed_over(written.rows, written.id)


def change_passcode(work: Workplace, say: Say, chance: random.Random) -> None:
    """Change the passcode to and fro."""
    vault = Vault(work.folder, DesktopDeviceSecret(work.folder))
    old, new = PASSCODE, OTHER_PASSCODE
    if PASSCODE not in work.passcodes:
        old, new = new, old
    while True:
        say(changing=[old, new])
        vault.change_passcode(old, new)
        old, new = new, old


# ---- what has to be there afterwards -----------------------------------------------------------------------------


def check_records(work: Workplace, said: list[dict[str, Any]]) -> None:
    """Everything confirmed is there, the rest as it was or as it was about to be, and the log holds."""
    for message in said:
        if "intended" in message:
            work.expected.setdefault(message["intended"], [None]).append(message["content"])
        for record_id in [message["done"]] if "done" in message else message.get("erased", []):
            work.expected[record_id] = work.expected[record_id][-1:]
        work.gone += [bytes.fromhex(text) for text in message.get("wrapped", [])]
    casebook = work.opened()
    try:
        found = {one.id: one.content for one in casebook.records.all()}
        check(casebook.records.altered == () and casebook.records.unreadable == 0, "a row was altered")
        for record_id, allowed in work.expected.items():
            check(found.get(record_id) in allowed, f"the record {record_id} is not as it was")
            work.expected[record_id] = [found.get(record_id)]
        casebook.records.check_log()
        for record_id, n_samples in work.sounds.items():
            check_sound(casebook, record_id, n_samples, n_samples)
    finally:
        casebook.records.close()
    content = b"".join(path.read_bytes() for path in work.folder.rglob("*") if path.is_file())
    check(not any(secret in content for secret in work.gone), "an erased record's key is still there")


def check_recordings(work: Workplace, said: list[dict[str, Any]]) -> None:
    """What was recorded is there but for a second, the app offers what is unfinished, and it can be kept."""
    delivered = {message["begun"]: 0 for message in said if "begun" in message}
    delivered |= {message["recording"]: message["delivered"] for message in said if "recording" in message}
    closed = {message["closed"] for message in said if "closed" in message}
    casebook = work.opened()
    try:
        offered = {attempt.record_id for attempt in casebook.unfinished()}
        for record_id, n_delivered in delivered.items():
            n_least = n_delivered if record_id in closed else n_delivered - MOST_LOST_S * RATE_HZ
            if casebook.records.audio_path(record_id).exists():
                work.sounds[record_id] = check_sound(casebook, record_id, n_least, n_delivered)
            else:
                check(n_least <= 0, "the sound is not there")
            if casebook.attempt(record_id).state == "unfinished" and work.sounds.get(record_id):
                check(record_id in offered, "an unfinished recording is not offered")
                casebook.finish_attempt(record_id, None, None, "kept_with_reason", "killed")
        for attempt in casebook.attempts():
            work.expected.setdefault(attempt.record_id, [casebook.records.get(attempt.record_id).content])
    finally:
        casebook.records.close()
    check_records(work, [])


def check_sound(casebook: Casebook, record_id: str, n_least: float, n_most: int) -> int:
    """The number of samples that are there, each as it was recorded."""
    reader = casebook.audio(record_id)
    samples = reader.read()
    check(reader.state != "altered", f"the sound of {record_id} reads as altered")
    check(n_least <= len(samples) <= n_most, f"{len(samples)} samples of {record_id} are there, of {n_most}")
    check(np.array_equal(samples, sound(record_id, 0, len(samples))), f"the sound of {record_id} is another one")
    return len(samples)


def check_handovers(work: Workplace, said: list[dict[str, Any]]) -> None:
    """Each file with a hand-over's name is whole and opens for the study, and what was told is there."""
    found = {path.name: path for path in work.card.glob("*.tussis-handover")} if work.card.exists() else {}
    check({message["written"] for message in said if "written" in message} <= set(found), "a hand-over is gone")
    for path in found.values():
        with HandOverFile(path, [STUDY_PRIVATE]) as file:
            file.check()
            check(len(file.entries) >= len([one for one in work.expected.values() if one[-1]]), "records are missing")
        path.unlink()
    check_records(work, [])


def check_passcode(work: Workplace, said: list[dict[str, Any]]) -> None:
    """The passcode of before or the new one opens the vault, and all records with it."""
    changes = [message["changing"] for message in said if "changing" in message]
    work.passcodes = tuple(changes[-1]) if changes else work.passcodes
    vault = Vault(work.folder, DesktopDeviceSecret(work.folder))
    for passcode in work.passcodes:
        try:
            vault.unlock(passcode)
        except WrongPasscodeError:
            continue
        work.passcodes, work.vault = (passcode,), vault
        break
    check(vault.is_open, "neither passcode opens the vault")
    check_records(work, [])


def check(is_so: bool, otherwise: str) -> None:
    """Raise an AssertionError, under ``python -O`` too."""
    if not is_so:
        raise AssertionError(otherwise)


VICTIMS = {
    "recording": Victim(record, check_recordings, 0.4),
    "session": Victim(record_session, check_session, 2.5),
    "saving": Victim(save, check_records, 0.3),
    "erasing": Victim(erase, check_records, 0.3),
    "migrating": Victim(migrate, check_records, 0.2),
    "rescuing": Victim(rescue, check_records, 0.4),
    "handing-over": Victim(hand_over, check_handovers, 0.6),
    "passcode": Victim(change_passcode, check_passcode, 1.5),
}


# ---- killing -----------------------------------------------------------------------------------------------------


def killed(victim: Victim, work: Workplace, chance: random.Random) -> list[dict[str, Any]]:
    """Let a child work, kill it at a random moment, and return what it said."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _work_until_killed(victim, work, write_end, chance.getrandbits(64))
    os.close(write_end)
    deadline_s = time.monotonic() + chance.random() * victim.longest_s
    with os.fdopen(read_end, "rb") as pipe:
        lines = list(_lines_until(pipe, child, deadline_s))
    _, status = os.waitpid(child, 0)
    check(os.WIFSIGNALED(status), "".join(line.decode() for line in lines if b"traceback" in line) or "it ended")
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _work_until_killed(victim: Victim, work: Workplace, write_end: int, seed: int) -> None:
    def say(**message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(write_end, line) :]

    try:
        victim.work(work, say, random.Random(seed))
    except BaseException as error:  # the parent tells it
        say(traceback=repr(error))
    os._exit(1)


def _lines_until(pipe: Any, child: int, deadline_s: float) -> Iterator[bytes]:
    os.set_blocking(pipe.fileno(), False)
    rest, is_killed = b"", False
    while True:
        content = pipe.raw.read(1 << 20) if hasattr(pipe, "raw") else pipe.read()
        if content:
            *whole, rest = (rest + content).split(b"\n")
            yield from (line + b"\n" for line in whole)
        elif content == b"":
            return
        elif not is_killed and time.monotonic() >= deadline_s:
            os.kill(child, signal.SIGKILL)
            is_killed = True
        else:
            time.sleep(0.001)


def prepared(folder: Path) -> Workplace:
    """A folder with a passcode, a participant and a few records."""
    folder.mkdir()
    work = Workplace(folder, new_vault(folder))
    casebook = work.opened()
    work.participant_id = consented(casebook)
    for number in range(20):
        casebook.records.add("note", {"number": number}, event="note_added")
    work.expected = {one.id: [one.content] for one in casebook.records.all()}
    casebook.records.close()
    return work


def kill_all(n_kills: int, seed: int, names: list[str]) -> Counter:
    """Kill `n_kills` children, the victims in turn; raises an AssertionError at the first thing that was lost."""
    chance, n_said = random.Random(seed), Counter()
    folder = Path(tempfile.mkdtemp(prefix="tussis-kill-"))
    try:
        work = prepared(folder / "data")
        for number in range(n_kills):
            name = names[number % len(names)]
            said = killed(VICTIMS[name], work, chance)
            try:
                VICTIMS[name].check(work, said)
            except Exception as error:
                raise AssertionError(f"after kill {number + 1} in {name} (seed {seed}): {error}") from error
            n_said[name] += len(said)
        silent = [name for name in names if not n_said[name]]
        check(not silent or n_kills < 4 * len(names), f"nothing was done in {', '.join(silent)} before the kills")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return n_said


def main() -> None:
    """Kill as often as the command line says."""
    parser = argparse.ArgumentParser(description="Kill the store at random moments.")
    parser.add_argument("--kills", type=int, default=200, help="how many children are killed; default 200")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of the random moments")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS), help="which; default all")
    given = parser.parse_args()
    n_said = kill_all(given.kills, given.seed, given.victims)
    steps = ", ".join(f"{name} {count}" for name, count in n_said.items())
    print(f"{given.kills} kills (seed {given.seed}), nothing lost; steps that were told: {steps}.")


@pytest.mark.long
def test_nothing_is_lost_in_a_few_kills():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "tests.kill_test", "--kills", "14"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "14 kills" in done.stdout


if __name__ == "__main__":
    main()
