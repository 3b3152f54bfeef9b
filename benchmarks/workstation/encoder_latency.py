"""The only place that times a full encoder's exported files beside torch, in turns."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.results.device import load_average
from benchmarks.results.result import Result, Row, make_result, write_result
from benchmarks.timing.interleaved import Contender, time_interleaved, timed_ratio, timed_row
from benchmarks.timing.peers import load_peer
from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError, exit_on_error
from core.files import check_writable
from core.interpreter import MAX_THREADS
from quantize.export_encoder import FILES, load_encoder
from quantize.synthesized_clips import synthesized_clips

KIND = "encoder_latency"
TORCH = "torch float32"
MIN_RUNS = 20
PROTOCOL = (
    "two clips through each in turn, the second timed, samples in and embedding out, front end included; warm-up left "
    "out; ratio of medians to torch, 95 % bootstrap interval over rounds"
)
_COLUMNS = ("load_ms", "first_run_ms", "min_ms", "p50_ms", "p90_ms")


def gather(encoder: str, exported: Path, threads: int) -> list[Contender]:
    """Load torch's encoder and every file that tussis-export left in `exported`; DataError where there is none."""
    files = [exported / name for name in FILES.values() if (exported / name).exists()]
    if not files:
        raise DataError(f"{exported} holds none of {', '.join(FILES.values())}: run tussis-export first")
    return [_torch_contender(encoder), *(load_peer(path, threads) for path in files)]


def _torch_contender(encoder: str) -> Contender:
    clip = torch.from_numpy(synthesized_clips(2)[1:])
    start = time.perf_counter()
    teacher = load_encoder(encoder)
    load_s = time.perf_counter() - start
    return Contender(
        name=TORCH,
        run=lambda: teacher.embed(clip),
        audio_s=clip.shape[-1] / SAMPLE_RATE_HZ,
        load_s=load_s,
        facts={"weights": teacher.fingerprint},
        delegate="torch",
        runtime=f"torch {version('torch')}",
    )


def measure(contenders: list[Contender], threads: int, runs: int) -> Result:
    """Time contenders in turns, torch first; a ratio of each of the others to torch."""
    load_before = load_average()
    timed = list(zip(contenders, time_interleaved(contenders, runs), strict=True))
    rows = [timed_row(*pair, threads, load_before) for pair in timed]
    return make_result(KIND, PROTOCOL, rows, [timed_ratio(pair, timed[0], TORCH, threads) for pair in timed[1:]])


def show(result: Result, console: Console) -> None:
    """Print a result as a table for a person."""
    rows, of_torch = result["rows"], {its["name"]: f"{its['value']:.2f}" for its in result["ratios"]}
    load = rows[0]["load_average"]
    title = f"{rows[0]['threads']} thread(s), {rows[0]['n_runs']} runs in turns, milliseconds a 2-s clip"
    table = Table(title=f"{title}; load average {load['before']} to {load['after']}")
    for column in ("encoder", "MB", "load", "first", "lowest", "p50", "p90", "of torch"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for row in rows:
        table.add_row(row["name"], *_cells(row), of_torch.get(row["name"], ""))
    console.print(table)


def _cells(row: Row) -> list[str]:
    size = f"{row['metrics']['model_bytes'] / 1e6:.1f}" if "model_bytes" in row["metrics"] else ""
    return [size, *(f"{row['metrics'][key]:.1f}" for key in _COLUMNS)]


app = typer.Typer(add_completion=False)


@app.command()
def encoder_latency(
    encoder: Annotated[str, typer.Argument(help="What was given to tussis-export.")],
    exported: Annotated[Path, typer.Option(help="Folder that tussis-export wrote.")],
    runs: Annotated[int, typer.Option(min=MIN_RUNS, help="Runs of each.")] = MIN_RUNS,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of each.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time an encoder in torch and its exported files, run by run in turns; milliseconds a 2-s clip.

    Example: python -m benchmarks.workstation.encoder_latency runs/pretrain/final.pt --exported runs/encoder --threads 2
    """
    with exit_on_error("encoder_latency"):
        if json_path is not None:
            check_writable(json_path)
        torch.set_num_threads(threads)
        result = measure(gather(encoder, exported, threads), threads, runs)
        if json_path is not None:
            write_result(json_path, result)
        show(result, Console(soft_wrap=True))


def main() -> None:
    """Entry point of ``python -m benchmarks.workstation.encoder_latency``."""
    app()


if __name__ == "__main__":
    main()
