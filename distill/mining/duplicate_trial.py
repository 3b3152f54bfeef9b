"""The only place that measures which cosine tells a copy of a clip from other recordings of the same kind of sound."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer

from core.audio import SAMPLE_RATE_HZ
from core.bundle import Bundle, load_bundle
from core.clips import CLIP_SAMPLES
from core.errors import DataError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import Interpreter, LiteRtInterpreter
from core.probes import sigmoid
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import WaveformStore

SPEECH = "speech"  # of all events the one that tussis-mine does not count
THRESHOLDS = (0.9, 0.925, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99, 0.995)
GAINS_DB = (-12, -6, 6)
SHIFTS_MS = (50, 200, 500, 1000)
CROP_S = 1.5
CODECS = {"mp3": ("MP3", "MPEG_LAYER_III"), "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}
COMPRESSION_LEVELS = (0.5, 0.9)  # libsndfile's, 0 to 1: its middle and nearly its smallest files
SAME_SOUND_CORRELATION = 0.8
SUSPECTED_COSINE = 0.96  # above it two recordings are compared sample by sample: the packs hold some twice


@dataclass(frozen=True, eq=False)
class TrialClip:
    """The loudest 2 s of a recording: its place in the store, first sample, int16 (32000,), embedding (512,)."""

    index: int
    row: ManifestRow
    start: int
    samples: np.ndarray
    embedding: np.ndarray


class Embedder:
    """What a mined pack keeps of a clip: the greatest probability that counts, and the embedding as float16."""

    def __init__(self, bundle: Bundle, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._counted = [number for number, label in enumerate(bundle.event_labels) if label != SPEECH]

    def embed(self, samples: np.ndarray) -> tuple[float, np.ndarray]:
        """Score and embedding (512,) of int16 samples (32000,)."""
        outputs = self._interpreter.run(samples.astype(np.float32) / 32768)
        score = max(sigmoid(float(outputs.event_logits[number])) for number in self._counted)
        return score, outputs.embedding.astype(np.float16).astype(np.float32)


def trial_clips(store: WaveformStore, embedder: Embedder, minimum: float) -> list[TrialClip]:
    """One clip of each training recording in which a health sound is heard, no two with the same samples."""
    clips: dict[bytes, TrialClip] = {}
    for index in store.indices("train"):
        waveform, row = store.waveform(index), store.rows[index]
        if len(waveform) >= CLIP_SAMPLES:
            start = _loudest_start(waveform)
            samples = np.array(waveform[start : start + CLIP_SAMPLES])
            score, embedding = embedder.embed(samples)
            if score >= minimum:
                clips.setdefault(samples.tobytes(), TrialClip(index, row, start, samples, embedding))
    if len(clips) < 3:
        raise DataError(f"{len(clips)} training recordings of the store hold a health sound; expected at least 3.")
    return list(clips.values())


def _loudest_start(waveform: np.ndarray) -> int:
    """Where the loudest 2 s begin, to half a second."""
    starts = range(0, len(waveform) - CLIP_SAMPLES + 1, SAMPLE_RATE_HZ // 2)
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    return max(starts, key=lambda start: energy[start + CLIP_SAMPLES] - energy[start])


def copies_of(clip: TrialClip, waveform: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The clip at other levels, coded anew, cut elsewhere in its recording `waveform`, and cropped: int16 (32000,)."""
    peak = np.abs(clip.samples.astype(np.int32)).max()
    for gain_db in GAINS_DB:
        factor = 10 ** (gain_db / 20)
        if peak * factor < 32768:
            yield f"gain {gain_db:+d} dB", np.rint(clip.samples * factor).astype(np.int16)
    for codec in CODECS:
        for level in COMPRESSION_LEVELS:
            yield f"{codec} {level:g}", _coded_anew(clip.samples, codec, level)
    for shift_ms in SHIFTS_MS:
        shift = shift_ms * SAMPLE_RATE_HZ // 1000
        for start in (clip.start - shift, clip.start + shift):
            if 0 <= start <= len(waveform) - CLIP_SAMPLES:
                yield f"shift {shift_ms} ms", waveform[start : start + CLIP_SAMPLES]
    yield f"crop {CROP_S:g} s", np.resize(clip.samples[: round(CROP_S * SAMPLE_RATE_HZ)], CLIP_SAMPLES)


def _coded_anew(samples: np.ndarray, codec: str, level: float) -> np.ndarray:
    container, subtype = CODECS[codec]
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format=container, subtype=subtype, compression_level=level)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="int16")
    return np.resize(decoded, CLIP_SAMPLES)


def cosines_of_copies(
    clips: list[TrialClip], store: WaveformStore, embedder: Embedder, centre: np.ndarray
) -> dict[str, list[float]]:
    """Cosine of each copy with its original, both less `centre`, by kind of copy."""
    cosines: dict[str, list[float]] = {}
    for clip in clips:
        for kind, samples in copies_of(clip, store.waveform(clip.index)):
            copy = embedder.embed(samples)[1]
            cosines.setdefault(kind, []).append(float(_unit(copy - centre) @ _unit(clip.embedding - centre)))
    return cosines


