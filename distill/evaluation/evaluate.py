"""Measures a bundle on a labelled pack, through the screener that people use (tussis-evaluate)."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track
from rich.table import Table

from core.bundle import COUGH, Bundle, load_bundle
from core.errors import DataError, exit_on_error
from core.files import check_writable, is_standard_output, sha256_of_file, write_atomically
from core.interpreter import LiteRtInterpreter
from core.screener import Screener
from distill.command_line import run_app
from distill.corpus.labels import holds_event
from distill.corpus.manifests import ManifestRow, build_manifest
from distill.corpus.tables import remark
from distill.evaluation.metrics import auroc_with_interval, average_precision, rate_with_interval
from distill.shown_text import PlainConsole

SCHEMA = "tussis.evaluation/1"
UNSCORED_RULE = (
    "a recording that fails the quality gate has no score: unscored_lowest ranks it below every score, "
    "scored_only leaves it out, sensitivity counts it as not found and it raises no false alarm"
)


@dataclass(frozen=True)
class ScoredRecording:
    """One recording of the pack and its event scores (label to probability), None where it is unscored."""

    row: ManifestRow
    scores: dict[str, float] | None
    cough_count: int | None


def evaluate_bundle(screener: Screener, data: Path, pack: str) -> dict[str, Any]:
    """Screen every recording of a pack and measure each event label that the pack has.

    Parameters
    ----------
    screener : Screener
        With the bundle to judge.
    data : Path
        Folder of packs.
    pack : str
        Name of one of them.

    Returns
    -------
    dict
        The content of the JSON file, schema ``tussis.evaluation/1``.

    Raises
    ------
    DataError
        If there is no such pack.
    AudioError
        If one of its recordings cannot be read: a pack is measured whole or not at all.
    """
    bundle, rows = screener.bundle, pack_rows(data, pack)
    _remark_learnt(bundle, data / pack, rows)
    recordings = screen_rows(screener, data, rows)
    return {
        "schema": SCHEMA,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "format_version": bundle.format_version},
        "model_sha256": bundle.model_sha256,
        "pack": pack,
        "roles": sorted({row.role for row in rows}),
        "unscored_rule": UNSCORED_RULE,
        **measure(recordings, bundle.event_labels, bundle.screening.event_thresholds[COUGH]),
        "recordings": [_recording_object(recording) for recording in recordings],
    }


def _remark_learnt(bundle: Bundle, folder: Path, rows: Sequence[ManifestRow]) -> None:
    """Say where a bundle's student learnt from recordings that it is measured on."""
    packs = bundle.provenance.get("packs")
    names = [pack.get("name") for pack in packs if isinstance(pack, dict)] if isinstance(packs, list) else []
    if n_learnt := sum(row.role == "train" for row in rows if row.pack in names):
        remark(folder, f"the bundle learnt from {n_learnt} of these {len(rows)} recordings, so its figures flatter it")


def float_beside(result: dict[str, Any], screener: Screener, float_model: Path, data: Path) -> dict[str, Any]:
    """Screen the pack of `result` again with the float model in the int8 model's place, all else equal.

    Returns
    -------
    dict
        ``sha256`` of the float model, ``cough_auroc`` with its interval, ``cough_auroc_loss``: float less int8.
    """
    interpreter = LiteRtInterpreter(float_model, 1, screener.bundle.model_shape)
    rows = pack_rows(data, result["pack"])
    recordings = screen_rows(Screener(screener.bundle, interpreter=interpreter), data, rows)
    cough_auroc = measure_label(recordings, COUGH)["auroc_unscored_lowest"]
    ours = result["labels"][COUGH]["auroc_unscored_lowest"]
    loss = cough_auroc["value"] - ours["value"] if cough_auroc and ours else None
    return {"sha256": sha256_of_file(float_model), "cough_auroc": cough_auroc, "cough_auroc_loss": loss}


