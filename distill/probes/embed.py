"""Embeds recordings with a bundle's model, clip by clip (tussis-embed)."""

import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from core.audio import open_recording
from core.bundle import Bundle, load_bundle
from core.errors import DataError, OutputError, TussisError, exit_on_error, one_line, report
from core.files import check_writable, sha256_of_file, write_atomically
from core.interpreter import EMBEDDING_SIZE, Interpreter, LiteRtInterpreter
from core.listening import listen
from core.pooling import PooledEmbedding
from core.probes import ClipSelection
from core.process.signals import stop_signals
from core.quality import QualityMeter
from distill.command_line import run_app
from distill.corpus.arrays import read_npz
from distill.corpus.sound_hash import SoundHash
from distill.shown_text import PlainConsole

COMMAND = "tussis-embed"
NPZ_FORMAT = "tussis.embeddings/2"
SAVED_EVERY_S = 60.0
_OTHER_FILE = "is not a file of embeddings written by tussis-embed"
_ARRAYS = (
    *("format", "model_sha256", "recording", "start_s", "embedding", "event_probabilities"),
    *("recording_paths", "recording_sha256", "recording_sound_sha256", "recording_unacceptable"),
)


@dataclass(frozen=True, eq=False)
class EmbeddedRecording:
    """What the model says about each clip of a recording, in order of time.

    ``start_s`` (n_clips,) float64; ``embeddings`` (n_clips, 512) float32; ``event_probabilities``
    (n_clips, n_events) float64. ``sha256`` is the file's, ``sound_sha256`` the samples' (`SoundHash`). ``unacceptable``
    holds the quality gate's reasons, empty where it was passed.
    """

    path: str
    sha256: str
    sound_sha256: str
    unacceptable: tuple[str, ...]
    start_s: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    event_probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class EmbeddingModel:
    """A model and what core needs to know about it to cut clips and select them."""

    interpreter: Interpreter
    hop_s: float
    frame_step_s: float
    event_labels: tuple[str, ...]
    sha256: str


def model_of_bundle(bundle: Bundle, threads: int = 1) -> EmbeddingModel:
    """The bundle's model with the bundle's own hop and labels."""
    interpreter = LiteRtInterpreter(bundle.read_model(), threads, bundle.model_shape)
    hop_s, frame_step_s = bundle.screening.hop_s, bundle.screening.activity_frame_step_s
    return EmbeddingModel(interpreter, hop_s, frame_step_s, bundle.event_labels, bundle.model_sha256)


def embed_recording(path: Path, model: EmbeddingModel) -> EmbeddedRecording:
    """Run the model on every clip of a recording, holding one block of it at a time.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    meter = QualityMeter()
    with open_recording(path) as reader:
        sound, rate_hz = SoundHash(reader.sample_rate_hz), reader.sample_rate_hz
        heard = listen(sound.of(reader.blocks()), rate_hz, model.interpreter, model.hop_s, model.frame_step_s, meter)
        clips = [clip for clip in heard if not clip.is_gated]  # dead air, which core pools neither
        sha256 = reader.sha256
    quality = meter.verdict()
    return EmbeddedRecording(
        path=str(path),
        sha256=sha256,
        sound_sha256=sound.sha256,
        unacceptable=() if quality.acceptable else quality.reasons,
        start_s=np.array([clip.start_s for clip in clips]),
        embeddings=np.array([clip.embedding for clip in clips], np.float32).reshape(-1, EMBEDDING_SIZE),
        event_probabilities=np.array([clip.event_probabilities for clip in clips]).reshape(-1, len(model.event_labels)),
    )


def pool_clips(
    recording: EmbeddedRecording, selection: ClipSelection, event_labels: tuple[str, ...]
) -> NDArray[np.float64] | None:
    """Mean embedding (512,) of the clips that a probe selects, by core's own pooling.

    None where core would leave the recording unscored: unacceptable quality or fewer clips than the probe needs.
    """
    pooled = PooledEmbedding(selection, event_labels, recording.embeddings.shape[1])
    for embedding, probabilities in zip(recording.embeddings, recording.event_probabilities, strict=True):
        pooled.push(embedding, probabilities)
    if recording.unacceptable or pooled.n_clips < selection.min_clips:
        return None
    return pooled.mean


def write_embeddings(
    path: Path, recordings: Sequence[EmbeddedRecording], model_sha256: str, event_labels: tuple[str, ...]
) -> None:
    """Write recordings as one NPZ without pickled objects; one row per clip, in order.

    Arrays: ``format``, ``model_sha256``, ``event_labels`` (n_events,); per recording ``recording_paths``,
    ``recording_sha256``, ``recording_sound_sha256``, ``recording_unacceptable`` (reasons joined by ``;``); per clip
    ``recording`` (index of its recording), ``path``, ``start_s``, ``embedding`` (n_clips, 512) and
    ``event_probabilities`` (n_clips, n_events).
    """
    index = np.repeat(np.arange(len(recordings)), [len(recording.start_s) for recording in recordings])
    content = io.BytesIO()
    np.savez(
        content,
        format=np.array(NPZ_FORMAT),
        model_sha256=np.array(model_sha256),
        event_labels=np.array(event_labels),
        recording_paths=np.array([recording.path for recording in recordings]),
        recording_sha256=np.array([recording.sha256 for recording in recordings]),
        recording_sound_sha256=np.array([recording.sound_sha256 for recording in recordings]),
        recording_unacceptable=np.array([";".join(recording.unacceptable) for recording in recordings]),
        recording=index,
        path=np.array([recordings[i].path for i in index]),
        start_s=np.concatenate([recording.start_s for recording in recordings]),
        embedding=np.concatenate([recording.embeddings for recording in recordings]),
        event_probabilities=np.concatenate([recording.event_probabilities for recording in recordings]),
    )
    write_atomically(path, content.getvalue())


def read_embeddings(path: Path, model_sha256: str) -> dict[str, EmbeddedRecording]:
    """Read what `write_embeddings` wrote, by the recording's SHA-256; refuses embeddings of another model."""
    arrays = read_npz(path, _ARRAYS, _OTHER_FILE)
    try:
        if str(arrays["format"]) != NPZ_FORMAT:
            raise DataError(f"{path} has the format {str(arrays['format'])!r}; expected {NPZ_FORMAT!r}")
        if str(arrays["model_sha256"]) != model_sha256:
            theirs = str(arrays["model_sha256"])[:12]
            raise DataError(f"{path} was made by model {theirs}...; the bundle's model is {model_sha256[:12]}...")
        if not (np.isfinite(arrays["embedding"]).all() and np.isfinite(arrays["event_probabilities"]).all()):
            raise ValueError("a value is not finite")
        recordings = [_recording_of(arrays, i) for i in range(len(arrays["recording_paths"]))]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} {_OTHER_FILE}: {one_line(error)}") from error
    return {recording.sha256: recording for recording in recordings}


