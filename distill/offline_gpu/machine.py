"""Runs the whole pretraining on one GPU machine, in the time it is given (make gpu-pretrain)."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import SettingsError, exit_on_error
from core.files import write_atomically
from core.process.signals import ENDING
from distill.offline_gpu.wheels import LIBRARIES_FOLDER, lend_libraries

SIZES = ("large", "base", "small")
STAGES = ("unpack", "pretrain", "keep")
LAST_KEPT = "probes.json"
CHECKPOINTS = ("final.pt", "latest.pt")
GRACE_S = 40.0  # to write a last checkpoint, 5 GB for a ViT-L
_ALMOST_S = 20.0  # what is left of a size's time below this is not worth a start


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m distill.offline_gpu.machine``."""
    with exit_on_error("gpu_pretrain"):
        options = _parser().parse_args(arguments)
        minutes = read_minutes(options.minutes)
        options.run.mkdir(parents=True, exist_ok=True)
        lend_libraries(options.pack / LIBRARIES_FOLDER, options.run / LIBRARIES_FOLDER)
        if options.stage:
            _run_stage(options)
        else:
            sys.exit(Machine(options, minutes).run())


def read_minutes(text: str) -> dict[str, float]:
    """Read "large=8,base=4" as minutes of training by size, in that order."""
    minutes: dict[str, float] = {}
    for part in text.split(","):
        size, _, number = part.strip().partition("=")
        try:
            minutes[size] = float(number)
        except ValueError:
            minutes[size] = 0.0
        if size not in SIZES or not 0 < minutes[size] < 1e6:
            expected = f"expected SIZE=MINUTES, joined by commas, of the sizes {', '.join(SIZES)}"
            raise SettingsError(f"--minutes has the part {part!r}; {expected}, for instance large=8,small=6")
    return minutes


class Machine:
    """The stages in their order, each in a process of its own: what fails, or runs out of memory or time, ends alone.

    A stage whose file is newer than the weights it was made from is passed over: the same command goes on where an
    earlier one stopped.
    """

    def __init__(self, options: argparse.Namespace, minutes: dict[str, float]) -> None:
        self.options, self.minutes, self.run_dir = options, minutes, options.run
        self.end = time.time() + 60 * options.within_minutes
        self.failures: list[str] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = 0

    def run(self) -> int:
        """Run what is still to be done; results are written after each size. Returns the exit status."""
        for number in ENDING:
            signal.signal(number, self._stop)
        self._stage("unpack", self.run_dir / "store" / "manifest.csv", self.end)
        for size, minutes in self.minutes.items() if not self.failures else ():
            self._pretrain(size, 60 * minutes)
            self._stage("keep", self.run_dir / size / LAST_KEPT, self.end, size)
            self._write_results()
        for failure in self.failures:
            print(f"gpu_pretrain: {failure}", file=sys.stderr)
        return 128 + self._stopped if self._stopped else 2 * bool(self.failures)

    def _stop(self, number: int, _: object) -> None:
        self._stopped, self.end = number, 0.0
        if self._child is not None:
            self._child.terminate()

    def _pretrain(self, size: str, seconds: float) -> None:
        """Train a size for what is left of its time and of the call's."""
        spent_file = self.run_dir / size / "spent.json"
        spent = json.loads(spent_file.read_text(encoding="utf-8")) if spent_file.exists() else {"seconds": 0.0}
        left_s = min(seconds - spent["seconds"], self.end - time.time() - GRACE_S)
        if left_s < min(_ALMOST_S, 0.1 * seconds) or is_finished(self.run_dir / size):
            return
        started = time.time()
        self._process("pretrain", started + left_s, size, "--seconds", seconds)
        spent["seconds"] += time.time() - started
        if spent_file.parent.exists():
            write_atomically(spent_file, json.dumps(spent) + "\n")

    def _stage(self, stage: str, kept: Path, until: float, size: str = "") -> None:
        made_from = [kept.parent / name for name in CHECKPOINTS if size and (kept.parent / name).exists()]
        is_made = kept.exists() and all(kept.stat().st_mtime >= path.stat().st_mtime for path in made_from)
        if not is_made and (made_from or not size) and time.time() < until:
            self._process(stage, until, size)

    def _process(self, stage: str, until: float, size: str = "", *more: object) -> None:
        """Run a stage; at its time it is asked to stop, and a little later made to."""
        started, what = time.time(), f"{stage} {size}".strip()
        own = [
            "--pack",
            self.options.pack,
            "--run",
            self.run_dir,
            "--stage",
            stage,
            "--size",
            size,
            "--until",
            until,
            *more,
        ]
        changes = [word for change in self.options.set for word in ("--set", change)]
        self._child = subprocess.Popen([sys.executable, "-m", "distill.offline_gpu.machine", *map(str, own), *changes])
        try:
            status = self._child.wait(max(0.1, until - time.time()))
        except subprocess.TimeoutExpired:
            self._child.terminate()
            try:
                status = self._child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                status = self._child.wait()
        self._child = None
        print(f"{what}: {time.time() - started:.0f} s, status {status}", flush=True)
        if status and not self._stopped and time.time() < until:
            self.failures.append(f"the stage {what} failed with status {status}; its last lines say why")

    def _write_results(self) -> None:
        from distill.offline_gpu.results import collect, write_report, write_results

        write_report(self.run_dir, list(self.minutes), self.failures, self.options.pack)
        files = collect(self.run_dir, list(self.minutes))
        wanted = {name: path for name, path in files.items() if not self.options.only or name in self.options.only}
        index = write_results(wanted, self.options.out, self.options.out_mib)
        total = sum(chunk.bytes for chunk in index.chunks) / 2**20
        print(
            f"{self.options.out}: {len(index.files)} files, {total:.1f} MiB in {len(index.chunks)} chunks", flush=True
        )
        if index.left:
            print(f"left here, for another call with --only: {','.join(index.left)}", flush=True)


