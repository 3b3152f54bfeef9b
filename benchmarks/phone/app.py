"""Asks the installed app to time a model: the intent that starts it, and the file that it leaves."""

import re
import secrets
import shlex
import time
from dataclasses import dataclass

from benchmarks.phone.adb import Phone, PhoneError, PhoneLostError
from benchmarks.phone.models import Measured, PhoneModel, Setting
from core.json_fields import parse_object
from core.stopwatch import timing_metrics

# The contract between this command and the app (a debuggable build, because only that lets run-as into its files).
#
# Started with the action and the extras request, model, delegate (texts), threads and runs (whole numbers), the app
# reads FOLDER/MODEL in its own files, times it with its own interpreter as a screening
# does (input copied, model invoked, all outputs read), and writes FOLDER/REQUEST.json whole or not at all:
#   {"format": "tussis.app-benchmark/1", "request": REQUEST, "runtime": "LiteRT 1.4.0", "load_ms": 3.1,
#    "first_run_ms": 9.7, "n_runs": 50, "runs_ms": [2.21, ...]}
# or, where it cannot, {"format": ..., "request": REQUEST, "error": "one sentence"}.
APP_PACKAGE = "org.tussis.app"
APP_ACTIVITY = "org.kivy.android.PythonActivity"
BENCHMARK_ACTION = "org.tussis.app.BENCHMARK"
APP_FOLDER = "files/benchmark"
APP_FORMAT = "tussis.app-benchmark/1"

ROUND_S = 300.0
POLL_S = 1.0
MAX_RUNS = 100_000
MAX_RUN_MS = 600_000.0


@dataclass(frozen=True)
class AppRunner:
    """The app of a phone; `folder` is where files are handed over, `round_s` how long a round may take."""

    phone: Phone
    folder: str
    runs: int
    round_s: float = ROUND_S
    poll_s: float = POLL_S

    def place(self, model: PhoneModel) -> None:
        """Hand a model to the app: through a folder that adb may write and a pipe that run-as may read."""
        remote = model.push(self.phone, self.folder)
        inside = shlex.quote(f"mkdir -p {APP_FOLDER} && cat > {APP_FOLDER}/{model.file_name}")
        answer = self.phone.run_script(f"cat {shlex.quote(remote)} | run-as {APP_PACKAGE} sh -c {inside}")
        if answer.status != 0:
            self.phone.refuse("does not hand a model to the app", answer.text)

    def measure(self, model: PhoneModel, setting: Setting) -> Measured:
        """One round, in a process of the app that is started for it."""
        request = secrets.token_hex(8)
        self._start(request, model, setting)
        content = self._wait_for(f"{APP_FOLDER}/{request}.json")
        self.phone.run(["am", "force-stop", APP_PACKAGE])
        return read_answer(content, request, self.runs, f"the app's answer for {model.name}")

    def clean(self) -> None:
        """Remove the models and answers from the app's files."""
        self.phone.run(["run-as", APP_PACKAGE, "rm", "-rf", APP_FOLDER])

    def _start(self, request: str, model: PhoneModel, setting: Setting) -> None:
        texts = {"request": request, "model": model.file_name, "delegate": setting.delegate}
        numbers = {"threads": setting.threads, "runs": self.runs}
        command = ["am", "start", "-S", "-n", f"{APP_PACKAGE}/{APP_ACTIVITY}", "-a", BENCHMARK_ACTION]
        command += [word for key, value in texts.items() for word in ("--es", key, value)]
        command += [word for key, value in numbers.items() for word in ("--ei", key, str(value))]
        answer = self.phone.run(command)
        if answer.status != 0 or re.search(r"^Error", answer.text, re.MULTILINE):  # am ends with 0 in many of them
            self.phone.refuse("does not start the app", answer.text)

    def _wait_for(self, path: str) -> bytes:
        end_s = time.monotonic() + self.round_s
        while time.monotonic() < end_s:
            answer = self.phone.run(["run-as", APP_PACKAGE, "cat", path])
            if answer.status == 0:
                return answer.text.encode("utf-8")
            time.sleep(self.poll_s)
        raise PhoneLostError(
            f"the app on the phone {self.phone.serial} gave no result within {self.round_s:g} s; unlock the phone and "
            "keep its screen on."
        )


def open_app(phone: Phone, folder: str, runs: int) -> AppRunner:
    """The app, after seeing that it is installed and lets its files be read."""
    answer = phone.run(["run-as", APP_PACKAGE, "true"])
    if answer.status != 0:
        remedy = f"install a debug build of {APP_PACKAGE}, or name --benchmark-model"
        phone.refuse(f"does not let the app be asked; {remedy}", answer.text)
    return AppRunner(phone, folder, runs)


def read_answer(content: bytes, request: str, runs: int, source: str) -> Measured:
    """Check what the app wrote, field by field; PhoneError with the field that is wrong, or the app's own error."""
    fields = parse_object(content, source, PhoneError)
    fields.one_of("format", (APP_FORMAT,))
    fields.one_of("request", (request,))
    if "error" in fields.values:
        raise PhoneError(f"{source}: {fields.text('error', at_most=500)}")
    n_runs = fields.integer("n_runs", runs, MAX_RUNS)
    runs_ms = fields.numbers("runs_ms", n_runs, lowest=0)
    start_ms = {key: fields.number(key, 0, MAX_RUN_MS, "ms") for key in ("load_ms", "first_run_ms")}
    return Measured(
        n_runs=n_runs,
        metrics={**start_ms, **timing_metrics(runs_ms)},
        runtime=fields.text("runtime", at_most=100),
        samples_ms=tuple(map(float, runs_ms)),
        facts={"runner": f"the app {APP_PACKAGE}"},
    )
