"""Holds what the app knows at one moment, and names the files of new recordings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from core.bundle import Bundle


class State(Enum):
    """The states of the window: record, working, or one of two ends."""

    IDLE = "idle"
    RECORDING = "recording"
    SCREENING = "screening"
    RESULT = "result"
    ERROR = "error"


@dataclass(frozen=True)
class Session:
    """One moment of the app; the controller replaces it, nobody changes it.

    Attributes
    ----------
    path : Path or None
        The recording that is made, screened, shown or that failed.
    result : mapping or None
        `Screening.to_json()`, the same keys as `tussis-screen --json` writes for one recording.
    report : str or None
        `describe(screening)`, the same words as `tussis-screen` prints.
    error : str or None
        One sentence.
    n_gaps : int
        Places of the recording where sound was lost while it was made here.
    bundle : Bundle or None
        None while it loads and where it failed.
    bundle_error : str or None
        Why no bundle is there, in one sentence.
    """

    state: State = State.IDLE
    path: Path | None = None
    result: Mapping[str, Any] | None = None
    report: str | None = None
    error: str | None = None
    n_gaps: int = 0
    bundle: Bundle | None = None
    bundle_error: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a new recording or file has to wait."""
        return self.state in (State.RECORDING, State.SCREENING)


def recordings_folder(user_data_dir: Path) -> Path:
    """The folder of recordings: under TUSSIS_HOME where that is set, else under the platform's folder for the app."""
    home = os.environ.get("TUSSIS_HOME")
    return (Path(home).expanduser() if home else user_data_dir) / "recordings"


def new_recording_path(folder: Path, now: datetime | None = None) -> Path:
    """A name with the UTC time that no file in `folder` has yet, such as recording-20251122T154501Z.wav."""
    stem = f"recording-{(now or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}"
    path, number = folder / f"{stem}.wav", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.wav"
    return path