def is_finished(folder: Path) -> bool:
    """Whether a run has taken all the steps of its plan, by its log."""
    plan, log = folder / "plan.json", folder / "log.jsonl"
    if not (plan.exists() and log.exists() and (folder / "final.pt").exists()):
        return False
    steps = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return bool(steps) and max(steps) >= json.loads(plan.read_text(encoding="utf-8"))["steps"]


def _run_stage(options: argparse.Namespace) -> None:
    from distill.offline_gpu import stages

    if options.stage == "unpack":
        stages.unpack(options.pack, options.run)
    elif options.stage == "pretrain":
        stages.pretrain_until(options.run, options.size, options.until, options.seconds, options.set)
    else:
        stages.keep(options.run, options.size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m distill.offline_gpu.machine",
        description="Pretrain on one GPU machine and bring back what is small; called again, it goes on.",
        epilog="Example: python -m distill.offline_gpu.machine --pack cache/gpu_pack --out OUT "
        "--minutes large=8,small=6",
    )
    add = parser.add_argument
    add("--pack", type=Path, required=True, help="folder written by python -m distill.offline_gpu.pack")
    add("--run", type=Path, default=Path("runs/gpu"), help="folder of everything that is made [%(default)s]")
    add("--out", type=Path, default=Path("runs/gpu_results"), help="folder of the results [%(default)s]")
    add("--minutes", default="large=8,base=4,small=6", help="minutes of each size, of all calls [%(default)s]")
    add("--within-minutes", type=float, default=1e6, help="end this call after as many minutes; unlimited if left out")
    add("--out-mib", type=float, default=60.0, help="what the results may take, in MiB [%(default)s]")
    add("--only", type=lambda text: text.split(","), default=[], help="results to bring back, names joined by commas")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every size; may be repeated")
    add("--stage", choices=STAGES, help=argparse.SUPPRESS)
    add("--size", default="", help=argparse.SUPPRESS)
    add("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    add("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    # A compiler's threads would take the cores from the loading threads of a run that is already learning.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "8")
    main()
