"""Writes what a training run tells: log.jsonl, and a progress bar or plain lines."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from core.errors import OutputError
from core.files import write_atomically
from distill.shown_text import PlainConsole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class LoggedSettings(Protocol):
    """The settings that the log needs."""

    steps: int
    batch_size: int
    peak_tflops: float | None


class LossMeans:
    """Means of the losses since they were last taken; part of a checkpoint, so that a resumed log is the same."""

    def __init__(self, sums: dict[str, float] | None = None, count: int = 0) -> None:
        self._sums = dict(sums or {})
        self._count = count

    def add(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return the means and begin anew; empty where nothing was added."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "count": self._count}


class TrainingLog:
    """Write one JSON object a line, and show progress: a bar in a terminal, plain lines elsewhere.

    The same numbers go to TensorBoard files in ``tensorboard/`` beside the log, where that package is installed.
    On opening, lines of steps after `start_step` are dropped, and a half-written last line: they belong to work that
    was lost when the run was killed.
    """

    def __init__(
        self, path: Path, settings: LoggedSettings, start_step: int, flops_per_clip: float | None = None
    ) -> None:
        self._settings, self._flops_per_clip = settings, flops_per_clip
        self._console = PlainConsole()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_step, self._last_time = start_step, time.perf_counter()
        try:
            write_atomically(path, "".join(_lines_up_to(path, start_step)))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write the log {path}: {error.strerror}") from error
        self._board = _tensorboard(path.parent / "tensorboard", start_step)

    def __enter__(self) -> "TrainingLog":
        if self._console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
            self._progress = Progress(*columns, console=self._console)
            self._progress.start()
            self._task = self._progress.add_task("", total=self._settings.steps, completed=self._last_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def losses(self, step: int, means: LossMeans, learning_rate: float, elapsed_s: float, waiting_share: float) -> None:
        """Log the means of the losses since the last call; shows clips per second and the time left.

        `waiting_share` tells whether the input keeps up: the part of the steps' time spent waiting for clips, 0 to 1.
        """
        now = time.perf_counter()
        steps_per_s = (step - self._last_step) / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        losses = means.take()
        speed = self._speed(steps_per_s * self._settings.batch_size)
        times = {"waiting_share": round(waiting_share, 4), "elapsed_s": round(elapsed_s, 2)}
        self._write({"step": step, **losses, "lr": learning_rate, **speed, **times})
        text = (
            " ".join(f"{name} {value:.4f}" for name, value in losses.items()) + f"  {speed['clips_per_s']:.0f} clips/s"
        )
        if "mfu" in speed:
            text += f"  {speed['mfu']:.1%} MFU"
        text += f"  {waiting_share:.0%} waiting"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step, description=text)
        else:
            minutes = (self._settings.steps - step) / max(steps_per_s, 1e-9) / 60
            print(f"step {step}/{self._settings.steps}  {text}  {minutes:.1f} min left", flush=True)

    def _speed(self, clips_per_s: float) -> dict[str, float]:
        """Clips per second and, where it can be told, the part of the device's FLOP/s that the model uses (MFU)."""
        speed = {"clips_per_s": round(clips_per_s, 1)}
        if self._flops_per_clip is not None and self._settings.peak_tflops is not None:
            speed["mfu"] = round(clips_per_s * self._flops_per_clip / (self._settings.peak_tflops * 1e12), 4)
        return speed

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log what was measured at a checkpoint."""
        if not metrics:
            return
        self._write({"step": step, "at": "checkpoint", **metrics})
        self._console.print(f"step {step}  " + " ".join(f"{name} {value:.4f}" for name, value in metrics.items()))

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._board is not None:
            for name in record.keys() - {"step", "at"}:
                self._board.add_scalar(name, record[name], record["step"])


class SilentLog(TrainingLog):
    """A log that takes everything and tells nothing, for the processes of a run that are not its first."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> "SilentLog":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def losses(self, step: int, means: LossMeans, learning_rate: float, elapsed_s: float, waiting_share: float) -> None:
        means.take()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        pass


def _tensorboard(folder: Path, start_step: int) -> "SummaryWriter | None":
    """Open TensorBoard's files, forgetting steps after `start_step`; None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start_step + 1)


def _lines_up_to(path: Path, step: int) -> list[str]:
    """Read the lines of an earlier part of the run; stops at the first that is damaged or after `step`."""
    kept: list[str] = []
    if not path.exists():
        return kept
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            later = json.loads(line)["step"] > step
        except (json.JSONDecodeError, KeyError, TypeError):
            break
        if later:
            break
        kept.append(line)
    return kept
