"""The only place that measures what monitoring an hour costs beside YAMNet, in one run and in turns."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.results.device import load_average
from benchmarks.results.names import INTERVAL_PERCENTILES, XNNPACK, YAMNET_NAME
from benchmarks.results.result import Result, Row, describe_run, make_result, make_row, timing_metrics, write_result
from benchmarks.timing.interleaved import N_DRAWS
from benchmarks.workstation.long_sound import CHUNK_S, SoundStream, compose_stream, open_sounds
from benchmarks.workstation.monitored_detection import GATED, UNGATED, measure_detection, n_found_again
from benchmarks.workstation.monitored_listeners import YAMNET_HOP_S, Listening, MonitorListening, YamnetStream
from core.bundle import Bundle, load_bundle
from core.errors import exit_on_error
from core.files import check_writable
from core.interpreter import LiteRtInterpreter
from core.monitoring.gate import GateSettings
from quantize.tflite_graph import read_model

KIND = "monitoring"
YAMNET_FILE, DATA_FOLDER = Path("../shared/models/yamnet.tflite"), Path("../shared/data")
YAMNET_STAGE = f"a frame every {YAMNET_HOP_S:g} s"
PROTOCOL = (
    f"one stream in chunks of {CHUNK_S:g} s; each chunk is heard by all of them, beginning with another one each time; "
    "one thread; samples: processor time of a chunk; monitor: resampling, quality, gate, model, events and totals; "
    f"YAMNet: a frame of 0.975 s every {YAMNET_HOP_S:g} s, scores read, nothing else; ratios of sums over the stream, "
    "95 % bootstrap interval over chunks; coughs at known times by the rules of distill/evaluation/event_scoring.py"
)


def measure(
    bundle: Bundle, yamnet: bytes | None, stream: SoundStream, console: Console
) -> tuple[list[Row], list[dict[str, Any]], dict[str, Any]]:
    """Let monitors with and without a gate, and YAMNet where it is given, hear one stream in turns.

    Returns
    -------
    rows : list
        One for each of them: seconds of processor and of wall for an hour of sound, clips, coughs.
    ratios : list
        The monitors' processor and wall time over YAMNet's; empty without it.
    facts : dict
        What the gate changed, and bytes resident at a tenth of the stream and at its end.
    """
    load_before, model = load_average(), bundle.read_model()
    interpreter = LiteRtInterpreter(model, 1, bundle.model_shape)
    gated = MonitorListening(GATED, bundle, interpreter, GateSettings())
    ungated = MonitorListening(UNGATED, bundle, interpreter, None)
    peers = [] if yamnet is None else [Listening(YAMNET_STAGE, YamnetStream(yamnet).hear)]
    memory = _hear_in_turns([gated, ungated, *peers], stream, console)
    provenance = describe_run(1, XNNPACK, model, load_before=load_before)
    rows = []
    for monitor in (gated, ungated):
        monitor.finish()
        rows.append(_row(bundle.name, monitor, provenance, _monitor_metrics(monitor)))
    rows += [_row(YAMNET_NAME, its, describe_run(1, XNNPACK, yamnet, load_before=load_before), {}) for its in peers]
    ratios = [ratio for peer in peers for its in (gated, ungated) for ratio in _ratios(bundle.name, its, peer)]
    n_again = n_found_again(ungated.coughs, gated.coughs)
    facts = {"gate": asdict(GateSettings()), "n_coughs_found_again_with_the_gate": n_again, "memory": memory}
    return rows, ratios, facts


def _hear_in_turns(listeners: list[Listening], stream: SoundStream, console: Console) -> dict[str, int | None]:
    memory: dict[str, int | None] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("listening", total=stream.n_chunks)
        for number, chunk in enumerate(stream.chunks()):
            first = number % len(listeners)
            for listener in listeners[first:] + listeners[:first]:
                listener.take(chunk)
            if number == max(1, stream.n_chunks // 10) - 1:
                memory["at_a_tenth_bytes"] = resident_bytes()
            progress.update(task, completed=number + 1)
    memory["at_the_end_bytes"] = resident_bytes()
    return memory


def _row(name: str, listener: Listening, provenance: dict[str, Any], metrics: dict[str, float]) -> Row:
    hours, samples_ms = len(listener.wall_s) * CHUNK_S / 3600, 1000 * np.array(listener.processor_s)
    processor_s, wall_s = sum(listener.processor_s) / hours, sum(listener.wall_s) / hours
    costs = {"processor_s_per_audio_hour": processor_s, "wall_s_per_audio_hour": wall_s}
    metrics = {**costs, **metrics, **timing_metrics(samples_ms, CHUNK_S)}
    return make_row(name, listener.name, provenance, metrics, CHUNK_S, len(samples_ms), samples_ms)


def _monitor_metrics(listening: MonitorListening) -> dict[str, float]:
    totals = listening.monitor.totals
    n_clips = totals.n_clips_run + totals.n_clips_gated
    return {"n_clips": n_clips, "gated_share": totals.gated_share or 0.0, "n_coughs_found": len(listening.coughs)}


def _ratios(name: str, ours: Listening, theirs: Listening) -> list[dict[str, Any]]:
    run = {"name": name, "to": YAMNET_NAME, "threads": 1, "delegate": XNNPACK}
    return [
        {**run, "stage": f"{ours.name}, processor time", **ratio_of_sums(ours.processor_s, theirs.processor_s)},
        {**run, "stage": f"{ours.name}, wall time", **ratio_of_sums(ours.wall_s, theirs.wall_s)},
    ]


def ratio_of_sums(ours_s: list[float], theirs_s: list[float], seed: int = 0) -> dict[str, float]:
    """Our time over theirs for the whole stream, with a 95 % bootstrap interval over its chunks.

    Sums, not medians: with a gate a chunk costs much or little, and the hour costs all of them.
    """
    ours, theirs = np.array(ours_s), np.array(theirs_s)
    drawn = np.random.default_rng(seed).integers(len(ours), size=(N_DRAWS, len(ours)))
    low, high = np.percentile(ours[drawn].sum(axis=1) / theirs[drawn].sum(axis=1), INTERVAL_PERCENTILES)
    return {"value": float(ours.sum() / theirs.sum()), "low": float(low), "high": float(high)}


def resident_bytes() -> int | None:
    """Memory of this process that is its own: resident without mapped files; None where the system does not say."""
    try:
        _, resident, shared = Path("/proc/self/statm").read_text(encoding="ascii").split()[:3]
    except OSError:
        return None
    import resource

    return (int(resident) - int(shared)) * resource.getpagesize()


def benchmark_monitoring(
    bundle: Bundle,
    yamnet: bytes | None,
    store: Path | None,
    data: Path,
    minutes: float,
    pause_s: float,
    n_composed: int,
    console: Console,
) -> Result:
    """Compose the stream, measure cost and detection, and put all that they depend on into a result."""
    with tempfile.TemporaryDirectory() as folder:
        sounds, opened, words = open_sounds(store, data, Path(folder))
        stream = compose_stream(sounds, 60 * minutes, pause_s)
        rows, ratios, facts = measure(bundle, yamnet, stream, console)
        rows += measure_detection(bundle, opened, n_composed)
    heard = {"sounds": words, "minutes": stream.n_chunks * CHUNK_S / 60, "mean_pause_s": pause_s}
    facts = {"stream": {**heard, "sound_share": stream.sound_share}, **facts}
    return make_result(KIND, PROTOCOL, rows, ratios, facts=facts)


def show(result: Result, console: Console) -> None:
    """Print a result as a table and sentences for a person."""
    table = Table("", title="each chunk heard by all in turns, one thread; seconds for an hour of sound")
    for column in ("processor", "wall", "clips left out", "coughs found"):
        table.add_column(column, justify="right")
    found = [row for row in result["rows"] if "n_coughs" in row["metrics"]]
    for row in (row for row in result["rows"] if row not in found):
        its = row["metrics"]
        counts = (_percent(its["gated_share"]), str(its["n_coughs_found"])) if "n_coughs_found" in its else ("", "")
        costs = f"{its['processor_s_per_audio_hour']:.2f}", f"{its['wall_s_per_audio_hour']:.2f}"
        table.add_row(f"{row['name']}, {row['stage']}", *costs, *counts)
    console.print(table)
    for its in result.get("ratios", []):
        words = f"{its['value']:.3f} ({its['low']:.3f} to {its['high']:.3f}) of {its['to']}'s"
        console.print(f"{its['name']}, {its['stage']}: {words}")
    for row in found:
        its = row["metrics"]
        words = f"{its['n_found']} of {its['n_coughs']}, {its['false_positives_per_hour']:.1f} false an hour"
        console.print(f"{row['stage']}: {words}, {_percent(its['gated_share'])} of the clips left out")
    _show_facts(result, console)


def _show_facts(result: Result, console: Console) -> None:
    stream, memory, row = result["facts"]["stream"], result["facts"]["memory"], result["rows"][0]
    share = f"{_percent(stream['sound_share'])} of the time sound, else faint noise"
    console.print(f"{stream['minutes']:g} minutes of {stream['sounds']}, {share}")
    n_again = result["facts"]["n_coughs_found_again_with_the_gate"]
    console.print(f"of the coughs found in it without the gate {n_again} were found with it too")
    if None not in memory.values():
        at_a_tenth, at_the_end = (f"{memory[key] / 2**20:.1f} MiB" for key in ("at_a_tenth_bytes", "at_the_end_bytes"))
        console.print(f"memory of the process: {at_a_tenth} at a tenth of the stream, {at_the_end} at its end")
    load = row["load_average"]
    console.print(f"{row['cpu']}, {row['runtime']}, commit {row['commit']}")
    console.print(f"load average {load['before']} before and {load['after']} after, {row['n_cores']} cores")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def monitoring(
    bundle: Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")] = None,
    yamnet: Annotated[
        Path, typer.Option(help="YAMNet as .tflite; left out with a sentence where absent.")
    ] = YAMNET_FILE,
    store: Annotated[Path | None, typer.Option(help="Waveform store to play validation recordings of.")] = None,
    data: Annotated[
        Path, typer.Option(help="Packs to decode instead; where absent too, synthesized sounds are played.")
    ] = DATA_FOLDER,
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="How much sound is heard.")] = 60,
    pause_s: Annotated[float, typer.Option(min=0, max=3600, help="Mean pause between two sounds, seconds.")] = 10,
    composed: Annotated[int, typer.Option(min=1, help="Recordings with known coughs to find with and without.")] = 120,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Monitor an hour with and without the gate beside YAMNet at its usual hop, in turns; coughs that the gate costs.

    Example: tussis-benchmark monitoring --store cache/store --json monitoring.json
    """
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if not yamnet.exists():
            notes.print(f"YAMNet is left out: there is no file {yamnet}")
        peer = read_model(yamnet) if yamnet.exists() else None
        result = benchmark_monitoring(load_bundle(bundle), peer, store, data, minutes, pause_s, composed, notes)
        if json_path is not None:
            write_result(json_path, result)
        show(result, console)


if __name__ == "__main__":
    typer.run(monitoring)
