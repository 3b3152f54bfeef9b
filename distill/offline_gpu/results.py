"""Sums up a GPU machine's run, cuts its small files into chunks there, and joins and uses them here."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from pydantic import Field, ValidationError

from core.errors import DataError, exit_on_error
from core.files import sha256_of_file, write_atomically
from distill.checkpoints import save_checkpoint
from distill.corpus.arrays import read_npz
from distill.corpus.shards import INDEX_FILE, Sha256
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.targets import EMBEDDINGS_FILE, all_crops, save_values
from distill.offline_gpu.wheels import CORPUS_FOLDER
from distill.pretraining.reconstructions import draw
from distill.settings import Settings

INDEX = "index.json"
_PACKED = ("codec", "opus_kbit_s", "roles", "clips", "seconds", "licences", "manifest_sha256")
MAX_CHUNK_MIB = 16
MAX_FILES = 8
_FETCH_AGAIN = "fetch it from the GPU machine again"


class KeptFile(Settings):
    """A file or a chunk: its name, its size and its hash."""

    name: str = Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")
    bytes: int = Field(ge=0)
    sha256: Sha256


class ResultIndex(Settings):
    """``index.json``: the chunks, the files that lie in them one after the other, and those left on the machine."""

    format: str = Field(default="tussis.gpu_results/1", pattern=r"^tussis\.gpu_results/1$")
    chunks: tuple[KeptFile, ...]
    files: tuple[KeptFile, ...]
    left: tuple[str, ...] = ()


def write_report(run: Path, sizes: Sequence[str], failures: Sequence[str], pack: Path) -> dict[str, Any]:
    """Write ``run/report.json`` from the files of the stages that are done, and return it."""
    index = _read_json(pack / CORPUS_FOLDER / INDEX_FILE)
    report = {
        "schema": "tussis.gpu_report/1",
        "corpus": {name: index[name] for name in _PACKED if name in index},
        "sizes": {size: _size_report(run / size) for size in sizes if (run / size).is_dir()},
        "failures": list(failures),
    }
    write_atomically(run / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def _size_report(folder: Path) -> dict[str, Any]:
    log = folder / "log.jsonl"
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    trained = [record for record in records if "loss" in record]
    validated = [record for record in records if "validation_loss" in record]
    probes = _read_json(folder / "probes.json").get("tasks", {})
    return {
        "plan": _read_json(folder / "plan.json"),
        "spent_s": _read_json(folder / "spent.json").get("seconds"),
        "last": trained[-1] if trained else None,
        "last_validation": validated[-1] if validated else None,
        "auroc": {name: task["auroc"][folder.name]["value"] for name, task in probes.items()},
    }


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def collect(run: Path, sizes: Sequence[str]) -> dict[str, Path]:
    """Find what a run has made that is worth bringing back: name -> file, the most wanted first."""
    candidates: dict[str, Path] = {"report.json": run / "report.json"}
    for size in sizes:
        folder = run / size
        pictures = sorted(folder.glob("reconstructions_*.*"))
        files = [folder / name for name in ("plan.json", "settings.json", "log.jsonl", "probes.json")]
        files += [*pictures[:1], *pictures[-1:], *(folder / f"{name}.npz" for name in ("targets", "views"))]
        files += [folder / "weights.npz"] if size == sizes[-1] or size == "small" else []
        candidates |= {f"{size}_{path.name}": path for path in files}
    wanted = {name: path for name, path in candidates.items() if path.exists()}
    return dict(sorted(wanted.items(), key=lambda item: _rank(item[0], sizes)))


def _rank(name: str, sizes: Sequence[str]) -> tuple[int, int]:
    size, _, rest = name.partition("_")
    place = list(sizes).index(size) if size in sizes else 0
    # A student learns from the largest; the smallest is a teacher that fits anywhere.
    kinds = ("targets.npz", "weights.npz", "views.npz")
    kind = 1 + kinds.index(rest) if rest in kinds else 0
    return (5 if kind == 1 and place else kind, place)


def write_results(files: dict[str, Path], out: Path, max_mib: float) -> ResultIndex:
    """Write as many of `files` as fit, in at most 7 chunks of 16 MiB and the index, which is written last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    room = int(min(max_mib, (MAX_FILES - 1) * MAX_CHUNK_MIB) * 2**20)
    taken, left = [], []
    for name, path in files.items():
        fits = path.stat().st_size <= room
        (taken if fits else left).append(name)
        room -= path.stat().st_size if fits else 0
    chunks, kept = [], []
    for number, content in enumerate(_chunks(_read(files[name], name, kept) for name in taken)):
        chunk = out / f"results_{number}.bin"
        write_atomically(chunk, content)
        chunks.append(KeptFile(name=chunk.name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
    for stale in set(out.glob("results_*.bin")) - {out / chunk.name for chunk in chunks}:
        stale.unlink()
    index = ResultIndex(chunks=tuple(chunks), files=tuple(kept), left=tuple(left))
    write_atomically(out / INDEX, index.model_dump_json(indent=1) + "\n")
    return index


def _read(path: Path, name: str, kept: list[KeptFile]) -> bytes:
    content = path.read_bytes()
    kept.append(KeptFile(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
    return content


def _chunks(contents: Iterator[bytes]) -> Iterator[bytes]:
    """Cut what lies one after the other into pieces of `MAX_CHUNK_MIB`."""
    size, waiting = MAX_CHUNK_MIB * 2**20, bytearray()
    for content in contents:
        waiting += content
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def join(folder: Path, out: Path) -> list[Path]:
    """Put the files of `folder` together in `out`; DataError where a chunk is missing, altered or cut short."""
    index = _read_index(folder)
    stream = bytearray()
    for chunk in index.chunks:
        path = folder / chunk.name
        if not path.is_file() or path.stat().st_size != chunk.bytes or sha256_of_file(path) != chunk.sha256:
            state = "is not as it was written" if path.is_file() else "is missing"
            raise DataError(f"{path} {state}: {_FETCH_AGAIN}")
        stream += path.read_bytes()
    if len(stream) != sum(file.bytes for file in index.files):
        raise DataError(f"{folder / INDEX} does not fit its chunks: {_FETCH_AGAIN}")
    out.mkdir(parents=True, exist_ok=True)
    start, joined = 0, []
    for file in index.files:
        content = bytes(stream[start : start + file.bytes])
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise DataError(f"{file.name} in {folder} is not as it was written: {_FETCH_AGAIN}")
        write_atomically(out / file.name, content)
        joined.append(out / file.name)
        start += file.bytes
    return joined


def _read_index(folder: Path) -> ResultIndex:
    try:
        return ResultIndex.model_validate_json((folder / INDEX).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{folder / INDEX} is not an index of results ({str(error).splitlines()[0]})") from error


def save_teacher(weights: Path, checkpoint: Path) -> None:
    """Make the ``mae:`` checkpoint that tussis-distill takes as a teacher from weights in float16."""
    arrays = _load(weights)
    about = json.loads(str(arrays.pop("about")))
    state = {name: torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()}
    provenance = about["provenance"] | {"float16_of_sha256": about["sha256"]}
    save_checkpoint(
        checkpoint, model_state=state, training_state={}, settings=about["settings"], provenance=provenance
    )  # fmt: skip


def save_targets(targets: Path, store: WaveformStore, folder: Path) -> None:
    """Write ``embeddings.npz`` for `store`, whose recordings may be numbered otherwise; DataError where one lacks."""
    arrays = _load(targets)
    place = {key: i for i, key in enumerate(zip(arrays["path"].tolist(), arrays["offset"].tolist(), strict=True))}
    crops = all_crops(store)
    keys = [(store.rows[row].path, offset) for row, offset in crops]
    if missing := [key for key in keys if key not in place]:
        path, offset = missing[0]
        raise DataError(
            f"{targets} lacks {len(missing)} of {len(keys)} crops of the store, such as {path} at {offset} samples:"
            f" use the store of the recordings that were packed, or pack all of them"
        )
    save_values(folder / EMBEDDINGS_FILE, crops, arrays["values"][[place[key] for key in keys]], str(arrays["teacher"]))


def _load(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, None, "does not hold results of a GPU machine")


def draw_curves(logs: Sequence[Path], path: Path) -> None:
    """Draw the losses of each log.jsonl over the clips that were seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for log in logs:
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for name, style in (("loss", "-"), ("validation_loss", "o--")):
            points = [(record["step"], record[name]) for record in records if name in record]
            label = f"{log.name.removesuffix('_log.jsonl')}, {name.replace('_', ' ')}"
            if points:
                axis.plot(*zip(*points, strict=True), style, label=label)
    axis.set_xlabel("step")
    axis.set_ylabel("mean squared error of removed patches")
    axis.legend()
    figure.savefig(path, dpi=120)


app = typer.Typer(add_completion=False)


@app.callback()
def group() -> None:
    """Results of python -m distill.offline_gpu.machine."""


@app.command("join")
def join_command(
    folders: Annotated[list[Path], typer.Argument(help="One or more folders with index.json and its chunks.")],
    out: Annotated[Path, typer.Option(help="Folder to write: the files, teachers and targets.")],
    store: Annotated[Path | None, typer.Option(help="Store whose crops the targets are for, e.g. cache/store.")] = None,
) -> None:
    """Check and join results, make teachers (mae: checkpoints) of the weights and targets for tussis-distill.

    Example: python -m distill.offline_gpu.results join runs/gpu_results --out runs/gpu --store cache/store
    """
    with exit_on_error("gpu_results"):
        files = [file for folder in folders for file in join(folder, out)]
        opened = WaveformStore.open(store) if store is not None else None
        for line in _use(files, out, opened):
            print(line)


def _use(files: Sequence[Path], out: Path, store: WaveformStore | None) -> Iterator[str]:
    """Make what the other commands read; says what was made."""
    for file in files:
        size, _, kind = file.name.partition("_")
        if kind == "weights.npz":
            save_teacher(file, out / f"{size}.pt")
            yield f"teacher: --teacher mae:{out / f'{size}.pt'}"
        elif kind == "targets.npz" and store is not None:
            save_targets(file, store, out / f"targets_{size}")
            yield f"targets of {size}: {out / f'targets_{size}' / EMBEDDINGS_FILE}, beside which events.npz belongs"
        elif kind.startswith("reconstructions_") and file.suffix == ".npz":
            draw(_load(file)["columns"].astype(np.float32), file.with_suffix(".png"))
    if logs := [file for file in files if file.name.endswith("_log.jsonl")]:
        draw_curves(logs, out / "curves.png")
    yield f"{len(files)} files in {out}"


def main() -> None:
    """Entry point of ``python -m distill.offline_gpu.results``."""
    app()


if __name__ == "__main__":
    main()
