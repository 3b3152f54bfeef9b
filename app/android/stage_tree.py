"""Copies what goes into the Android package into one folder: `python app/android/stage_tree.py FOLDER`."""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "app")
LEFT_OUT = ("app/android", "app/coordinator")  # the package's own making, and what runs on a workstation only
LEFT_OUT_ANYWHERE = ("__pycache__", "*.pyc", "*.po", "*.pot")


def stage(out: Path) -> None:
    """Make `out` hold main.py, core and app, and nothing of an earlier time."""
    if out.exists():
        if not (out / "main.py").is_file():
            raise SystemExit(f"{out} is there and holds no main.py of ours; name another folder.")
        shutil.rmtree(out)
    by_name = shutil.ignore_patterns(*LEFT_OUT_ANYWHERE)

    def left_out(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(ROOT).as_posix()
        return {name for name in names if f"{inside}/{name}" in LEFT_OUT} | by_name(folder, names)

    for name in FOLDERS:
        shutil.copytree(ROOT / name, out / name, ignore=left_out)
    shutil.copy2(ROOT / "app" / "android" / "main.py", out / "main.py")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python app/android/stage_tree.py FOLDER")
    stage(Path(sys.argv[1]).resolve())