def cosines_of_others(clips: list[TrialClip], units: np.ndarray) -> dict[str, np.ndarray]:
    """Cosines of pairs of labelled recordings: of one subject and class, and of one class and two subjects.

    Pairs that are the same sound in truth are left out.
    """
    labelled = [number for number, clip in enumerate(clips) if clip.row.labelled]
    clips, units = [clips[number] for number in labelled], units[labelled]
    cosines = units @ units.T
    labels, subjects = [clip.row.labels for clip in clips], [clip.row.subject_id for clip in clips]
    groups: dict[str, list[float]] = {"same subject and class": [], "same class, another subject": []}
    for one in range(len(clips)):
        for other in range(one + 1, len(clips)):
            if labels[one] == labels[other] and not _is_copy(clips, cosines, one, other):
                group = "same subject and class" if subjects[one] == subjects[other] else "same class, another subject"
                groups[group].append(cosines[one, other])
    return {name: np.array(values) for name, values in groups.items()}


def nearest_others(clips: list[TrialClip], units: np.ndarray) -> np.ndarray:
    """For each clip the greatest cosine with a clip of another recording that is not the same sound, (n_clips,).

    Recordings of one source, as the parts of a long one, are not each other's others.
    """
    cosines = units @ units.T
    sources = [clip.row.source_id for clip in clips]
    nearest = np.empty(len(clips))
    for one in range(len(clips)):
        others = (other for other in np.argsort(-cosines[one]).tolist() if sources[other] != sources[one])
        nearest[one] = next(cosines[one, other] for other in others if not _is_copy(clips, cosines, one, other))
    return nearest


def _is_copy(clips: list[TrialClip], cosines: np.ndarray, one: int, other: int) -> bool:
    return cosines[one, other] > SUSPECTED_COSINE and same_sound(clips[one].samples, clips[other].samples)


def same_sound(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two waveforms (n,) are the same sound at some shift and gain: their greatest correlation is above 0.8."""
    size = 2 * len(one)
    spectra = [np.fft.rfft(samples.astype(np.float64), size) for samples in (one, other)]
    correlation = np.abs(np.fft.irfft(spectra[0] * spectra[1].conj(), size)).max()
    return bool(correlation > SAME_SOUND_CORRELATION * np.linalg.norm(one * 1.0) * np.linalg.norm(other * 1.0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def run_trial(store: WaveformStore, bundle: Bundle, n_copied: int, minimum: float, seed: int) -> dict[str, Any]:
    """Shares of pairs above each threshold: copies, which should be, and other recordings, which should not."""
    embedder = Embedder(bundle, LiteRtInterpreter(bundle.read_model(), 1, bundle.model_shape))
    clips = trial_clips(store, embedder, minimum)
    embeddings = np.array([clip.embedding for clip in clips])
    centre = embeddings.mean(axis=0)
    units = _unit(embeddings - centre)
    chosen = np.random.default_rng(seed).permutation(len(clips))[:n_copied].tolist()
    copies = cosines_of_copies([clips[number] for number in chosen], store, embedder, centre)
    others = {**cosines_of_others(clips, units), "nearest other recording": nearest_others(clips, units)}
    return {
        "model_sha256": bundle.model_sha256,
        "clips": len(clips),
        "clips_labelled": sum(clip.row.labelled for clip in clips),
        "clips_copied": len(chosen),
        "thresholds": list(THRESHOLDS),
        "copies": {kind: _shares(np.array(values)) for kind, values in copies.items()},
        "others": {name: _shares(values) for name, values in others.items() if len(values)},
    }


def _shares(cosines: np.ndarray) -> dict[str, Any]:
    """Number of pairs, percentiles of their cosine, and the share above each threshold."""
    percentiles = {f"p{rank:g}": round(float(np.percentile(cosines, rank)), 4) for rank in (1, 10, 50, 90, 99, 99.9)}
    above = [round(float(np.mean(cosines > threshold)), 7) for threshold in THRESHOLDS]
    return {"pairs": len(cosines), **percentiles, "above": above}


def as_table(result: dict[str, Any]) -> str:
    """The shares above each threshold in percent, as a Markdown table."""
    header = ["pairs", "number", *(f"{threshold:g}" for threshold in result["thresholds"])]
    lines = [header, ["---"] * len(header)]
    for name, shares in {**result["copies"], **result["others"]}.items():
        lines.append([name, str(shares["pairs"]), *(f"{100 * share:.3g}" for share in shares["above"])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


app = typer.Typer(add_completion=False)


@app.command()
def command(
    store: Annotated[Path, typer.Option(help="Waveform store; its training recordings take part.")],
    out: Annotated[Path, typer.Option(help="JSON to write.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    copied: Annotated[int, typer.Option(min=1, help="Clips of which copies are made.")] = 400,
    min_probability: Annotated[float, typer.Option(help="Least probability of a health sound, 0 to 1.")] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of clips that are copied.")] = 0,
) -> None:
    """Print in percent which pairs of clips lie above which cosine of centred embeddings, as tussis-mine compares them.

    Example: python -m distill.mining.duplicate_trial --store runs/default/store --out runs/duplicates.json
    """
    with exit_on_error("duplicate_trial"):
        check_writable(out)
        result = run_trial(WaveformStore.open(store), load_bundle(bundle), copied, min_probability, seed)
        write_atomically(out, json.dumps(result, indent=1) + "\n")
        print(as_table(result))


def main() -> None:
    """Entry point of ``python -m distill.mining.duplicate_trial``."""
    app()


if __name__ == "__main__":
    main()
