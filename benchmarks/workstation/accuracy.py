"""The only place that puts accuracy beside speed: cough AUROC of models and YAMNet against milliseconds (accuracy)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.results.device import load_average
from benchmarks.results.result import Result, Row, make_result
from benchmarks.results.row_log import RowLog
from benchmarks.timing.interleaved import Timing, check_runs, time_interleaved, timed_row
from benchmarks.workstation.accuracy_models import Judged, Scored, load_judged
from core.bundle import COUGH, Bundle, load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable
from distill.corpus.labels import event_labels_of
from distill.corpus.manifests import ManifestRow
from distill.evaluation.evaluate import UNSCORED_RULE, measure_label, pack_rows
from distill.evaluation.metrics import auroc_difference_with_interval

KIND = "accuracy"
PACK = "esc50_part"
PROTOCOL = (
    "time: a run is all that scoring a clip of 2 s takes, one thread, all models in turns: one run of a student, all "
    "frames of 0.975 s every 0.48 s of YAMNet; accuracy: cough AUROC over a pack that is reported on, never chosen "
    "by; each model's largest cough score over a recording, 95 % bootstrap interval over subjects; students "
    "through the app's screening with the bundle's settings; the quality gate leaves the same recordings out "
    f"for all, YAMNet included; {UNSCORED_RULE}"
)


@dataclass(frozen=True)
class Subjects:
    """What is judged: the bundle's model, students by file, YAMNet where there is one; and on what."""

    bundle: Bundle
    models: tuple[Path, ...]
    yamnet: Path | None
    data: Path
    pack: str = PACK


def measure(subjects: Subjects, runs: int, log: RowLog, console: Console) -> Result:
    """Time all models in turns, then score the pack with each; a row is in `log` as soon as its model is done."""
    rows = labelled_rows(subjects)
    judged = load_judged(subjects.bundle, subjects.models, subjects.yamnet)
    load_before = load_average()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("timing and scoring", total=runs + len(judged))
        contenders = [its.contender for its in judged]
        timings = time_interleaved(contenders, runs, on_round=lambda n: progress.update(task, completed=n))
    scored: list[Scored] = []
    for its, timing in zip(judged, timings, strict=True):
        scored.append(its.score(subjects.data, rows, scored[0] if scored else None))
        log.append(accuracy_row(its, timing, scored, load_before))
    facts = {"pack": subjects.pack, "roles": sorted({row.role for row in rows}), "front": front_of(log.rows)}
    return make_result(KIND, PROTOCOL, log.rows, facts=facts)


def labelled_rows(subjects: Subjects) -> list[ManifestRow]:
    """The pack's recordings; DataError where it is not there, or holds coughs only or none."""
    if not subjects.data.is_dir():
        raise DataError(f"accuracy cannot be measured: there is no folder of packs {subjects.data}.")
    rows = pack_rows(subjects.data, subjects.pack)
    n_coughs = sum(is_cough(row) for row in rows)
    if n_coughs in (0, len(rows)):
        raise DataError(f"{subjects.pack} holds {n_coughs} coughs in {len(rows)} recordings; expected both kinds.")
    return rows


def is_cough(row: ManifestRow) -> bool:
    """Whether the pack says that a cough is in the recording."""
    return COUGH in event_labels_of(row.labels)


def accuracy_row(judged: Judged, timing: Timing, scored: Sequence[Scored], load_before: float | None) -> Row:
    """A model's row: time of a clip, size and AUROC; `scored` are the bundle's scores first, and this model's last."""
    measured = measure_label(scored[-1], COUGH)
    lowest, only = measured["auroc_unscored_lowest"], measured["auroc_scored_only"]
    metrics = {
        "cough_auroc": lowest["value"],
        "cough_auroc_low": lowest["low"],
        "cough_auroc_high": lowest["high"],
        "cough_auroc_scored_only": None if only is None else only["value"],
        "n_recordings": measured["n"],
        "n_coughs": measured["n_positive"],
        "n_unscored": measured["n_unscored"],
        "n_subjects": lowest["n_subjects"],
        **beyond(scored[-1], scored[0]),
    }
    known = {key: its for key, its in metrics.items() if its is not None}
    return timed_row(judged.contender, timing, 1, load_before, known)


def beyond(ours: Scored, theirs: Scored) -> dict[str, float | None]:
    """AUROC of the first less that of the second, on the same recordings of the same drawn subjects."""
    ranks = ([-float("inf") if its.scores is None else its.scores[COUGH] for its in both] for both in (ours, theirs))
    subjects = [its.row.subject_id for its in ours]
    its = auroc_difference_with_interval(*ranks, [is_cough(its.row) for its in ours], subjects)
    return {"beyond_bundle": its.value, "beyond_bundle_low": its.low, "beyond_bundle_high": its.high}


def front_of(rows: Sequence[Row]) -> list[str]:
    """Names on the Pareto front, the fastest first: whoever is faster than one of them is less accurate."""
    names, best = [], -1.0
    for row in sorted(rows, key=lambda its: (its["metrics"]["p50_ms"], -its["metrics"]["cough_auroc"])):
        if row["metrics"]["cough_auroc"] > best:
            names.append(row["name"])
            best = row["metrics"]["cough_auroc"]
    return names


def show(result: Result, console: Console) -> None:
    """Print a result for a person."""
    rows, facts = result["rows"], result["facts"]
    its = rows[0]["metrics"]
    counts = f"{its['n_coughs']} coughs in {its['n_recordings']} recordings of {its['n_subjects']} subjects"
    table = Table("model", title=f"{facts['pack']}: {counts}")
    for column in ("cough AUROC", "ms a clip", "MB", "beyond the bundle"):
        table.add_column(column, justify="right")
    for row in rows:
        its = row["metrics"]
        over = "-" if row is rows[0] else _with_interval(its, "beyond_bundle", "+.4f")
        cost = f"{its['p50_ms']:.3f}", f"{its['model_bytes'] / 1e6:.2f}"
        table.add_row(row["name"], _with_interval(its, "cough_auroc", ".4f"), *cost, over)
    console.print(table)
    console.print(f"on the front: {', '.join(facts['front'])}; unscored by the quality gate: {its['n_unscored']}")
    console.print(f"{rows[0]['cpu']}, {rows[0]['runtime']}, commit {rows[0]['commit']}")


def _with_interval(metrics: dict[str, float], key: str, form: str) -> str:
    if f"{key}_low" not in metrics:
        return f"{metrics[key]:{form}}"
    return f"{metrics[key]:{form}} ({metrics[f'{key}_low']:{form}} to {metrics[f'{key}_high']:{form}})"


def accuracy(
    bundle: Path | None,
    model: list[Path] | None,
    yamnet: Path,
    data: Path,
    pack: str,
    runs: int,
    json_path: Path | None,
) -> None:
    """Measure, write and show."""
    with exit_on_error("tussis-benchmark"):
        check_runs(runs)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if json_path is not None:
            check_writable(json_path)
        if not yamnet.exists():
            notes.print(f"YAMNet is left out: there is no file {yamnet}")
        peer = yamnet if yamnet.exists() else None
        with RowLog(json_path, KIND, PROTOCOL) as log:
            result = measure(Subjects(load_bundle(bundle), tuple(model or []), peer, data, pack), runs, log, notes)
            log.finish(result)
        show(result, console)
