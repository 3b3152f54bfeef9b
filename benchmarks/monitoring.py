"""The only place that measures what monitoring an hour costs beside YAMNet, in one run and in turns."""

import json
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.contenders import YAMNET
from benchmarks.device import describe_device, load_average
from benchmarks.interleaved import INTERVAL, N_DRAWS
from benchmarks.monitored_detection import GATED, UNGATED, measure_detection, n_found_again
from benchmarks.monitored_listeners import YAMNET_HOP_S, Listening, MonitorListening, YamnetStream
from benchmarks.monitored_stream import CHUNK_S, SoundStream, compose_stream, open_sounds
from core.bundle import Bundle, load_bundle
from core.errors import exit_on_error
from core.files import check_writable, sha256_of_file, write_atomically
from core.gate import GateSettings
from core.interpreter import LiteRtInterpreter
from distill.provenance import source_commit

SCHEMA = "tussis.monitoring_benchmark/1"
YAMNET_FILE, DATA_FOLDER = Path("../shared/models/yamnet.tflite"), Path("../shared/data")
PROTOCOL = (
    f"one stream in chunks of {CHUNK_S:g} s; each chunk is heard by all of them, beginning with another one each time; "
    "one thread; processor time of this process; monitor: resampling, quality, gate, model, events and totals; YAMNet: "
    f"a frame of 0.975 s every {YAMNET_HOP_S:g} s, scores read, nothing else; ratios of sums over the stream, 95 % "
    "bootstrap interval over chunks"
)


def measure(bundle: Bundle, yamnet: Path | None, stream: SoundStream, console: Console) -> dict[str, Any]:
    """Let monitors with and without a gate, and YAMNet where it is given, hear one stream in turns.

    Returns
    -------
    dict
        ``listeners``: seconds of processor and of wall for an hour of sound each; ``of_yamnet``: ratios by listener,
        of processor and of wall time; ``gate``: share of clips left out and coughs found with and without it;
        ``memory``: bytes resident at 10 % of the stream and at its end.
    """
    interpreter = LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape)
    monitors = [
        MonitorListening(GATED, bundle, interpreter, GateSettings()),
        MonitorListening(UNGATED, bundle, interpreter, None),
    ]
    listeners: list[Listening] = [*monitors]
    if yamnet is not None:
        listeners.append(Listening(YAMNET, YamnetStream(yamnet).hear))
    memory = _hear_in_turns(listeners, stream, console)
    for monitor in monitors:
        monitor.finish()
    return {
        "listeners": {its.name: _cost(its) for its in listeners},
        "of_yamnet": {its.name: _of(its, listeners[-1]) for its in monitors} if yamnet is not None else None,
        "gate": _gate_effect(*monitors),
        "memory": memory,
    }


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


def _cost(listener: Listening) -> dict[str, float]:
    hours = len(listener.processor_s) * CHUNK_S / 3600
    processor_s, wall_s = sum(listener.processor_s) / hours, sum(listener.wall_s) / hours
    return {"processor_s_per_audio_hour": processor_s, "wall_s_per_audio_hour": wall_s}


def _of(ours: Listening, theirs: Listening) -> dict[str, dict[str, float]]:
    return {
        "processor": ratio_of_sums(np.array(ours.processor_s), np.array(theirs.processor_s)),
        "wall": ratio_of_sums(np.array(ours.wall_s), np.array(theirs.wall_s)),
    }


def ratio_of_sums(ours_s: np.ndarray, theirs_s: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Our time over theirs for the whole stream, with a 95 % bootstrap interval over its chunks, shape (n,) each.

    Sums, not medians: with a gate a chunk costs much or little, and the hour costs all of them.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(ours_s), size=(N_DRAWS, len(ours_s)))
    low, high = np.percentile(ours_s[drawn].sum(axis=1) / theirs_s[drawn].sum(axis=1), INTERVAL)
    return {"value": float(ours_s.sum() / theirs_s.sum()), "low": float(low), "high": float(high)}


def _gate_effect(gated: MonitorListening, ungated: MonitorListening) -> dict[str, Any]:
    totals = gated.monitor.totals
    return {
        "settings": asdict(gated.monitor.settings.gate),
        "n_clips": totals.n_clips_run + totals.n_clips_gated,
        "gated_share": totals.gated_share,
        "n_coughs_gate_on": len(gated.coughs),
        "n_coughs_gate_off": len(ungated.coughs),
        "n_coughs_both": n_found_again(ungated.coughs, gated.coughs),
    }


