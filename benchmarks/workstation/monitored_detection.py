"""The only place that measures what the monitor's gate costs in coughs: the same sound heard with it and without."""

from benchmarks.results.names import XNNPACK
from benchmarks.results.result import Row, describe_run, make_row
from benchmarks.workstation.long_sound import composed_sounds, in_a_row, synthesized_sounds
from benchmarks.workstation.monitored_listeners import MonitorListening
from core.bundle import Bundle
from core.interpreter import LiteRtInterpreter
from core.monitoring.gate import GateSettings
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.composed_recordings import compose_recordings
from distill.evaluation.event_scoring import EventScore, Span, score_events

GATED, UNGATED = "monitor, gate on", "monitor, gate off"
PAUSE_S = 10.0
SAME_COUGH_S = 0.25


def measure_detection(bundle: Bundle, store: WaveformStore | None, n_composed: int) -> list[Row]:
    """Find coughs at known times with and without the gate, all recordings in one stream with pauses between them.

    The recordings are composed from the store's validation recordings; without a store the demonstration's three coughs
    are played again and again.
    """
    if store is None:
        sounds, words = [synthesized_sounds()[0]] * n_composed, "times the demonstration recording"
    else:
        sounds, words = composed_sounds(compose_recordings(store, n_composed)), "recordings composed with coughs"
    stream, model = in_a_row(sounds, PAUSE_S), bundle.read_model()
    interpreter = LiteRtInterpreter(model, 1, bundle.model_shape)
    facts = {"recordings": f"{len(sounds)} {words}", "pause_s": PAUSE_S}
    rows = []
    for name, gate in ((GATED, GateSettings()), (UNGATED, None)):
        listening = MonitorListening(name, bundle, interpreter, gate)
        for chunk in stream.chunks():
            listening.hear(chunk)
        listening.finish()
        score = score_events(stream.coughs, listening.coughs, stream.duration_s)
        metrics = {**_metrics(score), "gated_share": listening.monitor.totals.gated_share or 0.0}
        provenance = describe_run(1, XNNPACK, model)
        rows.append(make_row(bundle.name, f"coughs found, {name}", provenance, metrics, stream.duration_s, facts=facts))
    return rows


def _metrics(score: EventScore) -> dict[str, float]:
    metrics = {
        "n_coughs": score.n_reference,
        "n_found": score.n_true_positive,
        "sensitivity": score.sensitivity,
        "f1": score.f1,
        "false_positives_per_hour": score.false_positives_per_hour,
    }
    return {key: value for key, value in metrics.items() if value is not None}


def n_found_again(coughs: list[Span], others: list[Span]) -> int:
    """How many of `coughs` overlap one of `others` or lie within 0.25 s of it."""
    return sum(
        any(start - SAME_COUGH_S < its_end and its_start < end + SAME_COUGH_S for its_start, its_end in others)
        for start, end in coughs
    )
