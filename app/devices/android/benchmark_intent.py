"""Answers the intent of `tussis-benchmark phone`, in debuggable builds only, without unlocking anything."""

from pathlib import Path
from typing import Any

from app.devices.android.activity import activity
from app.devices.android.interpreter import AndroidInterpreter
from app.devices.android.java import find_classes, java
from app.latency.request import APP_FOLDER, answer_request

ACTION = "org.tussis.app.BENCHMARK"
ABSENT = -(2**31)


def answer_benchmark() -> bool:
    """Whether the application was started for a round of the benchmark, which is answered then."""
    find_classes()
    intent = activity().getIntent()
    if intent is None or intent.getAction() != ACTION or not _is_debuggable():
        return False
    folder = Path(activity().getFilesDir().getAbsolutePath()) / APP_FOLDER
    answer_request(_extras(intent), folder, _open_model)
    return True


def _is_debuggable() -> bool:
    information = java("android.content.pm.ApplicationInfo")
    return bool(activity().getApplicationInfo().flags & information.FLAG_DEBUGGABLE)


def _extras(intent: Any) -> dict[str, Any]:
    texts = {key: intent.getStringExtra(key) for key in ("request", "model", "delegate")}
    numbers = {key: intent.getIntExtra(key, ABSENT) for key in ("threads", "runs")}
    return {**texts, **numbers}


def _open_model(path: Path, threads: int, xnnpack: bool) -> AndroidInterpreter:
    return AndroidInterpreter(path, threads, None, xnnpack)
