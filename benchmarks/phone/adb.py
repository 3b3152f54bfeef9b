"""Talks to a phone through the program adb, with a remedy in each sentence of an error."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from core.errors import TussisError
from core.files import sha256_of_file

ANSWER_S = 30.0
TRANSFER_S = 300.0
MAX_QUOTED = 200
# adb before Android 7 does not pass on the exit status, and a line that broke off looks like a short answer.
_STATUS_MARK = "tussis-exit-status:"
_HEADER = "List of devices attached"
_STATES = (
    "device|offline|unauthorized|authorizing|connecting|bootloader|recovery|sideload|rescue|host|detached"
    "|no permissions|unknown"
)
_LISTED = re.compile(rf"^(?P<serial>\S+)\s+(?P<state>{_STATES})\b.*$")
READY = "device"
_REMEDIES = {
    "unauthorized": "unlock it and allow USB debugging for this computer in the dialog it shows",
    "authorizing": "unlock it and allow USB debugging for this computer in the dialog it shows",
    "offline": "unplug it and plug it in again, or run: adb reconnect offline",
    "connecting": "wait a moment and try again",
    "no permissions": "install android-sdk-platform-tools-common, so that udev lets you use it, and plug it in again",
}


class PhoneError(TussisError):
    """A phone, or the adb that reaches it, that cannot be used; the sentence says what to do."""


class PhoneLostError(PhoneError):
    """A phone that was there and is gone, or no longer answers: nothing more can be measured on it."""


@dataclass(frozen=True)
class Listed:
    """One line of ``adb devices``: a serial number and the state of the connection."""

    serial: str
    state: str


@dataclass(frozen=True)
class Answer:
    """What a command on the phone printed (output and errors together) and its exit status."""

    text: str
    status: int


def find_adb() -> str:
    """Path of adb on PATH."""
    adb = shutil.which("adb")
    if adb is None:
        raise PhoneError("there is no program adb; install the Debian package adb or Android's platform tools.")
    return adb


def list_phones(adb: str) -> list[Listed]:
    """All that adb sees, in whatever state."""
    done = _call([adb, "devices"], ANSWER_S)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("*")]
    if done.returncode != 0:
        _refuse("adb does not list the phones", _last_line(done))
    if not lines or lines[0] != _HEADER:
        _refuse("adb does not list the phones; it answers", lines[0] if lines else "nothing")
    matches = [
        _LISTED.match(line) or _refuse("adb lists a phone in a line that is not understood", line) for line in lines[1:]
    ]
    return [Listed(match["serial"], match["state"]) for match in matches]


def choose_phone(serial: str | None = None, adb: str | None = None) -> "Phone":
    """The phone to use: the one with `serial` (or $ANDROID_SERIAL), else the only one that is ready."""
    adb = adb or find_adb()
    listed = list_phones(adb)
    wanted = serial or os.environ.get("ANDROID_SERIAL")
    if wanted is not None:
        listed = [phone for phone in listed if phone.serial == wanted] or _refuse_unknown(wanted, listed)
    ready = [phone for phone in listed if phone.state == READY]
    if len(ready) > 1:
        names = ", ".join(phone.serial for phone in ready)
        raise PhoneError(f"adb sees {len(ready)} phones, {names}; say which with --serial.")
    if not listed:
        raise PhoneError("adb sees no phone; connect one by USB and switch on USB debugging in its developer options.")
    if not ready:
        raise PhoneError(_not_ready(listed[0]))
    return Phone(adb, ready[0].serial)


@dataclass(frozen=True)
class Phone:
    """A phone that answered; every method raises `PhoneLostError` where it no longer does."""

    adb: str
    serial: str

    def run(self, command: Sequence[str], timeout_s: float = ANSWER_S) -> Answer:
        """Run a program of the phone; each argument reaches it as it is."""
        return self.run_script(shlex.join(command), timeout_s)

    def run_script(self, script: str, timeout_s: float = ANSWER_S) -> Answer:
        """Run a line of the phone's shell; whoever puts a name into it quotes it with ``shlex.quote``."""
        marked = f"{{ {script}\n}} 2>&1; status=$?; echo; echo {_STATUS_MARK}$status"
        done = self._adb(["shell", marked], timeout_s)
        text, mark, status = done.stdout.replace("\r\n", "\n").rpartition(_STATUS_MARK)
        if not mark or not re.fullmatch(r"[0-9]{1,3}\s*", status):
            self._explain(done, "does not finish the answer to a command")
        return Answer(text.removesuffix("\n"), int(status))

    def read(self, command: Sequence[str], timeout_s: float = ANSWER_S) -> str:
        """What a program of the phone prints; PhoneError where it fails."""
        answer = self.run(command, timeout_s)
        if answer.status != 0:
            self.refuse(f"cannot run {command[0]}", answer.text)
        return answer.text

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the phone and compare its SHA-256 there, where the phone has a program for it."""
        self._transfer(["push", str(local.absolute()), remote], f"does not take {local}")
        answer = self.run(["sha256sum", remote])
        if answer.status == 0 and not answer.text.startswith(sha256_of_file(local)):
            self.refuse(f"has another file than was sent as {local.name}", f"SHA-256 {answer.text.strip()[:64]}")

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the phone."""
        self._transfer(["pull", remote, str(local.absolute())], f"does not give {remote}")

    def refuse(self, what: str, text: str) -> NoReturn:
        """Raise a PhoneError that says what the phone cannot do, with the last line that it printed."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        _refuse(f"the phone {self.serial} {what}", lines[-1] if lines else "it does not say why")

    def _transfer(self, arguments: Sequence[str], what: str) -> None:
        done = self._adb(arguments, TRANSFER_S)
        if done.returncode != 0:
            self._explain(done, what)

    def _adb(self, arguments: Sequence[str], timeout_s: float) -> "subprocess.CompletedProcess[str]":
        return _call([self.adb, "-s", self.serial, *arguments], timeout_s, f"the phone {self.serial}")

    def _explain(self, done: "subprocess.CompletedProcess[str]", what: str) -> NoReturn:
        """Raise what went wrong: a phone that is gone is another thing than one that refuses."""
        state = next((phone.state for phone in list_phones(self.adb) if phone.serial == self.serial), None)
        if state is None:
            raise PhoneLostError(f"the phone {self.serial} is gone; plug it in again and repeat the command.")
        if state != READY:
            raise PhoneLostError(_not_ready(Listed(self.serial, state)))
        if "shell" in done.args:
            line = _shorten(_last_line(done))
            raise PhoneLostError(f"the phone {self.serial} {what} ({line}); see that its cable holds and try again.")
        self.refuse(what, _last_line(done))


def _call(command: Sequence[str], timeout_s: float, who: str = "adb") -> "subprocess.CompletedProcess[str]":
    """Run adb on this computer; never through a shell, never waiting for a keyboard."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        remedy = "unlock the phone, see that its cable holds, and try again"
        raise PhoneLostError(f"{who} did not answer within {timeout_s:g} s; {remedy}.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
        reason = getattr(error, "strerror", None) or error
        raise PhoneError(f"{command[0]} cannot be run: {reason}; install the Debian package adb anew.") from error


def _refuse_unknown(wanted: str, listed: list[Listed]) -> NoReturn:
    seen = ", ".join(f"{phone.serial} ({phone.state})" for phone in listed) or "none"
    raise PhoneError(f"there is no phone with the serial number {_shorten(wanted)}; adb sees: {seen}.")


def _not_ready(phone: Listed) -> str:
    remedy = _REMEDIES.get(phone.state, "start it into Android and plug it in again")
    return f"the phone {phone.serial} is there, but adb calls it {phone.state}; {remedy}."


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines()]
    printed = [line for line in lines if line and not line.startswith("*") and _STATUS_MARK not in line]
    errors = [line for line in printed if "error" in line.lower()]
    return (errors or printed or [f"adb ended with status {done.returncode}"])[-1]


def _shorten(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return printable if len(printable) <= MAX_QUOTED else printable[: MAX_QUOTED - 3] + "..."


def _refuse(what: str, line: str) -> NoReturn:
    raise PhoneError(f"{what}: {_shorten(line).rstrip('.')}.")
