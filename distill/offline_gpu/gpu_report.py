"""The only place that sums up a GPU machine's run in one file: speeds, losses, probes, and what was packed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.files import write_atomically
from distill.corpus.shard_format import INDEX_FILE
from distill.offline_gpu.wheels import CORPUS_FOLDER

_PACKED = ("codec", "opus_kbit_s", "roles", "clips", "seconds", "licences", "manifest_sha256")


def write_report(run: Path, sizes: Sequence[str], failures: Sequence[str], pack: Path) -> dict[str, Any]:
    """Write ``run/report.json`` from the files of the stages that are done, and return it."""
    index = _read(pack / CORPUS_FOLDER / INDEX_FILE)
    report = {
        "schema": "tussis.gpu_report/1",
        "corpus": {name: index[name] for name in _PACKED if name in index},
        "sizes": {size: _of(run / size) for size in sizes if (run / size).is_dir()},
        "failures": list(failures),
    }
    write_atomically(run / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def _of(folder: Path) -> dict[str, Any]:
    log = folder / "log.jsonl"
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    trained = [record for record in records if "loss" in record]
    validated = [record for record in records if "validation_loss" in record]
    probes = _read(folder / "probes.json").get("tasks", {})
    return {
        "plan": _read(folder / "plan.json"),
        "spent_s": _read(folder / "spent.json").get("seconds"),
        "last": trained[-1] if trained else None,
        "last_validation": validated[-1] if validated else None,
        "auroc": {name: task["auroc"][folder.name]["value"] for name, task in probes.items()},
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
