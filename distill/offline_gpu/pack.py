"""Packs what a GPU machine without a network needs: recordings as Opus, and libraries."""

import lzma
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from packaging.requirements import Requirement

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError, OutputError, SettingsError, exit_on_error
from distill.command_line import run_app
from distill.corpus.manifests import ManifestRow, build_manifest
from distill.corpus.shard_writer import summarize, write_shards
from distill.corpus.shards import OPUS_KBIT_S, SHARD_PATTERN, encode_clip, read_samples
from distill.offline_gpu.wheels import CORPUS_FOLDER, LIBRARIES_FOLDER, check_fits, write_hashes

PACKED_ROLES = ("train", "validation", "augment")  # what is only ever tested on never travels
LIBRARIES = ("pydantic", "typer", "rich", "webdataset", "soundfile", "safetensors")
EXPECTED_THERE = frozenset({"torch", "numpy"})
RATES_KBIT_S = (64.0, 48.0, 32.0, 24.0, 20.0, 16.0, 14.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0)
DEFAULT_CORPUS_MIB = 48.0
_SAMPLED_RECORDINGS = 40
_SHARD_MIB = 8.0
_SEED = 0
_MANYLINUX = ("manylinux2014_x86_64", *(f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17, 12, 5)))


def packed_rows(rows: Sequence[ManifestRow], hours: float | None) -> list[ManifestRow]:
    """Choose what travels: all of `PACKED_ROLES`, or about `hours` of them, in the same shares, for a trial."""
    rows = [row for row in rows if row.role in PACKED_ROLES]
    total_s = sum(row.duration_s for row in rows)
    if hours is None or total_s <= 3600 * hours:
        return rows
    kept = np.random.default_rng(_SEED).random(len(rows)) < 3600 * hours / total_s
    return [row for row, keep in zip(rows, kept, strict=True) if keep or row.role == "augment"]


def fitting_rate(rows: Sequence[ManifestRow], data: Path, max_mib: float) -> float:
    """Find the highest of `RATES_KBIT_S` at which the corpus fits, judged by some of its recordings.

    Raises
    ------
    SettingsError
        If it does not fit even at the lowest rate.
    """
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:_SAMPLED_RECORDINGS]
    sampled = [read_samples(data / rows[index].path) for index in chosen]
    share = sum(map(len, sampled)) / SAMPLE_RATE_HZ / sum(row.duration_s for row in rows)
    for rate in _rates_from(sampled, share, max_mib):
        encoded = [encode_clip(samples, "opus", rate) for samples in sampled]
        if len(lzma.compress(b"".join(encoded))) / share <= 0.95 * max_mib * 2**20:
            return rate
    hours = sum(row.duration_s for row in rows) / 3600
    raise SettingsError(
        f"{hours:.2f} h do not fit into {max_mib:g} MiB even at {OPUS_KBIT_S[0]} kbit/s: "
        f"allow more with --max-mib, or pack fewer with --hours"
    )


def _rates_from(sampled: Sequence[np.ndarray], share: float, max_mib: float) -> Iterator[float]:
    """Leave out the rates that cannot fit, since trying one takes a while."""
    seconds = sum(map(len, sampled)) / SAMPLE_RATE_HZ / share
    yield from (rate for rate in RATES_KBIT_S if rate * 125 * seconds <= 1.3 * max_mib * 2**20)


def compress_shards(folder: Path) -> int:
    """Replace each tar of a corpus by itself in xz, which takes the headers out; returns the bytes of all."""
    for shard in sorted(folder.glob(SHARD_PATTERN)):
        packed = shard.with_name(f"{shard.name}.xz")
        partial = packed.with_name(f".{packed.name}.part")
        partial.write_bytes(lzma.compress(shard.read_bytes(), preset=6))
        partial.replace(packed)
    for shard in folder.glob(SHARD_PATTERN):
        shard.unlink()
    return size_of(folder)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def needed_libraries() -> list[str]:
    """List ``name==version`` of what `LIBRARIES` need, themselves included, as installed here."""
    versions: dict[str, str] = {}
    waiting = list(LIBRARIES)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in versions or name in EXPECTED_THERE:
            continue
        try:
            versions[name] = version(name)
        except PackageNotFoundError as error:
            raise DataError(f"the library {name} is not installed here: run make dev") from error
        needs = [Requirement(text) for text in requires(name) or []]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [f"{name}=={number}" for name, number in sorted(versions.items())]


def fetch_libraries(folder: Path, python: str) -> None:
    """Download the wheels of `needed_libraries` for Linux on x86-64 and that Python, with pip and from its index."""
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [word for platform in _MANYLINUX for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    done = subprocess.run([*command, *target, "-d", str(folder), *needed_libraries()], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OutputError(f"pip could not download the libraries for Python {python} to {folder}: {last}")
    for wheel in folder.glob("*.whl"):
        check_fits(wheel, tuple(int(part) for part in python.split(".")))
    write_hashes(folder)


app = typer.Typer(add_completion=False)


@app.command()
def pack(
    data: Annotated[Path, typer.Option(help="Folder of packs, each with a manifest.csv.")],
    out: Annotated[Path, typer.Option(help="Folder to write: a new one, or one to go on with.")] = Path(
        "cache/gpu_pack"
    ),
    max_mib: Annotated[float, typer.Option(min=0.1, help="What the corpus may take, in MiB.")] = DEFAULT_CORPUS_MIB,
    kbit_s: Annotated[
        float | None, typer.Option(help="Rate of Opus, 6 to 256; left out, the highest one that fits.")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0.001, help="Pack about as many hours only, for a trial.")] = None,
    python: Annotated[str, typer.Option(help="Python of the GPU machine.")] = "3.12",
    libraries: Annotated[bool, typer.Option(help="Whether wheels are downloaded, about 6 MiB.")] = True,
    threads: Annotated[int, typer.Option(min=1, help="Recordings encoded at the same time.")] = 2,
) -> None:
    """Pack recordings and libraries for python -m distill.offline_gpu.machine; what was stopped goes on.

    Example: python -m distill.offline_gpu.pack --data ../shared/data --out cache/gpu_pack
    """
    with exit_on_error("gpu_pack"):
        rows = packed_rows(build_manifest(data), hours)
        corpus = out / CORPUS_FOLDER
        if not list(corpus.glob(f"{SHARD_PATTERN}.xz")):
            rate = kbit_s or fitting_rate(rows, data, max_mib)
            options = {"codec": "opus", "opus_kbit_s": rate, "shard_mib": _SHARD_MIB, "threads": threads}
            print(
                f"{out}: {summarize(write_shards(rows, data, corpus, roles=PACKED_ROLES, **options))}, {rate:g} kbit/s"
            )
        packed_bytes = compress_shards(corpus)
        if packed_bytes > max_mib * 2**20:
            raise OutputError(f"{corpus} takes {packed_bytes / 2**20:.1f} MiB, above --max-mib {max_mib:g}: pack anew")
        if libraries:
            fetch_libraries(out / LIBRARIES_FOLDER, python)
        print(f"{out}: corpus {packed_bytes / 2**20:.1f} MiB, all {size_of(out) / 2**20:.1f} MiB")


def main() -> None:
    """Entry point of ``python -m distill.offline_gpu.pack``."""
    run_app(app)


if __name__ == "__main__":
    main()