def resident_bytes() -> int | None:
    """Memory of this process that is its own: resident without mapped files; None where the system does not say."""
    try:
        _, resident, shared = Path("/proc/self/statm").read_text(encoding="ascii").split()[:3]
    except OSError:
        return None
    import resource

    return (int(resident) - int(shared)) * resource.getpagesize()


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result as a table and sentences for a person."""
    table = Table(
        title=f"{result['minutes']:g} minutes heard by each in turns, one thread; seconds for an hour of sound"
    )
    for column in ("", "processor", "wall", "of YAMNet, processor", "of YAMNet, wall"):
        table.add_column(column, justify="right" if column else "left")
    for name, its in result["listeners"].items():
        ratios = (result["of_yamnet"] or {}).get(name)
        words = [_interval(ratios[kind]) for kind in ("processor", "wall")] if ratios else ["", ""]
        costs = f"{its['processor_s_per_audio_hour']:.2f}", f"{its['wall_s_per_audio_hour']:.2f}"
        table.add_row(name, *costs, *words)
    console.print(table)
    gate, memory, load = result["gate"], result["memory"], result["load_average"]
    console.print(
        f"stream: {result['sounds']}, {100 * result['sound_share']:.0f} % of the time sound, else faint noise; "
        f"the gate left out {_percent(gate['gated_share'])} of {gate['n_clips']} clips"
    )
    console.print(
        f"coughs found in it: {gate['n_coughs_gate_off']} without the gate, {gate['n_coughs_gate_on']} with it, "
        f"{gate['n_coughs_both']} of the former again"
    )
    detection = result["detection"]
    console.print(f"coughs at known times, {detection['recordings']}:")
    for name in (GATED, UNGATED):
        its = detection[name]
        console.print(
            f"  {name}: {its['n_found']} of {its['n_coughs']} found, "
            f"{its['false_positives_per_hour']:.1f} false an hour, {_percent(its['gated_share'])} of the clips left out"
        )
    if None not in memory.values():
        at_a_tenth, at_the_end = (f"{memory[key] / 2**20:.1f} MiB" for key in ("at_a_tenth_bytes", "at_the_end_bytes"))
        console.print(f"memory of the process: {at_a_tenth} at a tenth of the stream, {at_the_end} at its end")
    console.print(f"{result['device']['cpu']}, {result['runtime']}, commit {result['commit']}")
    cores = result["device"]["n_cores"]
    console.print(f"load average {load['before']} before and {load['after']} after, {cores} cores")


def _interval(ratio: dict[str, float]) -> str:
    return f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def benchmark_monitoring(
    bundle: Bundle,
    yamnet: Path | None,
    store: Path | None,
    data: Path,
    minutes: float,
    pause_s: float,
    n_composed: int,
    console: Console,
) -> dict[str, Any]:
    """Compose the stream, measure cost and detection, and describe all that they depend on."""
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder:
        sounds, opened, words = open_sounds(store, data, Path(folder))
        stream = compose_stream(sounds, 60 * minutes, pause_s)
        measured = measure(bundle, yamnet, stream, console)
        detection = measure_detection(bundle, opened, n_composed)
    return {
        "schema": SCHEMA,
        "protocol": PROTOCOL,
        "device": describe_device(),
        "load_average": {"before": load_before, "after": load_average()},
        "runtime": f"ai-edge-litert {version('ai-edge-litert')}",
        "commit": source_commit(),
        "threads": 1,
        "model_sha256": bundle.model_sha256,
        "yamnet_sha256": sha256_of_file(yamnet) if yamnet is not None else None,
        "minutes": stream.n_chunks * CHUNK_S / 60,
        "sounds": words,
        "mean_pause_s": pause_s,
        "sound_share": stream.sound_share,
        **measured,
        "detection": detection,
    }


def monitoring(
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
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

    Example: python -m benchmarks.monitoring --store cache/store --json monitoring.json
    """
    with exit_on_error("tussis-benchmark"):
        if json_path is not None:
            check_writable(json_path)
        console, notes = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
        if not yamnet.exists():
            notes.print(f"YAMNet is left out: there is no file {yamnet}")
        peer = yamnet if yamnet.exists() else None
        result = benchmark_monitoring(load_bundle(bundle), peer, store, data, minutes, pause_s, composed, notes)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, console)


if __name__ == "__main__":
    typer.run(monitoring)