def embed_all(paths: Sequence[Path], model: EmbeddingModel) -> list[EmbeddedRecording]:
    """`embed_recording` for each path, with a progress bar on stderr."""
    return [embed_recording(path, model) for path in with_progress(paths)]


def with_progress(paths: Sequence[Path]) -> Iterable[Path]:
    """The paths one by one, with a progress bar on stderr where that is a terminal."""
    console = PlainConsole(stderr=True)
    return track(paths, "embedding", console=console, disable=not console.is_terminal)


def embed_readable(
    paths: Sequence[Path], model: EmbeddingModel, out: Path, is_ended: Callable[[], bool]
) -> tuple[list[EmbeddedRecording], int]:
    """`embed_all` that says which recordings cannot be read and goes on, until `is_ended`; how many could not be.

    What is embedded is written to ``OUT.partial`` once a minute, and taken from there after a kill.
    """
    partial = out.with_name(f"{out.name}.partial")
    known = read_embeddings(partial, model.sha256) if partial.exists() else {}
    embedded, failed, saved_s = [], 0, time.monotonic()
    for path in with_progress(paths):
        if is_ended():
            break
        try:
            present = known.get(sha256_of_file(path)) if known else None
            embedded.append(replace(present, path=str(path)) if present else embed_recording(path, model))
        except (TussisError, OSError) as error:
            report(COMMAND, error)
            failed += 1
        if embedded and time.monotonic() - saved_s > SAVED_EVERY_S:
            write_embeddings(partial, embedded, model.sha256, model.event_labels)
            saved_s = time.monotonic()
    return embedded, failed


def _recording_of(arrays: dict[str, NDArray], i: int) -> EmbeddedRecording:
    rows = arrays["recording"] == i
    reasons = str(arrays["recording_unacceptable"][i])
    return EmbeddedRecording(
        path=str(arrays["recording_paths"][i]),
        sha256=str(arrays["recording_sha256"][i]),
        sound_sha256=str(arrays["recording_sound_sha256"][i]),
        unacceptable=tuple(reasons.split(";")) if reasons else (),
        start_s=arrays["start_s"][rows],
        embeddings=arrays["embedding"][rows],
        event_probabilities=arrays["event_probabilities"][rows],
    )


app = typer.Typer(add_completion=False)


@app.command()
def embed(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings: WAV, or FLAC, Ogg and MP3.")],
    out: Annotated[Path, typer.Option(help="NPZ file to write, one row per 2-s clip.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
) -> None:
    """Write each clip's embedding (512 numbers), start (s) and event probabilities to one NPZ file.

    Example: tussis-embed cough1.wav cough2.wav --out coughs.npz
    """
    with exit_on_error(COMMAND):
        if out.suffix != ".npz":
            raise OutputError(f"embeddings are written as .npz, got {out}")
        check_writable(out, "a zip of format.npy")
        model = model_of_bundle(load_bundle(bundle), threads)
        with stop_signals() as stop:
            embedded, failed = embed_readable(recordings, model, out, lambda: bool(stop))
        if not embedded:
            raise DataError(f"none of the {len(recordings)} recordings was embedded")
        write_embeddings(out, embedded, model.sha256, model.event_labels)
        out.with_name(f"{out.name}.partial").unlink(missing_ok=True)
        PlainConsole().print(
            f"{out}: {sum(len(item.start_s) for item in embedded)} clips of {len(embedded)} recordings"
        )
        if stop:
            report(COMMAND, f"{stop.name} ended the run; {out} holds {len(embedded)} of {len(recordings)} recordings.")
            raise SystemExit(stop.status)
        if failed:
            raise DataError(f"{failed} of {len(recordings)} recordings could not be embedded; {out} holds the others.")


def main() -> None:
    """Entry point of ``tussis-embed``."""
    run_app(app)


if __name__ == "__main__":
    main()
