"""The only place that says what a run was made from: the commit, and the data packs with their licences."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distill.corpus.manifests import ManifestRow

_ROOT = Path(__file__).resolve().parents[1]


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


def packs_used(rows: Iterable[ManifestRow], role: str) -> list[dict[str, Any]]:
    """List the packs that have rows of `role`: name, recordings, hours, licences."""
    packs: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.role == role:
            pack = packs.setdefault(row.pack, {"name": row.pack, "recordings": 0, "hours": 0.0, "licences": set()})
            pack["recordings"] += 1
            pack["hours"] += row.duration_s / 3600
            pack["licences"].add(row.licence)
    return [{**pack, "hours": round(pack["hours"], 3), "licences": sorted(pack["licences"])} for pack in packs.values()]
