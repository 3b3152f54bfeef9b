"""Times models on a phone in turns, round by round, and makes rows and ratios of the rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.phone.adb import Phone
from benchmarks.phone.app import AppRunner
from benchmarks.phone.benchmark_model import BenchmarkModelRunner, OperatorTime
from benchmarks.phone.device import PhoneDescription, read_condition
from benchmarks.phone.models import Measured, PhoneModel, Setting
from benchmarks.results.names import MODEL, OURS, PEER
from benchmarks.results.result import Row, make_row, utc_date
from benchmarks.timing.interleaved import Contender, Timing, ratio_with_interval
from core.stopwatch import timing_metrics
from distill.checkpoints import source_commit

Runner = BenchmarkModelRunner | AppRunner
_OF_ROUNDS = ("round", "before", "after")
_OWN_FIELDS = ("name", "stage", "audio_s", "n_runs", "metrics", "samples_ms", "facts")


@dataclass(frozen=True)
class Turn:
    """One round of one model in one setting."""

    round: int
    setting: Setting
    model: PhoneModel


def turns(models: Sequence[PhoneModel], settings: Sequence[Setting], n_rounds: int) -> list[Turn]:
    """All rounds: within one, every setting, and within that every model, so that heat and load meet all alike.

    The order of the models turns by one from round to round: who comes first after a change of setting changes too.
    """
    in_order = []
    for n in range(n_rounds):
        shift = n % len(models)
        order = [*models[shift:], *models[:shift]]
        in_order += [Turn(n + 1, setting, model) for setting in settings for model in order]
    return in_order


class Session:
    """A phone and a runner with all models placed; its condition after one turn is the one before the next."""

    def __init__(self, phone: Phone, description: PhoneDescription, runner: Runner):
        self.description, self.runner = description, runner
        self._phone = phone
        self._lasting = {**description.provenance(), "commit": source_commit()}
        self._before = read_condition(phone)

    def measure(self, turn: Turn) -> Row:
        """The row of one round; PhoneError where this model does not run so, PhoneLostError where the phone is gone."""
        measured = self.runner.measure(turn.model, turn.setting)
        before, after = self._before, read_condition(self._phone)
        self._before = after
        temperatures = (after.cpu_c, after.skin_c, after.battery_c)
        passing = {
            "temperature_c": next((celsius for celsius in temperatures if celsius is not None), None),
            "runtime": measured.runtime,
            "delegate": turn.setting.delegate,
            "threads": turn.setting.threads,
            "model_sha256": turn.model.sha256,
            "date": utc_date(),
            "load_average": {"before": before.load, "after": after.load},
        }
        conditions = {"round": turn.round, "before": before.facts(), "after": after.facts()}
        return round_row(turn.model, measured, {**self._lasting, **passing}, conditions)


def round_row(
    model: PhoneModel, measured: Measured, provenance: Mapping[str, Any], conditions: Mapping[str, Any]
) -> Row:
    """The row of one round, with its real-time factor where the model takes sound."""
    metrics = dict(measured.metrics)
    if model.audio_s:
        metrics["rtf"] = metrics["p50_ms"] / 1000 / model.audio_s
    facts = {"role": PEER if model.is_peer else OURS, **measured.facts, **conditions}
    n_runs, samples_ms = measured.n_runs, measured.samples_ms
    return make_row(model.name, MODEL, provenance, metrics, model.audio_s, n_runs, samples_ms, facts)


def merge_rounds(rows: Sequence[Row]) -> list[Row]:
    """One row per model and setting: medians over its rounds, smallest and largest of all, all samples, all rounds."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["name"], row["delegate"], row["threads"]), []).append(row)
    return [_merged(group) for group in groups.values()]


def _merged(rounds: list[Row]) -> Row:
    first, last = rounds[0], rounds[-1]
    shared = [key for key in first["metrics"] if all(key in row["metrics"] for row in rounds)]
    over_rounds = {"min_ms": min, "max_ms": max}
    metrics = {key: float(over_rounds.get(key, np.median)([row["metrics"][key] for row in rounds])) for key in shared}
    merged = {**last, "metrics": metrics, "n_runs": sum(row["n_runs"] for row in rounds)}
    samples = [sample_ms for row in rounds for sample_ms in row.get("samples_ms", ())]
    if samples:
        merged["samples_ms"] = samples
        merged["metrics"] = metrics | timing_metrics(samples, first["audio_s"])
    merged["load_average"] = {"before": first["load_average"]["before"], "after": last["load_average"]["after"]}
    merged["facts"] = {
        **{key: value for key, value in last["facts"].items() if key not in _OF_ROUNDS},
        "before": first["facts"]["before"],
        "after": last["facts"]["after"],
        "round_ms": [row["metrics"]["p50_ms"] for row in rounds],
        "rounds": [{key: row["facts"][key] for key in ("round", "after")} for row in rounds],
    }
    return merged


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of merged rows: the first model against each other in the same setting, per second of audio, rounds in pairs.

    The interval is over rounds, so it is left open (null) where there is only one.
    """
    entries = []
    for ours in (row for row in rows if row["name"] == rows[0]["name"]):
        setting = {"threads": ours["threads"], "delegate": ours["delegate"]}
        for theirs in rows:
            if theirs["name"] == ours["name"] or any(theirs[key] != value for key, value in setting.items()):
                continue
            if ours["audio_s"] and theirs["audio_s"]:
                entry = {"name": ours["name"], "to": theirs["name"], "stage": MODEL, **setting}
                entries.append(entry | _ratio(ours, theirs))
    return entries


def _ratio(ours: Row, theirs: Row) -> dict[str, float | None]:
    n_rounds = min(len(row["facts"]["round_ms"]) for row in (ours, theirs))
    ratio = ratio_with_interval(_as_timed(ours, n_rounds), _as_timed(theirs, n_rounds))
    return ratio if n_rounds > 1 else {**ratio, "low": None, "high": None}


def _as_timed(row: Row, n_rounds: int) -> tuple[Contender, Timing]:
    """A merged row in the form that `ratio_with_interval` takes: one time a round."""
    rounds_s = np.array(row["facts"]["round_ms"][:n_rounds]) / 1000
    return Contender(row["name"], lambda: None, row["audio_s"], 0.0, {}), Timing(float(rounds_s[0]), rounds_s)


def operator_rows(row: Row, operators: Sequence[OperatorTime]) -> list[Row]:
    """Rows of a model's operators in run order, with what the row of its rounds depends on."""
    provenance = {key: value for key, value in row.items() if key not in _OWN_FIELDS}
    return [
        make_row(
            row["name"],
            f"{index:03d} {operator.node_type}",
            provenance,
            operator.metrics(),
            audio_s=row["audio_s"],
            facts={"graph": operator.graph, "operator": operator.name, "profiled": True},
        )
        for index, operator in enumerate(operators)
    ]
