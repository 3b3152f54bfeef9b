"""Measures what monitoring costs beside YAMNet, whether it gets slower or grows, and what the gate costs in coughs."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.device import load_average
from benchmarks.results.names import INTERVAL_PERCENTILES, XNNPACK, YAMNET_NAME
from benchmarks.results.result import Kind, Result, Row, describe_run, make_row
from benchmarks.results.runner import Run
from benchmarks.results.verdicts import MARGIN, MEDIAN, N_STRETCHES, compare_samples
from benchmarks.timing.interleaved import N_DRAWS
from benchmarks.workstation.listeners import (
    N_PARTS,
    YAMNET_HOP_S,
    Listening,
    MonitorListening,
    Part,
    YamnetStream,
    hear_in_turns,
    paced,
)
from benchmarks.workstation.long_sound import (
    CHUNK_S,
    SoundStream,
    compose_stream,
    composed_sounds,
    in_a_row,
    open_sounds,
    synthesized_sounds,
)
from core.bundle import Bundle, load_bundle
from core.interpreter import LiteRtInterpreter
from core.monitoring.gate import GateSettings
from core.monitoring.monitor import MonitorSettings
from core.stopwatch import timing_metrics
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import compose_recordings
from distill.evaluation.event_scoring import EventScore, Span, score_events
from quantize.tflite_graph import read_model

GATED, UNGATED = "monitor, gate on", "monitor, gate off"
YAMNET_STAGE = f"a frame every {YAMNET_HOP_S:g} s"
REAL_TIME_BLOCK_S = 1.0
DRIFT = f"{UNGATED}, last tenth over the first"
MIN_SLOPE_S = 60.0  # a slope an hour from less would be made of noise
DETECTION_PAUSE_S = 10.0
SAME_COUGH_S = 0.25
MONITORING = Kind(
    "monitoring",
    f"one stream in blocks of {CHUNK_S:g} s, or of {REAL_TIME_BLOCK_S:g} s in real time; each block is heard by all of "
    "them, beginning with another one each time; one thread; samples: processor time of a block; monitor: resampling, "
    f"quality, gate, model, events and totals; YAMNet: a frame of 0.975 s every {YAMNET_HOP_S:g} s, scores read, "
    "nothing else; ratios of sums over the stream, 95 % bootstrap interval over blocks; each tenth: wall time of a "
    "block without the gate, memory without mapped files, clock and heat at its end; drift: medians of the last tenth "
    "over the first, 95 % bootstrap interval over stretches; coughs at known times by the rules of "
    "distill/evaluation/event_scoring.py",
    columns=(
        *("processor_s_per_audio_hour", "wall_s_per_audio_hour", "n_clips", "n_coughs_found"),
        *("p50_ms_per_hop", "sensitivity", "f1", "false_positives_per_hour", "n_coughs", "n_found", "gated_share"),
        *("p50_ms", "p99_ms", "max_ms", "resident_bytes", "clock_mhz", "hottest_c", "busy_share", "audio_s_per_s"),
        "n_late",
    ),
)


@dataclass(frozen=True)
class Hearing:
    """What is heard and how: a store or packs (`long_sound.open_sounds`), how long, and at which pace."""

    store: Path | None
    data: Path
    minutes: float
    pause_s: float
    is_real_time: bool = False

    @property
    def block_s(self) -> float:
        """Seconds of sound that are heard at once."""
        return REAL_TIME_BLOCK_S if self.is_real_time else CHUNK_S


def measure_monitoring(bundle: Path | None, yamnet: Path, hearing: Hearing, n_composed: int, run: Run) -> Result:
    """Compose the stream, measure cost and detection, and put all that they depend on into a result."""
    opened, peer = load_bundle(bundle), run.present(yamnet, YAMNET_NAME)
    with tempfile.TemporaryDirectory() as folder:
        sounds, store, words = open_sounds(hearing.store, hearing.data, Path(folder))
        stream = compose_stream(sounds, 60 * hearing.minutes, hearing.pause_s)
        model = None if peer is None else read_model(peer)
        ratios, comparisons, facts = measure_cost(opened, model, stream, hearing, run)
        run.append(*measure_detection(opened, store, n_composed))
    heard = {"sounds": words, "minutes": stream.n_chunks * CHUNK_S / 60, "mean_pause_s": hearing.pause_s}
    heard |= {"sound_share": stream.sound_share, "pace": "real time" if hearing.is_real_time else "fast as possible"}
    return run.result(ratios=ratios, comparisons=comparisons, facts={"stream": heard, **facts})


def measure_cost(
    bundle: Bundle, yamnet: bytes | None, stream: SoundStream, hearing: Hearing, run: Run
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Let monitors with and without a gate, and YAMNet where it is given, hear one stream in turns.

    Rows: each tenth as soon as it is over; then of each listener seconds of processor and of wall for an hour of sound.
    Comes back: ratios to YAMNet, the drift, and facts of the gate, of memory and of the stages.
    """
    load_before, model = load_average(), bundle.read_model()
    interpreter = LiteRtInterpreter(model, 1, bundle.model_shape)
    gated = MonitorListening(GATED, bundle, interpreter, GateSettings())
    ungated = MonitorListening(UNGATED, bundle, interpreter, None)
    peers = [] if yamnet is None else [Listening(YAMNET_STAGE, YamnetStream(yamnet).hear)]
    block_s, provenance = hearing.block_s, describe_run(1, XNNPACK, model, load_before=load_before)
    blocks, n_blocks = stream.blocks(block_s), round(stream.n_chunks * CHUNK_S / block_s)
    parts = []
    with run.progress("listening", N_PARTS) as step:
        timely = paced(blocks, block_s) if hearing.is_real_time else blocks
        for part in hear_in_turns([gated, ungated, *peers], timely, n_blocks):
            parts.append(part)
            run.append(part_row(bundle.name, ungated, part, block_s, provenance))
            step()
    for monitor in (gated, ungated):
        monitor.finish()
        run.append(_cost_row(bundle.name, monitor, block_s, provenance, monitor.metrics()))
    of_peer = describe_run(1, XNNPACK, yamnet, load_before=load_before)
    run.append(*(_cost_row(YAMNET_NAME, peer, block_s, of_peer, {}) for peer in peers))
    ratios = [ratio for peer in peers for ours in (gated, ungated) for ratio in _ratios(bundle.name, ours, peer)]
    facts = {
        "gate": asdict(GateSettings()),
        "n_coughs_found_again_with_the_gate": n_found_again(ungated.coughs, gated.coughs),
        "memory": memory_growth(parts),
        "share_of_time": stage_shares(ungated.monitor.timing_ms),
    }
    return ratios, drift_comparisons(bundle.name, ungated.wall_s, parts), facts


