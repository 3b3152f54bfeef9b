"""Drives a whole day by taps: set-up, consent, tasks, a redo, the result, a withdrawal, the hand-over and its receipt.

`python -OO -m tests.app.whole_day FOLDER` does it as a phone runs: without asserts and docstrings.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.app.conftest import KIVY_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
PASSCODE, RATE_HZ = "135792", 16_000
REMARK = "coughs more at night"
NOTE = "on a bench in the yard"


def check(holds: bool, what: str) -> None:
    """What holds under -OO too, which an assert does not."""
    if not holds:
        raise AssertionError(what)


def coordinator(*arguments: object) -> str:
    """What `tussis-study` prints."""
    command = [sys.executable, "-m", "app.coordinator.command", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, done.stderr)
    return done.stdout


def make_study(folder: Path) -> Path:
    """The practice study in earnest, with one round of each task, built by the coordinator."""
    coordinator("keygen", folder / "keys")
    draft, path = folder / "draft", folder / "study" / "coughs.tussis-study"
    shutil.copytree(ROOT / "app" / "practice_study", draft)
    fields = json.loads((draft / "study.json").read_text(encoding="utf-8"))
    fields |= {"id": "cough_study", "is_practice": False, "id_pattern": "CG-####-*"}
    fields["tasks"] = [task | {"rounds": 1, "duration_s": min(task["duration_s"], 6)} for task in fields["tasks"]]
    (draft / "study.json").write_text(json.dumps(fields), encoding="utf-8")
    path.parent.mkdir()
    keys = ("--key", folder / "keys" / "signing.key", "--handover-key", folder / "keys" / "handover.key.pub")
    coordinator("build", draft, *keys, "--out", path)
    return path


class Person:
    """A fake microphone in a quiet room, with somebody before it who does what the task asks."""

    def __init__(self) -> None:
        from core.demonstration import synthesize_demonstration

        random = np.random.default_rng(11)
        breath = 0.2 * np.exp(-np.arange(3 * RATE_HZ) / RATE_HZ) * random.standard_normal(3 * RATE_HZ)
        quiet = 0.0003 * random.standard_normal(RATE_HZ // 2)
        self.sounds = {
            "room_noise": np.zeros(0, np.float32),
            "coughs": np.concatenate([quiet, synthesize_demonstration()]).astype(np.float32),
            "forced_breaths": np.concatenate([quiet, breath]).astype(np.float32),
        }
        self.task, self._number = "room_noise", 0
        self.n_overflows, self.has_ended, self.facts = 0, False, {"name": "person", "sample_rate_hz": RATE_HZ}

    def start(self, on_block: Callable[[np.ndarray], None]) -> int:
        self._number += 1
        threading.Thread(target=self._play, args=(on_block, self._number), daemon=True).start()
        return RATE_HZ

    def stop(self) -> None:
        self._number += 1

    def _play(self, on_block: Callable[[np.ndarray], None], number: int) -> None:
        """The sound and then the room, by the clock, however late the thread is."""
        room = 0.0003 * np.random.default_rng(7).standard_normal(120 * RATE_HZ)
        sound = self.sounds[self.task]
        room[: len(sound)] += sound
        begun_s, n_block = time.monotonic(), RATE_HZ // 50
        for place in range(0, len(room), n_block):
            time.sleep(max(0.0, begun_s + (place + n_block) / RATE_HZ - time.monotonic()))
            if number != self._number:
                return
            on_block(room[place : place + n_block].astype(np.float32))


class Day:
    """The field worker's hands."""

    def __init__(self, folder: Path) -> None:
        from kivy.clock import Clock

        from app.screens.shell import Shell
        from core.bundle import load_bundle
        from core.screener import Screener
        from tests.app.field_day import field_work
        from tests.app.stage import Stage

        self.stage, self.person = Stage(), Person()
        self.work = field_work(
            folder,
            lambda job: Clock.schedule_once(lambda _: job()),
            microphone=self.person,
            load_screener=lambda: Screener(load_bundle()),
        )
        self.files = self.work.facilities.files.folders()[0]
        self.shell = Shell(self.work)
        self.stage.show(self.shell)
        self.work.open()

    def wait_for(self, place: str) -> None:
        self.stage.wait(lambda: self.work.navigation.top.name == place and not self.work.is_working)

    def set_up(self) -> None:
        """A passcode, a language, the study file."""
        press, enter = self.stage.press_words, self.stage.enter
        press("English")
        press("Continue")
        press("Open a study file")
        press("coughs.tussis-study")
        enter("New passcode", PASSCODE)
        press("Continue")
        enter("The same passcode again", PASSCODE)
        press("Finish")
        self.wait_for("home")

    def add_participant(self, serial: int) -> str:
        """A participant with answers and a signed consent; ends on the participant's page."""
        press, enter = self.stage.press_words, self.stage.enter
        participant_id = self.work.study.new_id(serial)
        press("Add a participant")
        enter("Participant id", "".join(letter for letter in participant_id if letter.isdigit()))
        enter("Year of birth", "1984")
        press("Female")
        press("2 weeks or more")
        press("Yes")
        enter("Anything else? Write no names. (may stay empty)", REMARK)
        press("Save")
        self.wait_for("participant")
        press("Read and sign the consent")
        press("The participant read or heard this text and agrees.")
        self.stage.drag(self.shell.page.ids.pad, [(0.1, 0.2), (0.4, 0.8), (0.6, 0.3), (0.9, 0.7)])
        press("Save the consent")
        self.wait_for("participant")
        return participant_id

    def record(self, answer: str) -> None:
        """One recording to its end, and what is decided on it."""
        session = self.work.session
        self.stage.wait(lambda: session.state.step == "ready")
        self.person.task = session.state.task.kind
        self.stage.draw(5)
        from app.widgets.controls import RecordButton

        self.stage.press(next(each for each in self.shell.page.walk() if isinstance(each, RecordButton)))
        self.stage.wait(lambda: session.state.step == "decide")
        self.stage.draw(5)
        if answer == "Keep" and session.state.verdict.outcome != "good":
            self.stage.press_words("Keep it, with a reason")
            self.stage.press_words("The participant cannot do it better")
        self.stage.press_words(answer)
        self.stage.wait(lambda: session.state.step not in ("decide", "judging"))

    def do_tasks(self) -> None:
        """Room noise, coughs twice, a forced breath; ends on the result."""
        self.stage.press_words("Start recording")
        for answer in ("Keep", "Record again", "Keep", "Keep"):
            self.record(answer)
        self.wait_for("result")


