"""Chooses and reads the calibration set: the training clips that the quantizer sees (tussis-calibration)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from core.audio import SAMPLE_RATE_HZ, read_waveform
from core.clips import CLIP_SAMPLES
from core.errors import AudioError, DataError, exit_on_error
from core.files import check_writable, is_standard_output, kind_of, sha256_of_file, write_atomically
from distill.command_line import run_app
from distill.corpus.manifests import ManifestRow, read_manifest
from distill.corpus.tables import read_table, table_text
from distill.shown_text import PlainConsole

CALIBRATION_IDS = Path(__file__).parent / "calibration_ids.csv"
COLUMNS = ("path", "offset_samples", "label")
N_CLIPS = 256
UNLABELLED = "unlabelled"
SILENCE_DBFS = -70.0


@dataclass(frozen=True)
class CalibrationSet:
    """``clips`` (n, 32000) float32 at 16 kHz in [-1, 1], and the SHA-256 of the list that named them."""

    clips: np.ndarray
    ids_sha256: str


@dataclass(frozen=True)
class CalibrationId:
    """One clip: the recording's path below the data folder and the clip's first sample at 16 kHz."""

    path: str
    offset_samples: int
    label: str


def read_calibration_set(ids_csv: Path, data_root: Path) -> CalibrationSet:
    """Read the clips that `ids_csv` lists.

    Raises
    ------
    DataError
        If the list is empty or not such a list, a recording is absent or too short, or a clip is silent.
    """
    ids = read_ids(ids_csv)
    console = PlainConsole(stderr=True)
    shown = track(ids, "calibration clips", console=console, disable=not console.is_terminal)
    return CalibrationSet(np.stack([_read_clip(clip_id, data_root) for clip_id in shown]), sha256_of_file(ids_csv))


def read_ids(ids_csv: Path) -> list[CalibrationId]:
    """Read the list; DataError where it is absent, empty or of another shape."""
    ids = [
        CalibrationId(row.relative_path("path"), row.whole("offset_samples", 0), row.text("label"))
        for row in read_table(ids_csv, COLUMNS)
    ]
    if not ids:
        raise DataError(f"{ids_csv} lists no clip; a calibration set needs at least one")
    return ids


def _read_clip(clip_id: CalibrationId, data_root: Path) -> np.ndarray:
    try:
        waveform = read_waveform(data_root / clip_id.path)
    except AudioError as error:
        raise DataError(f"the calibration clip {clip_id.path} cannot be read: {error}") from error
    if not 0 <= clip_id.offset_samples < len(waveform):
        raise DataError(
            f"{clip_id.path} has {len(waveform)} samples; its calibration clip starts at {clip_id.offset_samples}"
        )
    clip = cut_clip(waveform, clip_id.offset_samples)
    if is_silent(clip):
        raise DataError(f"the calibration clip {clip_id.path} at sample {clip_id.offset_samples} is silent")
    return clip


def cut_clip(waveform: np.ndarray, offset_samples: int) -> np.ndarray:
    """Cut 2 s from `offset_samples` on, tiled where the recording ends before; shape (32000,), float32."""
    piece = waveform[offset_samples : offset_samples + CLIP_SAMPLES]
    return np.resize(piece, CLIP_SAMPLES).astype(np.float32)


def is_silent(clip: np.ndarray) -> bool:
    """Whether a clip's level around its mean is below `SILENCE_DBFS`."""
    return bool(np.std(clip) < 10 ** (SILENCE_DBFS / 20))


def choose_calibration_ids(
    rows: Iterable[ManifestRow], data_root: Path, n_clips: int = N_CLIPS, seed: int = 0
) -> list[CalibrationId]:
    """Draw clips from training recordings in turn from each label, the unlabelled included, one a subject at first.

    Raises
    ------
    DataError
        If the training recordings do not give `n_clips` clips that are not silent.
    """
    generator = np.random.default_rng(seed)
    queues = {label: _shuffled(members, generator) for label, members in sorted(_strata(rows).items())}
    chosen: list[CalibrationId] = []
    while len(chosen) < n_clips and any(queues.values()):
        for label, queue in queues.items():
            if queue and len(chosen) < n_clips and (drawn := _draw_clip(queue.pop(), label, data_root, generator)):
                chosen.append(drawn)
    if len(chosen) < n_clips:
        raise DataError(f"the training recordings give {len(chosen)} calibration clips; {n_clips} were asked for")
    return sorted(chosen, key=lambda clip_id: (clip_id.path, clip_id.offset_samples))


def _strata(rows: Iterable[ManifestRow]) -> dict[str, list[ManifestRow]]:
    strata = defaultdict(list)
    for row in rows:
        if row.role == "train":
            strata[row.labels[0] if row.labels else UNLABELLED].append(row)
    return strata


def _shuffled(rows: list[ManifestRow], generator: np.random.Generator) -> list[ManifestRow]:
    """Rows in random order, to be popped from the end: all subjects once, then their further recordings."""
    order = [rows[index] for index in generator.permutation(len(rows))]
    seen: dict[str, int] = defaultdict(int)
    rank = []
    for row in order:
        rank.append(seen[row.subject_id])
        seen[row.subject_id] += 1
    return [order[index] for index in np.argsort(rank, kind="stable")[::-1]]


def _draw_clip(row: ManifestRow, label: str, data_root: Path, generator: np.random.Generator) -> CalibrationId | None:
    waveform = read_waveform(data_root / row.path)
    offset = int(generator.integers(max(0, len(waveform) - CLIP_SAMPLES) + 1))
    if is_silent(cut_clip(waveform, offset)):
        return None
    return CalibrationId(row.path, offset, label)


def write_ids(ids: list[CalibrationId], path: Path) -> None:
    """Write the list as CSV."""
    write_atomically(path, table_text(COLUMNS, map(asdict, ids)))


app = typer.Typer(add_completion=False, help="The clips that the quantizer sees.")


@app.command()
def choose(
    manifest: Annotated[Path, typer.Option(help="CSV written by tussis-corpus manifest.")],
    data: Annotated[Path, typer.Option(help="Folder of packs that the manifest's paths start from.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")] = CALIBRATION_IDS,
    clips: Annotated[
        int, typer.Option(min=1, help=f"How many clips of {CLIP_SAMPLES / SAMPLE_RATE_HZ:g} s.")
    ] = N_CLIPS,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
) -> None:
    """Choose the calibration clips from the manifest's training recordings, evenly over the labels.

    Example: tussis-calibration choose --manifest cache/manifest.csv --data ../shared/data
    """
    with exit_on_error("tussis-calibration"):
        check_writable(out, kind_of(f"{','.join(COLUMNS)}\n".encode()))
        ids = choose_calibration_ids(read_manifest(manifest), data, clips, seed)
        write_ids(ids, out)
        console = PlainConsole(soft_wrap=True, stderr=is_standard_output(out))
        console.print(f"{out}: {len(ids)} clips of {len({clip_id.label for clip_id in ids})} labels")


@app.command()
def check(
    data: Annotated[Path, typer.Option(help="Folder of packs.")],
    ids: Annotated[Path, typer.Option(help="The list.")] = CALIBRATION_IDS,
) -> None:
    """Read every clip of the list and say how many there are."""
    with exit_on_error("tussis-calibration"):
        PlainConsole(soft_wrap=True).print(f"{ids}: {len(read_calibration_set(ids, data).clips)} clips can be read")


def main() -> None:
    """Entry point of ``tussis-calibration``."""
    run_app(app)


if __name__ == "__main__":
    main()
