"""Finds the folder in which the application keeps everything."""

import os
import sys
from pathlib import Path

NAME = "tussis"


def data_folder() -> Path:
    """TUSSIS_HOME where that is set, else the platform's folder for the data of applications; need not exist."""
    if home := os.environ.get("TUSSIS_HOME"):
        return Path(home).expanduser()
    if private := os.environ.get("ANDROID_PRIVATE"):
        return Path(private) / NAME
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / NAME
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / NAME
    given = os.environ.get("XDG_DATA_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "share") / NAME