def main(folder: Path) -> None:
    """The whole day; raises where something is not as it should be."""
    os.environ.update({**KIVY_ENVIRONMENT, "KIVY_HOME": str(folder / "kivy")})
    (folder / "kivy").mkdir(parents=True)
    study_file = make_study(folder)
    (folder / "files").mkdir()
    shutil.copy(study_file, folder / "files")
    day = Day(folder)
    day.set_up()
    first = day.add_participant(17)
    day.do_tasks()
    check(first in day.stage.text, "the result names the participant")
    note_one(day)
    day.stage.press_back()
    second = day.add_participant(18)
    day.stage.press_words("Start recording")
    day.record("Keep")
    day.stage.press_back()
    withdraw(day, second)
    received = hand_over(day, folder, study_file)
    check_received(received, first, second)
    day.work.close()
    check_nothing_readable(folder / "data", [first, second])
    print("THE WHOLE DAY WENT WELL")


def note_one(day: Day) -> None:
    """A note on a recording, from the history; ends on the first page."""
    day.work.navigation.restart("home")
    day.stage.draw()
    day.stage.press_words("History")
    day.stage.draw(6)
    attempt = day.work.casebook.attempts()[-1]
    day.shell.page.ids.list.data[0]["choose"](attempt.record_id)
    day.stage.draw()
    field = next(each for each in day.shell.page.walk() if getattr(each, "hint", "") == "Write a note; no names")
    field.text = NOTE
    day.stage.press_words("Add the note")
    day.stage.wait(lambda: not day.work.is_working)
    day.stage.press_back()


def withdraw(day: Day, participant_id: str) -> None:
    """The consent of the second participant is taken back, and the recording is gone."""
    day.wait_for("participant")
    day.stage.press_words("Withdraw the consent")
    day.stage.press_words("Withdraw and erase")
    day.stage.wait(lambda: not day.work.is_working)
    check(day.work.casebook.attempts(participant_id) == [], "a withdrawal erases the recordings")
    day.work.navigation.restart("home")
    day.stage.draw()


def hand_over(day: Day, folder: Path, study_file: Path) -> Path:
    """Everything goes to the coordinator, whose receipt lets the recordings be deleted."""
    day.stage.press_words("Hand over")
    day.stage.press_words("Hand over everything")
    day.stage.press_words("Save here")
    day.stage.wait(lambda: day.work.navigation.top.facts.get("step") == "receipt" and not day.work.is_working)
    (path,) = day.files.glob("*.tussis-handover")
    out = folder / "received"
    key = folder / "keys" / "handover.key"
    printed = coordinator("receive", path, "--key", key, "--study", study_file, "--out", out)
    words = (word.strip(".,:;") for word in printed.split())
    (receipt,) = {word for word in words if len(word) >= 13 and word.replace("-", "").isdigit()}
    day.stage.enter("Receipt", receipt.replace("-", ""))
    day.stage.press_words("Check the receipt")
    day.stage.wait(lambda: not day.work.is_working)
    day.stage.press_words("Delete the recordings")
    day.stage.press_words("Delete")
    day.stage.wait(lambda: not day.work.is_working)
    check(day.work.casebook.attempts() == [], "what was received is deleted")
    return out


def check_received(out: Path, first: str, second: str) -> None:
    """The first participant's recordings came whole, and the second's withdrawal."""
    recordings = (out / "recordings.csv").read_text(encoding="utf-8").splitlines()
    check(len(recordings) == 1 + 4, f"four recordings were received: {recordings}")
    check(all(first in line for line in recordings[1:]), "all are of the first participant")
    check(second in (out / "withdrawals.csv").read_text(encoding="utf-8"), "the withdrawal was received")
    check(REMARK in (out / "answers.csv").read_text(encoding="utf-8"), "the answers were received")
    check(len(list((out / "recordings").glob("*.wav"))) == 4, "four sounds were received")


def check_nothing_readable(folder: Path, ids: list[str]) -> None:
    """Nothing in the data folder tells who was there, or what was said of them."""
    secrets = [text.encode() for text in (*ids, REMARK, NOTE, "1984", PASSCODE)]
    for path in (each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        found = [secret for secret in secrets if secret in content and len(secret) > 4]
        check(not found, f"{path} holds {found}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