def part_row(name: str, listening: Listening, part: Part, block_s: float, provenance: dict[str, Any]) -> Row:
    """The row of a tenth: latency of a block, and memory, heat and clock at its end."""
    wall_s, duration_s = np.array(listening.wall_s[part.blocks]), part.end_s - part.begin_s
    metrics = {
        **timing_metrics(1000 * wall_s, block_s),
        "p50_ms_per_hop": 1000 * float(np.median(wall_s)) * MonitorSettings.hop_s / block_s,
        "audio_s_per_s": len(wall_s) * block_s / duration_s,
        "busy_share": float(wall_s.sum()) / duration_s,
        "n_late": int((wall_s > block_s).sum()),
        **{"resident_bytes": part.resident_bytes, "clock_mhz": part.clock_mhz, "hottest_c": part.hottest_c},
    }
    known = {key: value for key, value in metrics.items() if value is not None}
    return make_row(name, f"{listening.name}, {part.stage}", provenance, known, block_s, len(wall_s), 1000 * wall_s)


def drift_comparisons(name: str, wall_s: Sequence[float], parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The last tenth's median over the first's, with interval and verdict: slower where the device cannot keep up.

    Empty where a tenth holds fewer blocks than an interval needs.
    """
    first, last = (1000 * np.array(wall_s[part.blocks]) for part in (parts[0], parts[-1]))
    if min(len(first), len(last)) < N_STRETCHES:
        return []
    key = {"name": name, "stage": DRIFT, "threads": 1, "delegate": XNNPACK}
    return [key | asdict(compare_samples(first, last, None, MARGIN, MEDIAN))]


def memory_growth(parts: Sequence[Part]) -> dict[str, float | None]:
    """Bytes after a tenth and at the end, and the slope over all tenths in between, None over less than a minute."""
    after = [(part.end_s, part.resident_bytes) for part in parts[1:]]
    at_a_tenth, at_the_end = (part.resident_bytes for part in (parts[0], parts[-1]))
    is_told = after and after[-1][0] - after[0][0] >= MIN_SLOPE_S
    is_told = is_told and None not in (at_a_tenth, *(held for _, held in after))
    slope = float(np.polyfit(*np.array(after).T, 1)[0]) * 3600 if is_told else None
    return {"at_a_tenth_bytes": at_a_tenth, "at_the_end_bytes": at_the_end, "growth_bytes_per_hour": slope}


def stage_shares(timing_ms: dict[str, float]) -> dict[str, float]:
    """Share of the monitor's time that each stage takes."""
    spent = {stage: ms for stage, ms in timing_ms.items() if stage != "total" and ms}
    return {stage: ms / sum(spent.values()) for stage, ms in spent.items()}


def _cost_row(
    name: str, listener: Listening, block_s: float, provenance: dict[str, Any], metrics: dict[str, float]
) -> Row:
    hours, samples_ms = len(listener.wall_s) * block_s / 3600, 1000 * np.array(listener.processor_s)
    costs = {
        "processor_s_per_audio_hour": sum(listener.processor_s) / hours,
        "wall_s_per_audio_hour": sum(listener.wall_s) / hours,
    }
    metrics = {**costs, **metrics, **timing_metrics(samples_ms, block_s)}
    return make_row(name, listener.name, provenance, metrics, block_s, len(samples_ms), samples_ms)


def _ratios(name: str, ours: Listening, theirs: Listening) -> list[dict[str, Any]]:
    key = {"name": name, "to": YAMNET_NAME, "threads": 1, "delegate": XNNPACK}
    return [
        {**key, "stage": f"{ours.name}, processor time", **ratio_of_sums(ours.processor_s, theirs.processor_s)},
        {**key, "stage": f"{ours.name}, wall time", **ratio_of_sums(ours.wall_s, theirs.wall_s)},
    ]


def ratio_of_sums(ours_s: Sequence[float], theirs_s: Sequence[float]) -> dict[str, float]:
    """Our time over theirs for the whole stream, with a 95 % bootstrap interval over its blocks.

    Sums, not medians: with a gate a block costs much or little, and the hour costs all of them.
    """
    ours, theirs = np.array(ours_s), np.array(theirs_s)
    drawn = np.random.default_rng(0).integers(len(ours), size=(N_DRAWS, len(ours)))
    low, high = np.percentile(ours[drawn].sum(axis=1) / theirs[drawn].sum(axis=1), INTERVAL_PERCENTILES)
    return {"value": float(ours.sum() / theirs.sum()), "low": float(low), "high": float(high)}


def measure_detection(bundle: Bundle, store: WaveformStore | None, n_composed: int) -> list[Row]:
    """Find coughs at known times with and without the gate, all recordings in one stream with pauses between them.

    The recordings are composed from the store's validation recordings; without a store the demonstration's three coughs
    are played again and again.
    """
    if store is None:
        sounds, words = [synthesized_sounds()[0]] * n_composed, "times the demonstration recording"
    else:
        sounds, words = composed_sounds(compose_recordings(store, n_composed)), "recordings composed with coughs"
    stream, model = in_a_row(sounds, DETECTION_PAUSE_S), bundle.read_model()
    interpreter = LiteRtInterpreter(model, 1, bundle.model_shape)
    facts = {"recordings": f"{len(sounds)} {words}", "pause_s": DETECTION_PAUSE_S}
    rows = []
    for name, gate in ((GATED, GateSettings()), (UNGATED, None)):
        listening = MonitorListening(name, bundle, interpreter, gate)
        for chunk in stream.chunks():
            listening.hear(chunk)
        listening.finish()
        score = score_events(stream.coughs, listening.coughs, stream.duration_s)
        metrics = {**_detection_metrics(score), "gated_share": listening.gated_share}
        provenance = describe_run(1, XNNPACK, model)
        rows.append(make_row(bundle.name, f"coughs found, {name}", provenance, metrics, stream.duration_s, facts=facts))
    return rows


def _detection_metrics(score: EventScore) -> dict[str, float]:
    metrics = {"n_coughs": score.n_reference, "n_found": score.n_true_positive}
    metrics |= {key: getattr(score, key) for key in ("sensitivity", "f1", "false_positives_per_hour")}
    return {key: value for key, value in metrics.items() if value is not None}


def n_found_again(coughs: Sequence[Span], others: Sequence[Span]) -> int:
    """How many of `coughs` overlap one of `others` or lie within 0.25 s of it."""
    return sum(
        any(start - SAME_COUGH_S < other_end and other_start < end + SAME_COUGH_S for other_start, other_end in others)
        for start, end in coughs
    )
