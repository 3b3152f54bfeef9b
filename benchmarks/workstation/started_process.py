"""Runs Tussis as a phone does, in a process of its own that reports its time and memory."""

# Only the standard library, numpy and the runtime may come in here, and at the top only what Python has loaded anyway:
# what is imported further down is measured.

import sys
import time

N_AGAIN = 20


def process_memory() -> dict[str, int]:
    """Bytes of this process: ``resident_bytes`` now, ``peak_bytes`` ever, ``own_bytes`` now without mapped files.

    Where the system tells only the peak, it stands for the first two, and the third is absent.
    """
    names = {"VmRSS": "resident_bytes", "VmHWM": "peak_bytes", "RssAnon": "own_bytes"}
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123  (pathlib is not loaded yet)
            fields = dict(line.split(":", 1) for line in file if line.startswith(tuple(names)))
        return {name: 1024 * int(fields[field].split()[0]) for field, name in names.items()}
    except (OSError, KeyError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
        return {"resident_bytes": peak, "peak_bytes": peak}


class Diary:
    """Stages of a process: for each its name, the milliseconds since the process was started, and its memory."""

    def __init__(self, started_s: float):
        self._started_s = started_s
        self.entries: list[dict[str, object]] = []

    def note(self, stage: str) -> None:
        """Write down that a stage is done."""
        elapsed_ms = 1000 * (time.monotonic() - self._started_s)
        self.entries.append({"stage": stage, "at_ms": elapsed_ms, **process_memory()})


def screen_once(diary: Diary, recording: str, bundle: str, model: str) -> None:
    """From a bare Python to the first result, and then the same recording again and again."""
    diary.note("python")
    import numpy  # noqa: F401

    diary.note("numpy")
    import core.screener

    diary.note("core")
    import ai_edge_litert.interpreter  # noqa: F401

    diary.note("runtime")
    opened = core.screener.load_bundle(bundle or None)
    diary.note("bundle")
    interpreter = core.screener.LiteRtInterpreter(_content(model), 1, opened.model_shape) if model else None
    screener = core.screener.Screener(opened, 1, interpreter)
    diary.note("model")
    screener.screen(recording)
    diary.note("first result")
    for _ in range(N_AGAIN):
        screener.screen(recording)
    diary.note("again")


def allocate_once(diary: Diary, model: str) -> None:
    """What creating the runtime, allocating its tensors and the first run add, with nothing else in between."""
    from ai_edge_litert.interpreter import Interpreter

    content = _content(model)
    diary.note("read")
    runtime = Interpreter(model_content=content, num_threads=1)
    diary.note("create")
    runtime.allocate_tensors()
    diary.note("allocate")
    runtime.invoke()
    diary.note("invoke")


def screen_by_command(diary: Diary, *arguments: str) -> None:
    """The command ``tussis-screen`` with its arguments, from a bare Python to its end."""
    diary.note("python")
    import core.screen_command

    diary.note("core")
    status = core.screen_command.main(list(arguments))
    diary.note("recordings")
    if status:
        sys.exit(status)


def _content(model: str) -> bytes:
    with open(model, "rb") as file:  # noqa: PTH123
        return file.read()


def packages() -> list[str]:
    """What was imported that is neither the standard library nor Tussis."""
    own = {"core", "benchmarks"}
    names = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - own
    return sorted(name for name in names if not name.startswith("_"))


WORKS = {"screen": screen_once, "allocate": allocate_once, "command": screen_by_command}


def main(arguments: list[str]) -> None:
    """Run ``screen STARTED_S RECORDING BUNDLE MODEL``, ``allocate STARTED_S MODEL`` or ``command STARTED_S ARGUMENTS``.

    Its last line is JSON: the stages, and the packages that were imported.
    """
    work, started_s, *rest = arguments
    diary = Diary(float(started_s))
    WORKS[work](diary, *rest)
    import json

    print(json.dumps({"stages": diary.entries, "packages": packages()}))


if __name__ == "__main__":
    main(sys.argv[1:])
