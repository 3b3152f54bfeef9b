"""Keeps the model that an engineer imported, in place of the one that comes with the application."""

import contextlib
from pathlib import Path

import numpy as np

from app.devices.platform import open_interpreter
from core.bundle import Bundle, load_bundle
from core.bundle_files import archive_content
from core.clips import CLIP_SAMPLES
from core.errors import OutputError
from core.files import write_atomically
from core.signing import ANYBODY, TrustPolicy

IMPORTED_NAME = "model.tussis"


def load_model(folder: Path, named: Path | None = None, trust: TrustPolicy = ANYBODY) -> Bundle:
    """Open the bundle to screen with: `named`, else the imported one in `folder`, else the one that comes with Tussis.

    Raises
    ------
    BundleError, ProbeError
        As `core.bundle.load_bundle`; an imported bundle that is refused is not passed over in silence.
    """
    imported = folder / IMPORTED_NAME
    return load_bundle(named or (imported if imported.exists() else None), trust)


def import_model(path: Path, folder: Path, trust: TrustPolicy = ANYBODY) -> Bundle:
    """Check a bundle, run its model once, and keep it in `folder`; the one before stays where anything is wrong.

    Raises
    ------
    BundleError, ProbeError, InterpreterError
        If it is no bundle, altered, not signed as `trust` wants, or its model cannot be run here.
    OutputError
        If it cannot be written.
    """
    bundle = load_bundle(path, trust)
    files = bundle.read_files()
    interpreter = open_interpreter(bundle.read_model(), 1, bundle.model_shape)
    interpreter.run(np.zeros(CLIP_SAMPLES, np.float32))
    write_atomically(folder / IMPORTED_NAME, archive_content(files), replaces_any=True)
    return load_bundle(folder / IMPORTED_NAME, trust)


def forget_imported(folder: Path) -> None:
    """Go back to the model that comes with Tussis; OutputError where the file cannot be removed."""
    with contextlib.suppress(FileNotFoundError):
        try:
            (folder / IMPORTED_NAME).unlink()
        except PermissionError as error:
            raise OutputError(f"{folder / IMPORTED_NAME} cannot be removed: {error.strerror}.") from error
