"""The only place that runs TFLite's benchmark_model on a telephone: its flags, and whether the delegate really ran."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.phone.adb import Phone, PhoneError
from benchmarks.phone.benchmark_model_output import BenchmarkOutput, last_words, parse_output
from benchmarks.phone.device import pinned
from benchmarks.phone.models import BUILTIN, GPU, NNAPI, ON_PROCESSOR, XNNPACK, Measured, PhoneModel, Setting
from benchmarks.phone.profile import RUNS, OperatorTime, parse_profile_csv
from benchmarks.timing.interleaved import WARM_UP_RUNS
from core.files import sha256_of_file

TOOL = "benchmark_model"
MAX_ROUND_S = 150
START_S = 120  # a GPU delegate compiles its programs for up to a minute
_TABLE = "operators.csv"
_FLAGS = {
    XNNPACK: ("--use_xnnpack=true",),
    BUILTIN: ("--use_xnnpack=false",),
    GPU: ("--use_gpu=true",),
    NNAPI: ("--use_nnapi=true",),
}
_CANNOT_START = (126, 127)


@dataclass(frozen=True)
class BenchmarkModelRunner:
    """benchmark_model in `folder` of a telephone; `runs` per round, on `cores` only where there are some."""

    phone: Phone
    folder: str
    tool_sha256: str
    runs: int
    cores: tuple[int, ...] = ()

    def place(self, model: PhoneModel) -> None:
        """Copy a model into the folder and see that it arrived whole."""
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / model.file_name
            path.write_bytes(model.content)
            push_checked(self.phone, path, f"{self.folder}/{model.file_name}")

    def measure(self, model: PhoneModel, setting: Setting) -> Measured:
        """One round of `runs` runs."""
        output = self._run(model, setting, ())
        check_delegation(output, setting.delegate, model.name)
        delegation = {} if output.delegation is None else {"delegated": output.delegation.share}
        facts = {"runner_sha256": self.tool_sha256, "cores": list(self.cores) or "any", **delegation}
        runtime = f"{TOOL} {self.tool_sha256[:12]}"
        return Measured(output.runs.n_runs, output.metrics(), runtime, facts=facts)

    def measure_operators(self, model: PhoneModel, setting: Setting) -> tuple[OperatorTime, ...]:
        """Operators of one more round, whose times are of a profiled run and stand for shares, not for latency."""
        table = f"{self.folder}/{_TABLE}"
        self._run(model, setting, ("--enable_op_profiling=true", f"--profiling_output_csv_file={table}"))
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / _TABLE
            self.phone.pull(table, path)
            text = path.read_text(encoding="utf-8", errors="replace")
        operators = parse_profile_csv(text, f"the operator table of {model.name}")
        return tuple(its for its in operators if its.stage == RUNS)

    def clean(self) -> None:
        """Nothing is left outside of the folder."""

    def _run(self, model: PhoneModel, setting: Setting, more_flags: tuple[str, ...]) -> BenchmarkOutput:
        command = [
            f"{self.folder}/{TOOL}",
            f"--graph={self.folder}/{model.file_name}",
            f"--num_threads={setting.threads}",
            f"--warmup_runs={WARM_UP_RUNS}",
            f"--num_runs={self.runs}",
            f"--max_secs={MAX_ROUND_S}",
            *_FLAGS[setting.delegate],
            *more_flags,
        ]
        answer = self.phone.run(pinned(command, self.cores), START_S + 2 * MAX_ROUND_S)
        what = f"{TOOL} with {model.name}, {setting.delegate}, {setting.threads} thread(s)"
        if answer.status in _CANNOT_START:
            self.phone.refuse(f"cannot start {TOOL}; is it built for this phone's processor?", answer.text)
        if answer.status != 0:
            self.phone.refuse(f"ended {what} with status {answer.status}", last_words(answer.text))
        return parse_output(answer.text, f"the output of {what}")


def place_tool(phone: Phone, folder: str, tool: Path, runs: int, cores: tuple[int, ...]) -> BenchmarkModelRunner:
    """Copy benchmark_model to the telephone and make it a program there."""
    remote = f"{folder}/{TOOL}"
    push_checked(phone, tool, remote)
    phone.read(["chmod", "755", remote])
    return BenchmarkModelRunner(phone, folder, sha256_of_file(tool), runs, cores)


def push_checked(phone: Phone, local: Path, remote: str) -> None:
    """Copy a file and compare its SHA-256 there, where the telephone has a program for it."""
    sha256 = sha256_of_file(local)
    phone.push(local, remote)
    answer = phone.run(["sha256sum", remote])
    if answer.status == 0 and not answer.text.startswith(sha256):
        phone.refuse(f"has another file than was sent as {local.name}", f"SHA-256 {answer.text.strip()[:64]}")


def check_delegation(output: BenchmarkOutput, delegate: str, name: str) -> None:
    """Refuse a round in which another than the delegate asked for ran the model: the tool goes on without a word."""
    found = output.delegation
    if delegate == BUILTIN:
        if found is not None and found.share != "none":
            raise PhoneError(f"{name} was to run without a delegate, and {found.name} ran it; its time is left out.")
    elif found is None and delegate in ON_PROCESSOR:
        return
    elif found is None or found.share == "none" or found.name.lower() != delegate:
        is_other = found is not None and found.name.lower() != delegate
        ran = f"{found.name} ran it" if is_other else "it took none of the operators"
        raise PhoneError(f"the delegate {delegate} does not run {name} on this phone ({ran}); its time is left out.")