def pack_rows(data: Path, pack: str) -> list[ManifestRow]:
    """The labelled recordings of a pack."""
    manifest = [row for row in build_manifest(data) if row.labelled]
    rows = [row for row in manifest if row.pack == pack]
    if not rows:
        packs = ", ".join(sorted({row.pack for row in manifest})) or "none"
        raise DataError(f"{data} has no labelled pack {pack!r}; it has {packs}")
    return rows


def screen_rows(screener: Screener, data: Path, rows: Sequence[ManifestRow]) -> list[ScoredRecording]:
    """Screen recordings with a progress bar on stderr."""
    console = PlainConsole(stderr=True)
    scored = []
    for row in track(rows, "screening", console=console, disable=not console.is_terminal):
        screening = screener.screen(data / row.path)
        scores = None if screening.event_scores is None else dict(screening.event_scores)
        scored.append(ScoredRecording(row, scores, screening.cough_count))
    return scored


def measure(
    recordings: Sequence[ScoredRecording], event_labels: Sequence[str], cough_threshold: float
) -> dict[str, Any]:
    """AUROC per event label, cough sensitivity and false alarms at the threshold, with intervals by subject."""
    present = [label for label in event_labels if any(_truth(recording, label) for recording in recordings)]
    return {
        "n": len(recordings),
        "n_subjects": len({recording.row.subject_id for recording in recordings}),
        "n_unscored": sum(recording.scores is None for recording in recordings),
        "labels": {label: measure_label(recordings, label) for label in present},
        "labels_absent": [label for label in event_labels if label not in present],
        "cough_threshold": cough_threshold,
        "cough_sensitivity": _alarm_rate([r for r in recordings if _truth(r, COUGH)], cough_threshold),
        "cough_false_alarm_rate": _alarm_rate([r for r in recordings if _truth(r, COUGH) is False], cough_threshold),
        "false_alarms_by_class": _false_alarms_by_class(recordings, cough_threshold),
    }


def measure_label(recordings: Sequence[ScoredRecording], label: str) -> dict[str, Any]:
    """AUROC of one label against the rest, both ways of treating the unscored; None where one class is empty."""
    decided = [recording for recording in recordings if _truth(recording, label) is not None]
    scored = [recording for recording in decided if recording.scores is not None]
    return {
        "n": len(decided),
        "n_positive": sum(bool(_truth(recording, label)) for recording in decided),
        "n_unscored": len(decided) - len(scored),
        "n_undecided": len(recordings) - len(decided),
        "auroc_unscored_lowest": _auroc(decided, label),
        "auroc_scored_only": _auroc(scored, label),
        "average_precision_unscored_lowest": _average_precision(decided, label),
    }


def negative_class(row: ManifestRow) -> str:
    """What a recording without a cough is, in the pack's words: the kind of noise, or the label itself."""
    labels = [label for label in row.labels if label != "noise"]
    return labels[0] if labels else "noise"


def _truth(recording: ScoredRecording, label: str) -> bool | None:
    return holds_event(recording.row.labels, label)


def _ranking(recordings: Sequence[ScoredRecording], label: str) -> tuple[np.ndarray, np.ndarray]:
    scores = np.array([-np.inf if r.scores is None else r.scores[label] for r in recordings])
    return scores, np.array([bool(_truth(r, label)) for r in recordings])


def _auroc(recordings: Sequence[ScoredRecording], label: str) -> dict[str, Any] | None:
    scores, positives = _ranking(recordings, label)
    if not positives.any() or positives.all():
        return None
    return asdict(auroc_with_interval(scores, positives, [r.row.subject_id for r in recordings]))


def _average_precision(recordings: Sequence[ScoredRecording], label: str) -> float | None:
    scores, positives = _ranking(recordings, label)
    return average_precision(scores, positives) if positives.any() and not positives.all() else None


def _alarm_rate(recordings: Sequence[ScoredRecording], threshold: float) -> dict[str, Any] | None:
    if not recordings:
        return None
    alarms = [r.scores is not None and r.scores[COUGH] >= threshold for r in recordings]
    return asdict(rate_with_interval(alarms, [r.row.subject_id for r in recordings]))


