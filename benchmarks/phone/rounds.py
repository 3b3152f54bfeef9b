"""The only place that times models on a telephone in turns, round by round, and makes rows and ratios of the rounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.phone.adb import Phone, PhoneError, PhoneLostError
from benchmarks.phone.device import PhoneCondition, PhoneDescription, read_condition
from benchmarks.phone.models import Measured, PhoneModel, Runner, Setting
from benchmarks.phone.profile import FormatError, OperatorTime
from benchmarks.results.names import MODEL, OURS, PEER
from benchmarks.results.result import Row, make_row, timing_metrics, utc_date
from benchmarks.timing.interleaved import Contender, Timing, ratio_with_interval
from distill.checkpoints import source_commit

_LOWEST, _HIGHEST, _OF_ROUNDS = "min_ms", "max_ms", ("round", "before", "after")


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
    found = []
    for n in range(n_rounds):
        shift = n % len(models)
        order = [*models[shift:], *models[:shift]]
        found += [Turn(n + 1, setting, model) for setting in settings for model in order]
    return found


def measure_in_turns(
    phone: Phone,
    description: PhoneDescription,
    runner: Runner,
    plan: Sequence[Turn],
    failures: dict[tuple[str, Setting], str],
    on_turn: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Yield the row of each turn as soon as it is measured.

    `failures` gains a sentence for each model and setting that does not run; such a one is not tried again.

    Raises
    ------
    PhoneLostError
        If the telephone is gone; rows yielded before are whole.
    """
    before, commit = read_condition(phone), source_commit()
    for turn in plan:
        key = (turn.model.name, turn.setting)
        if key not in failures:
            try:
                measured = runner.measure(turn.model, turn.setting)
                after = read_condition(phone)
            except PhoneLostError:
                raise
            except (PhoneError, FormatError) as error:
                failures[key] = str(error)
            else:
                yield round_row(turn, measured, {**description.provenance(), "commit": commit}, before, after)
                before = after
        on_turn()


def round_row(
    turn: Turn, measured: Measured, lasting: Mapping[str, Any], before: PhoneCondition, after: PhoneCondition
) -> Row:
    """The row of one round; `lasting` are the telephone and the commit, temperature and load of the moment after it."""
    metrics = dict(measured.metrics)
    if turn.model.audio_s and "rtf" not in metrics:
        metrics["rtf"] = typical_ms(metrics) / 1000 / turn.model.audio_s
    role = PEER if turn.model.is_peer else OURS
    facts = {"role": role, **measured.facts, "round": turn.round, "before": before.facts(), "after": after.facts()}
    provenance = {**lasting, **passing_provenance(turn, measured.runtime, before, after)}
    return make_row(
        turn.model.name,
        MODEL,
        provenance,
        metrics,
        audio_s=turn.model.audio_s,
        n_runs=measured.n_runs,
        samples_ms=measured.samples_ms,
        facts=facts,
    )


def passing_provenance(turn: Turn, runtime: str, before: PhoneCondition, after: PhoneCondition) -> dict[str, Any]:
    """What the numbers of a row depend on beside the telephone itself and the commit."""
    heats = [its for its in (after.cpu_c, after.skin_c, after.battery_c) if its is not None]
    return {
        "temperature_c": heats[0] if heats else None,
        "runtime": runtime,
        "delegate": turn.setting.delegate,
        "threads": turn.setting.threads,
        "model_sha256": turn.model.sha256,
        "date": utc_date(),
        "load_average": {"before": before.load, "after": after.load},
    }


def typical_ms(metrics: Mapping[str, float]) -> float:
    """The median of a round, or its mean where the tool tells no median (before TensorFlow 2.14)."""
    return metrics.get("p50_ms", metrics["mean_ms"])


def merge_rounds(rows: Sequence[Row]) -> list[Row]:
    """One row per model and setting: medians over its rounds, smallest and largest of all, all samples, all rounds."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["name"], row["delegate"], row["threads"]), []).append(row)
    return [_merged(group) for group in groups.values()]


def _merged(rounds: list[Row]) -> Row:
    first, last = rounds[0], rounds[-1]
    metrics = {key: _over_rounds(key, [row["metrics"][key] for row in rounds]) for key in _shared_metrics(rounds)}
    merged = {**last, "metrics": metrics, "n_runs": sum(row["n_runs"] for row in rounds)}
    samples = [its for row in rounds for its in row.get("samples_ms", ())]
    if samples:
        merged["samples_ms"] = samples
        merged["metrics"] = metrics | timing_metrics(samples, first["audio_s"])
    merged["load_average"] = {"before": first["load_average"]["before"], "after": last["load_average"]["after"]}
    merged["facts"] = {
        **{key: value for key, value in last["facts"].items() if key not in _OF_ROUNDS},
        "before": first["facts"]["before"],
        "after": last["facts"]["after"],
        "round_ms": [typical_ms(row["metrics"]) for row in rounds],
        "rounds": [{key: row["facts"][key] for key in ("round", "after")} for row in rounds],
    }
    return merged


def _shared_metrics(rounds: list[Row]) -> list[str]:
    return [key for key in rounds[0]["metrics"] if all(key in row["metrics"] for row in rounds)]


def _over_rounds(key: str, values: list[float]) -> float:
    chosen = {_LOWEST: min, _HIGHEST: max}.get(key, np.median)
    return float(chosen(values))


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of merged rows: the first model against each other in the same setting, per second of audio, rounds in pairs.

    The interval is over rounds, so it is left open (null) where there is only one.
    """
    found = []
    for ours in (row for row in rows if row["name"] == rows[0]["name"]):
        setting = {"threads": ours["threads"], "delegate": ours["delegate"]}
        for theirs in rows:
            if theirs["name"] == ours["name"] or any(theirs[key] != value for key, value in setting.items()):
                continue
            if ours["audio_s"] and theirs["audio_s"]:
                ratio = {"name": ours["name"], "to": theirs["name"], "stage": MODEL, **setting}
                found.append(ratio | _ratio(ours, theirs))
    return found


def _ratio(ours: Row, theirs: Row) -> dict[str, float | None]:
    n_rounds = min(len(row["facts"]["round_ms"]) for row in (ours, theirs))
    ratio = ratio_with_interval(_as_timed(ours, n_rounds), _as_timed(theirs, n_rounds))
    return ratio if n_rounds > 1 else {**ratio, "low": None, "high": None}


def _as_timed(row: Row, n_rounds: int) -> tuple[Contender, Timing]:
    """A merged row in the form that the desk's ratios take: one time a round."""
    rounds_s = np.array(row["facts"]["round_ms"][:n_rounds]) / 1000
    return Contender(row["name"], lambda: None, row["audio_s"], 0.0, {}), Timing(float(rounds_s[0]), rounds_s)


def operator_rows(row: Row, operators: Sequence[OperatorTime]) -> list[Row]:
    """Rows of a model's operators in run order, with what the row of its rounds depends on."""
    provenance = {key: value for key, value in row.items() if key not in _OWN_FIELDS}
    return [
        make_row(
            row["name"],
            f"{index:03d} {its.node_type}",
            provenance,
            {"mean_ms": its.mean_ms, "times_called": its.times_called, **_share(its)},
            audio_s=row["audio_s"],
            facts={"graph": its.graph, "operator": its.name, "profiled": True},
        )
        for index, its in enumerate(operators)
    ]


_OWN_FIELDS = ("name", "stage", "audio_s", "n_runs", "metrics", "samples_ms", "facts")


def _share(its: OperatorTime) -> dict[str, float]:
    return {} if its.share_percent is None else {"share_of_time": its.share_percent / 100}
