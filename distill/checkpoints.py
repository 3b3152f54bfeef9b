"""Reads and writes checkpoints, which hold weights, training state, settings and provenance in one file."""

import contextlib
import hashlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from core.errors import DataError, OutputError, one_line
from core.files import check_replaceable

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "tussis.checkpoint/1"
_PARTS = ("model_state", "training_state", "settings", "provenance")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    ``model_state`` fits `Module.load_state_dict`. ``training_state`` is what resuming needs: in a final checkpoint the
    step alone. ``settings`` are the resolved settings of the run. ``provenance`` says what it was made from.
    """

    model_state: "dict[str, Tensor]"
    training_state: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    *,
    model_state: "dict[str, Tensor]",
    training_state: dict[str, Any],
    settings: dict[str, Any],
    provenance: dict[str, Any],
) -> None:
    """Write a checkpoint whole or not at all.

    It is streamed to a file beside `path` rather than built in memory: a ViT-L with its optimizer takes 5 GB.
    """
    import torch

    content = {
        "format": FORMAT,
        "model_state": model_state,
        "training_state": training_state,
        "settings": settings,
        "provenance": provenance,
    }
    check_replaceable(path, "a zip of data.pkl")
    unfinished = path.with_name(f".{path.name}.unfinished")
    noted = None
    try:
        with unfinished.open("wb") as file:
            noted = _Noting(file)
            torch.save(content, noted)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, RuntimeError) as error:  # torch makes a RuntimeError about its own insides of a full disk
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        cause = noted.error if noted is not None and noted.error is not None else error
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else one_line(cause)
        raise OutputError(f"cannot write the checkpoint {path}: {reason}") from error


class _Noting:
    """A file that remembers why it could not be written; torch does not tell."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU, without running any code that the file may hold.

    Raises
    ------
    DataError
        The file is absent, truncated, or is not a checkpoint of this format.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no checkpoint {path}") from error
    except Exception as error:  # torch raises a dozen types for a damaged file, from KeyError to UnpicklingError
        raise DataError(
            f"{path} is not a readable checkpoint: it is truncated, damaged or another kind of file"
        ) from error
    written_format = content.get("format") if isinstance(content, dict) else None
    if written_format != FORMAT or any(not isinstance(content.get(part), dict) for part in _PARTS):
        raise DataError(f"{path} is not a checkpoint of the format {FORMAT} (it says {written_format!r})")
    return Checkpoint(**{part: content[part] for part in _PARTS})


def checkpoint_sha256(path: Path) -> str:
    """Hash a checkpoint file; the hash is what a bundle names as its origin."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the checkpoint {path}: {error.strerror}") from error


def source_commit() -> str:
    """Hash of the checked-out commit, with "+changes" where the tree differs from it; "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