def _false_alarms_by_class(recordings: Sequence[ScoredRecording], threshold: float) -> dict[str, Any]:
    classes: dict[str, list[ScoredRecording]] = defaultdict(list)
    for recording in recordings:
        if _truth(recording, COUGH) is False:
            classes[negative_class(recording.row)].append(recording)
    counts = {}
    for name, members in sorted(classes.items()):
        scored = [r.scores[COUGH] for r in members if r.scores is not None]
        n_alarms = sum(score >= threshold for score in scored)
        counts[name] = {
            "n": len(members),
            "n_unscored": len(members) - len(scored),
            "n_false_alarms": n_alarms,
            "rate": n_alarms / len(members),
        }
    return counts


def _recording_object(recording: ScoredRecording) -> dict[str, Any]:
    row = recording.row
    identity = {"path": row.path, "subject_id": row.subject_id, "labels": list(row.labels)}
    return {**identity, "event_scores": recording.scores, "cough_count": recording.cough_count}


def show(result: dict[str, Any], console: PlainConsole) -> None:
    """Print the evaluation as a table for a person."""
    table = Table(title=f"{result['bundle']['name']} on {result['pack']}: {result['n']} recordings")
    for column in ("label", "n", "positive", "AUROC, unscored lowest", "AUROC, scored only"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for label, measured in result["labels"].items():
        aurocs = [_in_words(measured[key]) for key in ("auroc_unscored_lowest", "auroc_scored_only")]
        table.add_row(label, str(measured["n"]), str(measured["n_positive"]), *aurocs)
    console.print(table)
    console.print(f"unscored: {result['n_unscored']} of {result['n']} recordings")
    at = f"at the shipped threshold of {result['cough_threshold']:.3f}"
    console.print(f"cough sensitivity {at}: {_in_words(result['cough_sensitivity'])}")
    console.print(f"cough false alarm rate {at}: {_in_words(result['cough_false_alarm_rate'])}")
    if beside := result.get("float_model"):
        console.print(f"cough AUROC of the float model: {_in_words(beside['cough_auroc'])}")
        if beside["cough_auroc_loss"] is not None:
            console.print(f"int8 loses {100 * beside['cough_auroc_loss']:.2f} points of cough AUROC to it")
    classes = {name: counts for name, counts in result["false_alarms_by_class"].items() if counts["n_false_alarms"]}
    alarms = ", ".join(f"{name} {counts['n_false_alarms']}/{counts['n']}" for name, counts in classes.items())
    console.print(f"false alarms by class: {alarms or 'none'}")


def _in_words(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:.4f}"
    return f"{estimate['value']:.4f} ({estimate['low']:.4f}-{estimate['high']:.4f})"


app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Folder of packs, each with a manifest.csv.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    pack: Annotated[str, typer.Option(help="Which pack.")] = "esc50_part",
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    float_model: Annotated[
        Path | None, typer.Option("--float", help="Float .tflite of tussis-export, to measure what int8 costs.")
    ] = None,
) -> None:
    """Screen a labelled pack as tussis-screen would; AUROC (0 to 1) by label with 95 % intervals over subjects.

    Example: tussis-evaluate --data ../shared/data --pack esc50_part --json evaluation.json
    """
    if context.invoked_subcommand is not None:
        return
    if data is None:
        raise typer.BadParameter("a folder of packs is needed.", context, param_hint="--data")
    with exit_on_error("tussis-evaluate"):
        if json_path is not None:
            check_writable(json_path, SCHEMA.partition("/")[0])
        screener = Screener(load_bundle(bundle), threads)
        result = evaluate_bundle(screener, data, pack)
        if float_model is not None:
            result["float_model"] = float_beside(result, screener, float_model, data)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, PlainConsole(stderr=json_path is not None and is_standard_output(json_path)))


def main() -> None:
    """Entry point of ``tussis-evaluate``."""
    run_app(app)


if __name__ == "__main__":
    main()
